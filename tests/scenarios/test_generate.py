"""The shipped scenarios: their tables come out of the generator and keep their files' promises."""

from __future__ import annotations

import csv
import importlib.util
import math
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stress.cli import main

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
CASCADES = (
    "cascade_long_crowd",
    "correlated_basket_cascade",
    "hedged_squeeze",
    "fund_exhaustion",
    "leader_or_shards",
)
BOOKS = (
    "three_books",
    "hedged_books",
    "correlated_baskets",
    "directional",
    "practice_account",
    *CASCADES,
)
NAMES = (*BOOKS, "fund_exhaustion_socialised")
EVENTS = ("events/book", "events/book_2020")
COINS = ("events/book/accounts_with_coins.csv", "events/book/collateral.csv")
TABLES = [
    *(f"{name}/{table}.csv" for name in (*BOOKS, *EVENTS) for table in ("accounts", "positions")),
    *COINS,
]
LEVERAGE = {
    ("cascade_long_crowd", "crowd"): (5, 25),
    ("cascade_long_crowd", "hedged"): (5, 20),
    ("cascade_long_crowd", "short"): (2, 10),
    ("correlated_basket_cascade", "basket"): (3, 20),
    ("hedged_squeeze", "hedged"): (4, 15),
    ("hedged_squeeze", "shorts"): (5, 25),
    ("hedged_squeeze", "longs"): (2, 5),
    ("hedged_squeeze", "bystanders"): (4, 15),
    ("fund_exhaustion", "crowd"): (10, 25),
    ("fund_exhaustion", "winners"): (2, 6),
    ("leader_or_shards", "hedged"): (15, 40),
    ("leader_or_shards", "directional"): (5, 25),
}
"""Scenario and group to its range of gross notional over cash; (2, 20) where it is not named."""
STRESS = {"leader_or_shards": (5.0, 0.75)}
"""Scenario to the factor of its volatilities, and the share of the way of correlations to 1."""


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
    assert sum((SCENARIOS / table).stat().st_size for table in TABLES) < 700_000


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_scenario_is_valid(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(SCENARIOS / f"{name}.toml")]) == 0
    warnings = capsys.readouterr().err.splitlines()
    # the books are some traders of a venue, and nobody in them is in breach at the start
    assert [line.startswith("warning: longs and shorts do not balance") for line in warnings] == [
        True
    ]


def test_no_shipped_scenario_is_forgotten() -> None:
    assert {file.stem for file in SCENARIOS.glob("*.toml")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_market_and_tiers_agree_across_scenarios(name: str) -> None:
    mine, whole = scenario(name), scenario("three_books")
    factor, towards_one = STRESS.get(name, (1.0, 0.0))
    assets = mine["market"]["assets"]
    order = [whole["market"]["assets"].index(asset) for asset in assets]
    usual = np.array(whole["market"]["correlation"])[np.ix_(order, order)]
    expected = usual + towards_one * (1 - usual)
    correlation = np.array(mine["market"]["correlation"])
    # written with two decimals
    np.testing.assert_allclose(correlation, expected, rtol=0, atol=0.0051 if towards_one else 0)
    assert np.linalg.eigvalsh(correlation)[0] > 0.1 * (1 - towards_one)
    assert mine["market"]["price"] == {asset: whole["market"]["price"][asset] for asset in assets}
    for asset in assets:
        usual_volatility = whole["market"]["volatility"][asset]
        assert mine["market"]["volatility"][asset] == pytest.approx(factor * usual_volatility)
    assert mine["venue"]["tiers"] == {asset: whole["venue"]["tiers"][asset] for asset in assets}


@pytest.mark.parametrize("name", [*CASCADES, "fund_exhaustion_socialised"])
def test_the_two_impact_laws_agree_on_a_move_of_three_percent(name: str) -> None:
    said = scenario(name)
    impact = said["venue"]["impact"]
    assert impact["kind"] == "square-root"
    for asset in said["market"]["assets"]:
        daily = impact["coefficient"] * said["market"]["volatility"][asset] / math.sqrt(365)
        flow = impact["adv"][asset] * (0.03 / daily) ** 2
        linear = 0.01 * flow / impact["depth_1pct"][asset]
        assert linear == pytest.approx(0.03, rel=0.03), asset


@pytest.mark.parametrize("name", [name for name in BOOKS if name != "practice_account"])
def test_leverage_is_in_range_and_nobody_starts_near_a_breach(name: str) -> None:
    for account in books(name).values():
        held = account["positions"]
        low, high = LEVERAGE.get((name, account["group"]), (2, 20))
        gross = sum(position["notional"] for position in held)
        equity = account["cash"] + sum(position["profit"] for position in held)
        assert low <= gross / account["cash"] <= high
        assert low <= gross / equity <= high
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


def test_the_practice_accounts_plan_to_risk_one_percent_a_trade() -> None:
    found = books("practice_account")
    assert list(found) == ["margin", "stops"]
    for account in found.values():
        assert account["cash"] == 10_000
        assert len(account["positions"]) == 5
        for position in account["positions"]:
            assert position["notional"] == pytest.approx(5_000, abs=5)
            assert position["profit"] == 0
            assert position["required"] < 100 * 0.5
    for position in found["margin"]["positions"]:
        assert position["notional"] / position["leverage"] == pytest.approx(100, abs=0.1)
    table = rows("practice_account/positions.csv")
    assert len({row["position"] for row in table}) == 10
    for row in table:
        entry, quantity = float(row["entry_price"]), float(row["quantity"])
        if row["account"] == "margin":
            assert row["stop_price"] == ""
            continue
        assert quantity * (entry - float(row["stop_price"])) == pytest.approx(100, abs=0.3)
        # the stop comes before the isolated liquidation price
        assert entry * (1 - 1 / float(row["leverage"])) < float(row["stop_price"])


def test_who_is_long_and_who_is_short_is_what_the_files_say() -> None:
    def sides(name: str, group: str) -> set[tuple[str, float]]:
        return {
            (position["asset"], position["side"])
            for account in books(name).values()
            if account["group"] == group
            for position in account["positions"]
        }

    crowd = {("SOL", 1), ("DOGE", 1), ("AVAX", 1)}
    assert sides("cascade_long_crowd", "crowd") == crowd
    assert sides("fund_exhaustion", "crowd") == crowd
    assert sides("fund_exhaustion", "winners") == {(asset, -1) for asset, _ in crowd}
    assert sides("hedged_squeeze", "shorts") == {("AVAX", -1)}
    assert sides("hedged_squeeze", "longs") == {("AVAX", 1)}
    hedged = sides("hedged_squeeze", "hedged")
    assert hedged == {("AVAX", -1), ("BTC", 1), ("ETH", 1), ("SOL", 1)}
    assert not any(asset == "AVAX" for asset, _ in sides("hedged_squeeze", "bystanders"))


def test_the_two_ways_to_pay_differ_in_nothing_else() -> None:
    one, other = scenario("fund_exhaustion"), scenario("fund_exhaustion_socialised")
    assert one.pop("name") != other.pop("name")
    assert one["venue"].pop("deleveraging") == {"kind": "auto-deleverage"}
    assert other["venue"].pop("deleveraging") == {"kind": "socialised"}
    assert one == other


def test_every_asset_of_the_shards_has_its_own() -> None:
    said = scenario("leader_or_shards")
    shards = said["venue"]["decision"]["shards"]
    assert sorted(shards.values()) == list(range(len(said["market"]["assets"])))


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
