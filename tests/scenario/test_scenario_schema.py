"""The committed JSON Schema is current, and says of a scenario what loading it says."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stress.scenario.schema import json_schema

ROOT = Path(__file__).parents[2]


def test_the_committed_schema_is_current() -> None:
    committed = json.loads((ROOT / "docs/scenario.schema.json").read_text())
    assert committed == json_schema(), "run: margin-stress schema > docs/scenario.schema.json"


def test_the_schema_is_one() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"] == "margin-stress scenario"
    assert "$id" not in schema


def test_every_key_has_a_description() -> None:
    tables = [json_schema(), *json_schema()["$defs"].values()]
    keys = [(key, value) for table in tables for key, value in table["properties"].items()]
    assert [key for key, value in keys if not value.get("description")] == []


def test_the_schema_accepts_what_loads(case: Any) -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.validate(case.scenario)
    case.set("venue.trigger", {"margin_level": 0.1})
    case.set("venue.funding", {"rate": {"BTC": 1e-4}})
    case.set("venue.decision", {"kind": "sharded", "shards": {"BTC": 0, "ETH": 1}})
    validator.validate(case.scenario)


@pytest.mark.parametrize("file", sorted((ROOT / "scenarios").glob("*.toml")), ids=lambda f: f.stem)
def test_the_schema_accepts_the_shipped_scenarios(file: Path) -> None:
    jsonschema.validate(tomllib.loads(file.read_text()), json_schema())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("simulation.pahts", 5),
        ("simulation.paths", 0),
        ("simulation.step", "5m"),
        ("venue.trigger", "level"),
        ("venue.tiers.BTC", []),
        ("market.price.BTC", -1),
        ("venue.amount", "half"),
        ("venue.impact.relaxation", "1m"),
        ("venue.decision.shards", {"BTC": -1}),
        ("venue.funding", {"interval": "8h"}),
    ],
)
def test_the_schema_refuses_what_does_not_load(key: str, value: object, case: Any) -> None:
    case.set(key, value)
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(case.scenario)
