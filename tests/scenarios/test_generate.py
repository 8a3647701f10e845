"""The shipped scenarios: their tables come out of the generator and keep their files' promises."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stress.cli import main

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
NAMES = (
    "three_books",
    "hedged_books",
    "correlated_baskets",
    "directional",
    "practice_account",
)
TABLES = [f"{name}/{table}.csv" for name in NAMES for table in ("accounts", "positions")]


def scenario(name: str) -> dict[str, Any]:
    with (SCENARIOS / f"{name}.toml").open("rb") as file:
        return tomllib.load(file)


def rows(table: str) -> list[dict[str, str]]:
    with (SCENARIOS / table).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def maintenance(tiers: list[dict[str, float]], notional: float) -> float:
    """Maintenance amounts by continuity, then the largest of the tiers' lines."""
    amount, lines, last = 0.0, [], 0.0
    for tier in tiers:
        amount += tier["floor"] * (tier["rate"] - last)
        last = tier["rate"]
        lines.append(tier["rate"] * notional - amount)
    return max(lines)


def books(name: str) -> dict[str, dict[str, Any]]:
    """Each account's group, cash, equity, and its positions' notionals, requirements and sides."""
    said = scenario(name)
    price, tiers = said["market"]["price"], said["venue"]["tiers"]
    found: dict[str, dict[str, Any]] = {
        row["account"]: {"group": row["group"], "cash": float(row["cash"]), "positions": []}
        for row in rows(f"{name}/accounts.csv")
    }
    for row in rows(f"{name}/positions.csv"):
        asset, quantity = row["asset"], float(row["quantity"])
        notional = abs(quantity) * price[asset]
        found[row["account"]]["positions"].append(
            {
                "asset": asset,
                "side": np.sign(quantity),
                "notional": notional,
                "profit": quantity * (price[asset] - float(row["entry_price"])),
                "required": maintenance(tiers[asset], notional),
                "floor": tiers[asset][-1]["floor"],
                "leverage": float(row.get("leverage") or "nan"),
            }
        )
    return found


def test_the_committed_tables_are_the_generator_s(tmp_path: Path) -> None:
    subprocess.run([sys.executable, SCENARIOS / "generate.py", tmp_path], check=True)
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.csv"))
    assert written == sorted(TABLES)
    for table in TABLES:
        assert (tmp_path / table).read_bytes() == (SCENARIOS / table).read_bytes(), table


def test_the_tables_stay_small() -> None:
    assert sum((SCENARIOS / table).stat().st_size for table in TABLES) < 600_000


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_scenario_is_valid(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(SCENARIOS / f"{name}.toml")]) == 0
    warnings = capsys.readouterr().err.splitlines()
    # the books are some traders of a venue, and nobody in them is in breach at the start
    assert [line.startswith("warning: longs and shorts do not balance") for line in warnings] == [
        True
    ]


@pytest.mark.parametrize("name", NAMES)
def test_market_and_tiers_agree_across_scenarios(name: str) -> None:
    mine, whole = scenario(name), scenario("three_books")
    assets = mine["market"]["assets"]
    order = [whole["market"]["assets"].index(asset) for asset in assets]
    expected = np.array(whole["market"]["correlation"])[np.ix_(order, order)]
    np.testing.assert_array_equal(mine["market"]["correlation"], expected)
    assert np.linalg.eigvalsh(expected)[0] > 0.1
    for key in ("price", "volatility"):
        assert mine["market"][key] == {asset: whole["market"][key][asset] for asset in assets}
    assert mine["venue"]["tiers"] == {asset: whole["venue"]["tiers"][asset] for asset in assets}


@pytest.mark.parametrize("name", NAMES[:4])
def test_leverage_is_2_to_20_and_nobody_starts_near_a_breach(name: str) -> None:
    for account in books(name).values():
        held = account["positions"]
        gross = sum(position["notional"] for position in held)
        equity = account["cash"] + sum(position["profit"] for position in held)
        assert 2 <= gross / account["cash"] <= 20
        assert 2 <= gross / equity <= 20
        assert sum(position["required"] for position in held) <= 0.5 * equity
        for position in held:
            # brackets above the last floor are left out of the file
            assert position["notional"] < position["floor"]
            # isolated, a position's share of the equity is its share of the notional
            assert position["required"] <= 0.5 * equity * position["notional"] / gross


def test_the_three_books_are_what_their_file_says() -> None:
    found = books("three_books")
    assert len(found) == 3_000
    sizes: dict[str, list[int]] = {"hedged": [], "basket": [], "directional": []}
    for account in found.values():
        held = account["positions"]
        sizes[account["group"]].append(len(held))
        assert len({position["asset"] for position in held}) == len(held)
        sides = {position["side"] for position in held}
        if account["group"] == "hedged":
            assert sides == {1, -1}
            one, other = (position["notional"] for position in held)
            assert 0.4 < one / other < 2.5
            assert one != other
        elif account["group"] == "basket":
            assert len(sides) == 1
    assert {group: len(counts) for group, counts in sizes.items()} == dict.fromkeys(sizes, 1_000)
    assert {group: set(counts) for group, counts in sizes.items()} == {
        "hedged": {2},
        "basket": {3, 4, 5},
        "directional": {1, 2},
    }
    everything = [position for account in found.values() for position in account["positions"]]
    assert {position["asset"] for position in everything} == set(
        scenario("three_books")["market"]["assets"]
    )
    assert sum(position["notional"] > 3e6 for position in everything) > 10
    profits = np.array([position["profit"] / position["notional"] for position in everything])
    assert 0.005 < profits.std() < 0.03
    net = sum(position["side"] * position["notional"] for position in everything)
    assert net > 0.1 * sum(position["notional"] for position in everything)


def test_the_practice_account_puts_up_one_percent_a_trade() -> None:
    (account,) = books("practice_account").values()
    assert account["cash"] == 10_000
    assert len(account["positions"]) == 5
    for position in account["positions"]:
        assert position["notional"] / position["leverage"] == pytest.approx(100, abs=0.1)
        assert position["profit"] == 0
        assert position["required"] < 100 * 0.5
    assert len({row["position"] for row in rows("practice_account/positions.csv")}) == 5


def test_the_generator_is_importable() -> None:
    """Its draws are its own: a second book from the same seed is the same book."""
    spec = importlib.util.spec_from_file_location("generate", SCENARIOS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate"] = module
    spec.loader.exec_module(module)
    venue = module.read_venue("directional")
    assert list(module.accounts("directional", venue)) == list(
        module.accounts("directional", venue)
    )
