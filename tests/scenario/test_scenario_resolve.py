"""The resolved scenario says everything and loads to the same scenario."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

import pytest

from stress.cli import main
from stress.scenario.load import load_scenario
from stress.scenario.resolve import file_hash, input_hashes, resolved_toml


def test_the_venue_resolves_to_the_same(case: Any) -> None:
    case.set("market.model", "given")
    case.set("market.file", "paths.nc")
    case.files["paths.nc"] = b"read by the run"
    numbers = {"BTC": 22e9, "ETH": 13e9}
    case.set("venue.impact", {"kind": "square-root", "adv": numbers, "relaxation": "90min"})
    case.set("venue.funding", {"rate": {"ETH": -1e-4}, "interval": "8h"})
    case.set("venue.decision", {"kind": "sharded", "shards": {"BTC": 0, "ETH": 1}, "lag": 2})
    case.set("venue.fund", {"balance": 1e6})
    scenario = load_scenario(case.write())
    path = case.folder / "resolved.toml"
    path.write_text(resolved_toml(scenario))
    again = load_scenario(path)
    assert again == scenario
    assert again.venue.funding.rate == {"BTC": 0.0, "ETH": -1e-4}
    assert again.inputs[str(case.folder / "paths.nc")] == file_hash(case.folder / "paths.nc")
    assert resolved_toml(again) == path.read_text()


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("trigger", ["maintenance", {"margin_level": 0.15}])
def test_a_resolved_scenario_loads_to_the_same(
    calibrated: bool, trigger: Any, case: Any, make_case: Any
) -> None:
    case.set("venue.trigger", trigger)
    case.set("market.drift", {"ETH": 0.1 + 0.2})
    if calibrated:
        case.use_calibration()
    scenario = load_scenario(case.write(), paths=50, mode="isolated")
    elsewhere = case.folder / "results" / "run"
    elsewhere.mkdir(parents=True)
    path = elsewhere / "scenario.toml"
    path.write_text(resolved_toml(scenario))
    again = load_scenario(path)
    assert again == scenario
    # equality overlooks the hashes, which only the resolved one has
    assert again.inputs == input_hashes(scenario)
    assert len(again.inputs) == 3 + calibrated
    # and it is a fixed point
    assert resolved_toml(again) == path.read_text()
    assert main(["validate", str(path)]) == 0


def test_a_resolved_scenario_is_complete(case: Any) -> None:
    for key in ("simulation", "limits"):
        case.drop(key)
    content = tomllib.loads(resolved_toml(load_scenario(case.write())))
    assert content["simulation"]["paths"] == 10_000
    assert content["market"]["drift"] == {"BTC": 0.0, "ETH": 0.0}
    assert content["venue"]["decision"] == {
        "kind": "leader",
        "latency": 0,
        "lag": 0,
        "shards": {},
    }
    assert content["venue"]["amount"] == "restore"
    assert "funding" not in content["venue"]
    accounts = case.folder / "accounts.csv"
    assert content["book"]["accounts"] == str(accounts)
    digest = hashlib.sha256(accounts.read_bytes()).hexdigest()
    assert content["inputs"][str(accounts)] == digest


def test_a_changed_input_is_refused_until_inputs_is_removed(case: Any) -> None:
    path = case.write()
    path.write_text(resolved_toml(load_scenario(path)))
    with (case.folder / "accounts.csv").open("a") as stream:
        stream.write("carol,1,all\n")
    assert main(["validate", str(path)]) == 2
    path.write_text(path.read_text().partition("[inputs]")[0])
    assert main(["validate", str(path)]) == 0


def test_what_asks_for_something_else_is_not_equal(case: Any) -> None:
    path = case.write()
    assert load_scenario(path) == load_scenario(path)
    assert load_scenario(path) != load_scenario(path, seed=1)
    assert load_scenario(path) != "two-books"


def test_a_folder_is_hashed_by_its_names_and_contents(tmp_path: Path) -> None:
    """Given prices may be a Zarr directory."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "one").write_text("1")
    (tmp_path / "two").write_text("2")
    before = file_hash(tmp_path)
    assert before == file_hash(tmp_path)
    (tmp_path / "two").write_text("3")
    changed = file_hash(tmp_path)
    (tmp_path / "two").rename(tmp_path / "deep" / "two")
    assert len({before, changed, file_hash(tmp_path)}) == 3
