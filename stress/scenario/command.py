"""The commands that need no simulation: ``validate``, ``schema``, ``example``."""

from __future__ import annotations

import json
import sys
from typing import Any

from stress.book.book import Book
from stress.book.notices import starting_notices
from stress.book.setting import Setting
from stress.scenario.build import build_setting, load_book
from stress.scenario.examples import write_example
from stress.scenario.freshness import age_words, ages, check_freshness
from stress.scenario.load import load_scenario
from stress.scenario.schema import Scenario, json_schema

__all__ = ["example_command", "schema_command", "validate_command"]


def validate_command(file: str, *, book: str | None = None, as_json: bool) -> int:
    """Check a scenario with its inputs and print what was read; return the exit code.

    Parameters
    ----------
    book
        Folder of a book that is used instead of the scenario's own.
    """
    scenario = load_scenario(file, book=book)
    check_freshness(scenario)
    tables, notices = load_book(scenario)
    setting = build_setting(scenario)
    notices = (*notices, *starting_notices(tables, setting, scenario.worlds))
    facts = _facts(scenario, tables, setting)
    if as_json:
        print(json.dumps({**facts, "notices": list(notices)}, indent=2))
    else:
        print(_sentences(file, facts))
        for words in age_words(scenario):
            print(f"  age     {words}")
    for notice in notices:
        print(f"warning: {notice}", file=sys.stderr)
    return 0


def schema_command(*, as_json: bool) -> int:
    """Print the scenario's JSON Schema; it is JSON with or without ``as_json``."""
    print(json.dumps(json_schema(), indent=2))
    return 0


def example_command(name: str, directory: str, *, as_json: bool) -> int:
    """Write a shipped scenario with its files and print where it is."""
    written = write_example(name, directory)
    print(json.dumps({"scenario": str(written)}) if as_json else f"wrote {written}")
    return 0


def _facts(scenario: Scenario, book: Book, setting: Setting) -> dict[str, Any]:
    return {
        "name": scenario.name,
        "accounts": len(book.accounts),
        "groups": len(book.groups),
        "positions": len(book.positions),
        "coins": len(book.coin_account),
        "assets": len(setting.assets),
        "steps": setting.steps,
        "step": scenario.simulation.step,
        "horizon": scenario.simulation.horizon,
        "paths": scenario.simulation.paths,
        "worlds": list(scenario.worlds),
        "ages": ages(scenario),
    }


def _sentences(file: str, facts: dict[str, Any]) -> str:
    counted = ("accounts", "groups", "positions", "coins", "assets")
    book = [f"{facts[key]:,} {key if facts[key] != 1 else key[:-1]}" for key in counted]
    return "\n".join(
        [
            f"{file}: valid",
            "  book    " + ", ".join(book),
            f"  time    {facts['steps']:,} steps of {facts['step']} over {facts['horizon']}",
            f"  paths   {facts['paths']:,}",
            "  worlds  " + ", ".join(facts["worlds"]),
        ]
    )
