"""Presets: complete, sourced, convex, true to published numbers; merging under a scenario."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import FrozenInstanceError
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest

from stress.errors import InputError
from stress.scenario.load import load_scenario
from stress.scenario.presets import Preset, load_preset, preset_names, with_preset
from stress.scenario.resolve import resolved_toml
from stress.scenario.schema import Venue
from stress.types import Amount, Deleveraging, Order

NAMES = (
    "binance-usdm",
    "bybit",
    "deribit",
    "dydx-v4",
    "glossary",
    "htx",
    "hyperliquid",
    "okx",
)
ASSETS = ("BTC", "ETH", "SOL", "BNB", "XRP", "ADA", "DOGE", "LTC", "LINK", "AVAX")

# Asset and notional, USD, to the maintenance margin that the venue asks for: its own deduction
# table where it publishes one (notional * rate - deduction), else rate * notional of its page.
PUBLISHED = [
    # GET /fapi/v1/leverageBracket, 2026-09-29: fields notionalFloor, maintMarginRatio, cum
    ("binance-usdm", "BTC", 300_000, 300_000 * 0.005 - 300),
    ("binance-usdm", "BTC", 100e6, 100e6 * 0.05 - 2_982_000),
    ("binance-usdm", "BTC", 230e6, 230e6 * 0.1 - 14_482_000),
    ("binance-usdm", "BTC", 2e9, 2e9 * 0.5 - 421_482_000),
    ("binance-usdm", "ETH", 100e6, 100e6 * 0.05 - 2_007_000),
    ("binance-usdm", "ETH", 1e9, 1e9 * 0.5 - 280_507_000),
    ("binance-usdm", "SOL", 20e6, 20e6 * 0.05 - 231_475),
    ("binance-usdm", "XRP", 100e6, 100e6 * 0.5 - 16_683_735),
    ("binance-usdm", "BNB", 100e6, 100e6 * 0.5 - 25_024_810),
    ("binance-usdm", "DOGE", 10e6, 10e6 * 0.05 - 116_280),
    ("binance-usdm", "ADA", 5e6, 5e6 * 0.05 - 56_300),
    ("binance-usdm", "LINK", 5e6, 5e6 * 0.05 - 47_050),
    ("binance-usdm", "AVAX", 5e6, 5e6 * 0.05 - 45_325),
    ("binance-usdm", "LTC", 5e6, 5e6 * 0.05 - 45_100),
    # GET /v5/market/risk-limit, 2024-12-25: riskLimitValue, maintenanceMargin, mmDeduction
    ("bybit", "BTC", 6e6, 6e6 * 0.01 - 20_500),
    ("bybit", "BTC", 80e6, 80e6 * 0.045 - 1_482_000),
    ("bybit", "BTC", 1e9, 1e9 * 0.6 - 226_382_000),
    ("bybit", "ETH", 10e6, 10e6 * 0.013 - 30_220),
    ("bybit", "DOGE", 40e6, 40e6 * 0.11 - 1_599_375),
    ("bybit", "LTC", 10e6, 10e6 * 0.4002 - 2_670_780),
    # Hyperliquid, margin tiers: half the initial rate of 40x, then 20x above 150m
    ("hyperliquid", "BTC", 150e6, 150e6 / 80),
    ("hyperliquid", "BTC", 250e6, 150e6 / 80 + 100e6 / 40),
    ("hyperliquid", "ETH", 40e6, 40e6 / 50),
    # OKX: one rate for the whole position, at the upper end of a tier. Contracts of 0.01 BTC at
    # 76 000, 0.1 ETH at 2 300, 1 SOL at 98, 100 ADA at 0.30
    ("okx", "BTC", 1_000 * 760, 1_000 * 760 * 0.004),
    ("okx", "BTC", 20_000 * 760, 20_000 * 760 * 0.0075),
    ("okx", "BTC", 400_000 * 760, 400_000 * 760 * 0.1025),
    ("okx", "ETH", 25_000 * 230, 25_000 * 230 * 0.0075),
    ("okx", "ETH", 500_000 * 230, 500_000 * 230 * 0.1025),
    ("okx", "SOL", 80_000 * 98, 80_000 * 98 * 0.03),
    ("okx", "ADA", 3_000 * 30, 3_000 * 30 * 0.0075),
    # HTX: adjustment factor over leverage 1, at the upper end of a tier; 0.001 BTC at 76 000
    ("htx", "BTC", 4_000 * 76, 4_000 * 76 * 0.005),
    ("htx", "BTC", 80_000 * 76, 80_000 * 76 * 0.015),
    # dYdX genesis: 2 % initial, of which 60 %; 10 %, of which 50 %
    ("dydx-v4", "BTC", 1e6, 12_000),
    ("dydx-v4", "LINK", 1e6, 50_000),
    # Deribit, Linear Perpetual: 25 BTC and 350 BTC at 100 000, 6 000 SOL at 200
    ("deribit", "BTC", 2.5e6, 28_125),
    ("deribit", "BTC", 35e6, 350 * 100_000 * (0.01 + 350 * 0.00005)),
    ("deribit", "SOL", 1.2e6, 6_000 * 200 * (0.02 + 6_000 * 0.000005)),
]


@pytest.fixture(params=NAMES)
def preset(request: pytest.FixtureRequest) -> Preset:
    return load_preset(request.param)


def maintenance(tiers: list[dict[str, float]], notional: float) -> float:
    """The requirement of a convex table: the area under its rates."""
    tops = [row["floor"] for row in tiers[1:]] + [float("inf")]
    return sum(
        row["rate"] * max(0.0, min(notional, top) - row["floor"])
        for row, top in zip(tiers, tops, strict=True)
    )


def leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted keys of everything that is no table; a tier table is one."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def scenario_of(name: str, **venue: Any) -> dict[str, Any]:
    return {"market": {"assets": ["BTC", "ETH"]}, "venue": {"preset": name, **venue}}


def test_the_presets_are_these() -> None:
    assert preset_names() == NAMES


def test_a_preset_says_what_it_is(preset: Preset) -> None:
    assert preset.name in NAMES
    assert preset.title
    assert date(2021, 1, 1) < preset.as_of < date(2027, 1, 1)
    assert preset.approximates
    assert all(text[0].isupper() or text[0] == "`" for text in preset.approximates)
    assert all(text.endswith(".") for text in preset.approximates)
    assert len(set(preset.approximates)) == len(preset.approximates)
    with pytest.raises(FrozenInstanceError):
        preset.name = "other"  # type: ignore[misc]


def test_every_key_has_a_source(preset: Preset) -> None:
    sourced = [key for source in preset.sources for key in source.keys]
    set_ = list(leaves(preset.venue))
    covered = {key for key in set_ if key in sourced or key.rpartition(".")[0] in sourced}
    assert covered == set(set_)
    assert all(any(key == name or name.startswith(f"{key}.") for name in set_) for key in sourced)


def test_a_source_has_a_grade_a_place_and_a_date(preset: Preset) -> None:
    for source in preset.sources:
        assert source.keys
        assert source.grade in ("S", "D", "M", "I")
        assert source.where
        assert type(source.read) is date
        assert date(2021, 1, 1) < source.read < date(2027, 1, 1)
        # what is inferred says from what
        assert source.note or source.grade != "I"


def test_tiers_are_convex(preset: Preset) -> None:
    for tiers in preset.venue.get("tiers", {}).values():
        assert tiers[0]["floor"] == 0
        assert all(low["floor"] < high["floor"] for low, high in pairwise(tiers))
        assert all(low["rate"] <= high["rate"] for low, high in pairwise(tiers))
        assert tiers[0]["rate"] > 0 and tiers[-1]["rate"] < 0.8


def test_keys_and_choices_are_those_of_the_scenario_file(preset: Preset) -> None:
    assert set(preset.venue) <= set(Venue.model_fields)
    assert preset.venue.get("order", "largest-loss") in get_args(Order)
    assert preset.venue.get("amount", "restore") in get_args(Amount)
    kind = preset.venue.get("deleveraging", {}).get("kind", "none")
    assert kind in get_args(Deleveraging)
    # pro-rata has no first position
    assert not (
        preset.venue.get("order") == "pro-rata" and preset.venue["amount"] in ("tier", "position")
    )


def test_every_asset_has_tiers(preset: Preset) -> None:
    if preset.venue["trigger"] != "maintenance":
        assert "tiers" not in preset.venue
        return
    assert "default" in preset.venue["tiers"]


@pytest.mark.parametrize("name", ["binance-usdm", "okx", "hyperliquid"])
def test_large_assets_have_tiers_of_their_own(name: str) -> None:
    assert set(ASSETS) <= set(load_preset(name).venue["tiers"])


@pytest.mark.parametrize(("name", "asset", "notional", "expected"), PUBLISHED)
def test_requirements_are_the_published_ones(
    name: str, asset: str, notional: float, expected: float
) -> None:
    tiers = load_preset(name).venue["tiers"][asset]
    assert maintenance(tiers, notional) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("name", ["okx", "htx"])
def test_the_convex_form_of_a_cliff_never_asks_for_more(name: str) -> None:
    """At the upper end of a tier it asks for the same, inside for less."""
    tiers = load_preset(name).venue["tiers"]["BTC"]
    ends = [row["floor"] for row in tiers[1:4]]
    rates = [maintenance(tiers, end) / end for end in ends]
    for low, high, rate in zip(ends, ends[1:], rates[1:], strict=False):
        middle = (low + high) / 2
        assert maintenance(tiers, middle) < rate * middle


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("binance", 'did you mean "binance-usdm"?'),
        ("OKX", 'did you mean "okx"?'),
        ("hyperliqid", 'did you mean "hyperliquid"?'),
        ("../okx", 'did you mean "okx"?'),
        ("zzz", "known: binance-usdm"),
    ],
)
def test_an_unknown_name_suggests(name: str, remedy: str) -> None:
    with pytest.raises(InputError) as caught:
        load_preset(name)
    assert caught.value.key == "venue.preset"
    assert f'no preset "{name}"' in caught.value.rule
    assert (caught.value.remedy or "").startswith(remedy)


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        with_preset(scenario_of(7), "a.toml")  # type: ignore[arg-type]
    assert str(caught.value).startswith("a.toml: venue.preset: must be the name of a preset, got 7")


def test_without_a_preset_nothing_changes() -> None:
    for raw in ({}, {"venue": {"fee": 0.1}}, {"venue": "okx"}, {"venue": ["preset"]}):
        assert with_preset(raw) == raw


def test_a_preset_fills_in_what_the_scenario_leaves_out() -> None:
    venue = with_preset(scenario_of("binance-usdm"))["venue"]
    assert venue["preset"] == "binance-usdm"
    assert (venue["trigger"], venue["amount"], venue["fee"]) == ("maintenance", "restore", 0.0125)
    assert "order" not in venue
    assert set(venue["tiers"]) == {"BTC", "ETH", "default"}
    assert venue["haircut"] == {"BTC": 0.05, "ETH": 0.05}


def test_the_scenario_overrides_key_by_key() -> None:
    tiers = {"ETH": [{"floor": 0, "rate": 0.01}]}
    raw = scenario_of(
        "binance-usdm",
        fee=0.001,
        order="pro-rata",
        haircut={"ETH": 0.2},
        tiers=tiers,
        fund={"balance": 5.0},
        deleveraging={"kind": "none"},
        trigger={"margin_level": 0.2},
    )
    before = copy.deepcopy(raw)
    venue = with_preset(raw)["venue"]
    assert (venue["fee"], venue["order"]) == (0.001, "pro-rata")
    assert venue["haircut"] == {"BTC": 0.05, "ETH": 0.2}
    assert venue["tiers"]["ETH"] == tiers["ETH"]
    assert venue["tiers"]["BTC"] == load_preset("binance-usdm").venue["tiers"]["BTC"]
    assert venue["fund"] == {"balance": 5.0}
    assert venue["deleveraging"] == {"kind": "none"}
    assert venue["trigger"] == {"margin_level": 0.2}
    assert raw == before


def test_the_trigger_is_replaced_whole() -> None:
    assert with_preset(scenario_of("glossary", trigger="maintenance"))["venue"]["trigger"] == (
        "maintenance"
    )


def test_what_is_no_table_is_left_for_validation() -> None:
    assert with_preset(scenario_of("okx", tiers=7))["venue"]["tiers"] == 7
    raw = {"market": {"assets": "BTC"}, "venue": {"preset": "okx"}}
    assert set(ASSETS) <= set(with_preset(raw)["venue"]["tiers"])


@pytest.mark.parametrize("name", NAMES)
def test_filling_in_twice_is_filling_in_once(name: str) -> None:
    raw = scenario_of(name, fee=0.002, tiers={"BTC": [{"floor": 0, "rate": 0.03}]})
    once = with_preset(raw)
    assert with_preset(once) == once


def test_a_preset_is_not_shared() -> None:
    first = with_preset(scenario_of("okx"))
    first["venue"]["tiers"]["BTC"].clear()
    assert with_preset(scenario_of("okx"))["venue"]["tiers"]["BTC"]


@pytest.mark.parametrize("name", NAMES)
def test_a_filled_in_scenario_is_valid(case: Any, name: str) -> None:
    case.write()
    case.scenario["venue"] = {"preset": name}
    filled = with_preset(case.scenario)
    del filled["venue"]["preset"]
    venue = load_scenario(filled, base=case.folder).venue
    assert venue.amount == load_preset(name).venue["amount"]


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_that_names_a_preset_loads_and_resolves(case: Any, name: str) -> None:
    case.scenario["venue"] = {"preset": name, "warning": 0.7}
    scenario = load_scenario(case.write())
    assert scenario.venue.warning == 0.7
    assert scenario.venue.amount == load_preset(name).venue["amount"]
    case.text = resolved_toml(scenario)
    assert load_scenario(case.write()) == scenario


def test_the_page_dates_every_preset(preset: Preset) -> None:
    page = (Path(__file__).parents[2] / "docs" / "presets.md").read_text(encoding="utf-8")
    assert f"| `{preset.name}` ({preset.as_of}) |" in page
