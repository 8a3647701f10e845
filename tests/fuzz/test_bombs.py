"""Inputs that ask for more than any machine has: refused in one line, before anything is made.

Nothing here is timed: each bound is one of counts, which the message states.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from stress.scenario.fields import MOST_ASSETS

from .bases import BASES, SCENARIO
from .mutate import Mutant, huge_cell, remove
from .test_inputs import Workplace, command, judged, workplace

__all__ = ["workplace"]


def toml(workplace: Workplace, old: str, new: str, base: str = "plain") -> str:
    """Validate a base with a text of its scenario replaced; return the one line."""
    text = BASES[base][SCENARIO]
    assert text.count(old) == 1
    made = Mutant(base, SCENARIO, text.replace(old, new).encode(), "file", ("by hand",))
    ending = workplace.validated(made)
    judged(ending, (2,))
    return ending.err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("paths = 8", f"paths = {10**12}", "must be at most 2147483648"),
        ("paths = 8", f"paths = {10**400}", "simulation.paths: must be"),
        ('step = "1h"', 'step = "1ns"', "must be a duration"),
        ('step = "1h"', 'step = "0.000001s"', "at most 10,000,000 steps"),
        ('step = "1h"', f'step = "0.{"0" * 4_000}1s"', "at most 10,000,000 steps"),
        ('horizon = "6h"', 'horizon = "9999999999999999w"', "at most 10,000,000 steps"),
        ("rounds_per_step = 4", f"rounds_per_step = {10**9}", "venue.rounds_per_step: must be"),
        ('name = "plain"', f"name = {'[' * 100_000}", "is nested too deep"),
        ('name = "plain"', f"{'a.' * 100_000}b = 1", "is not TOML: a key has more than"),
    ],
)
def test_a_bomb_of_numbers_is_refused(workplace: Workplace, old: str, new: str, said: str) -> None:
    assert said in toml(workplace, old, new)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("BTC = 0.0001", "BTC = 1e308", "venue.funding.rate.BTC: must be at most 1000"),
        ("BTC = 2.55", "BTC = 1e18", "market.volatility.BTC: must be at most 1000"),
        ("ETH = 0.1", "ETH = -1e5", "market.drift.ETH: must be at least -1000"),
        ("BTC = 60_000.0", "BTC = 1e19", "market.price.BTC: must be at most 1e+18"),
        ("BTC = 60_000.0", "BTC = 1e-320", "market.price.BTC: must be at least 1e-30"),
        ("multiplier = 2.0", "multiplier = 1e300", "must be at most 1000"),
        ("balance = 1_000.0", "balance = 1e300", "venue.fund.balance: must be at most 1e+18"),
    ],
)
def test_a_number_whose_products_would_be_infinite_is_refused(
    workplace: Workplace, old: str, new: str, said: str
) -> None:
    assert said in toml(workplace, old, new, base="cascade")


def test_a_long_list_of_wrong_entries_is_one_error(workplace: Workplace) -> None:
    rows = ", ".join(["'x'"] * 100_000)
    said = toml(workplace, "levels = [0.5, 0.9]", f"levels = [{rows}]")
    assert 'simulation.levels[0]: must be a number, got "x"' in said
    assert "more error" not in said


def test_ten_thousand_assets_are_refused_before_their_correlation(workplace: Workplace) -> None:
    """A correlation of so many would be 800 MB, and its eigenvalues a day."""
    names = ", ".join(f'"A{number}"' for number in range(10_000))
    said = toml(workplace, 'assets = ["BTC", "ETH"]', f"assets = [{names}]")
    assert f"at most {MOST_ASSETS:,} assets, got 10,000" in said


@pytest.mark.parametrize(
    ("base", "file"),
    [
        ("plain", SCENARIO),
        ("plain", "accounts.csv"),
        ("plain", "positions.csv"),
        ("plain", "collateral.csv"),
        ("calibrated", "calibration.toml"),
        ("resampled", "prices.csv"),
    ],
)
def test_a_cell_of_ten_million_characters_is_refused(
    workplace: Workplace, base: str, file: str
) -> None:
    """In a file of each kind: one line, which does not repeat the cell."""
    content = huge_cell(random.Random(file), BASES[base][file].encode())
    assert len(content) > 10_000_000
    judged(workplace.validated(Mutant(base, file, content, "file", ("huge_cell",))), (2,))


@pytest.mark.parametrize("file", [SCENARIO, "accounts.csv", "calibration.toml"])
@pytest.mark.parametrize(
    "kind", ["folder", "link-to-nothing", "link-to-itself", "link-to-zeros", "pipe"]
)
def test_what_is_no_file_is_said(workplace: Workplace, file: str, kind: str) -> None:
    ending = workplace.validated(Mutant("calibrated", file, None, kind, ("place",)))
    judged(ending, (2, 5))


def test_a_scenario_larger_than_any_is_refused_unread(workplace: Workplace) -> None:
    folder = workplace.root / "plain"
    remove(folder / SCENARIO)
    with (folder / SCENARIO).open("wb") as file:
        file.truncate(1 << 40)
    try:
        ending = command("validate", str(folder / SCENARIO))
    finally:
        (folder / SCENARIO).write_text(BASES["plain"][SCENARIO])
    judged(ending, (2,))
    assert "1,099,511,627,776 bytes" in ending.err


@pytest.mark.parametrize("name", ["nul\0byte", "x" * 5_000, "line\nbreak", "\udcff", "\x1b[2J"])
def test_a_name_of_a_file_that_no_file_has(workplace: Workplace, name: str) -> None:
    for verb in ("validate", "margin", "ladder", "run", "report"):
        judged(command(verb, name), (2,))


def test_a_scenario_is_found_under_any_name(workplace: Workplace, tmp_path: Path) -> None:
    """A name that a terminal would obey is printed, not obeyed."""
    folder = tmp_path / "\x1b[31m \udcff"
    folder.mkdir()
    for file, text in BASES["plain"].items():
        (folder / file).write_text(text)
    judged(command("validate", str(folder / SCENARIO)), (0,))
