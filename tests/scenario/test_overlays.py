"""The tables ``[[stress]]``: what they mean, what is refused and where, their way into files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from stress.cli import main
from stress.errors import InputError
from stress.scenario.build import load_book
from stress.scenario.cascade import needs_cascade
from stress.scenario.load import load_scenario, with_options
from stress.scenario.overlay_checks import Span, beta, blended, span
from stress.scenario.overlays import Correlation, Shock
from stress.scenario.resolve import resolved_toml
from stress.scenario.schema import Scenario, json_schema

SHOCK = {"kind": "shock", "at": "2h", "over": "30min", "return": {"BTC": -0.15}}
VOLATILITY = {"kind": "volatility", "at": "2h", "window": "6h", "multiplier": 2.0}
CORRELATION = {"kind": "correlation", "at": "2h", "window": "6h", "target": 0.95, "weight": 0.5}
LIQUIDITY = {"kind": "liquidity", "at": "2h", "window": "6h", "multiplier": {"BTC": 0.1}}
DRIFT = {"kind": "drift", "at": 0, "rate": {"ETH": -1.0}}
DEPEG = {"kind": "depeg", "at": "2h", "return": {"BTC": -0.3}}
GAP = {"kind": "gap", "at": "10h", "over": "2h", "return": {"BTC": -0.1}, "beta_to": "BTC"}
ALL = [SHOCK, VOLATILITY, CORRELATION, LIQUIDITY, DRIFT, DEPEG, GAP]
IMPACT = {"kind": "square-root", "adv": {"BTC": 22e9, "ETH": 13e9}}
"""A move of 15 percent in half an hour, and one of every other kind."""


def loaded(case: Any, *overlays: dict[str, Any]) -> Scenario:
    case.set("stress", [dict(each) for each in overlays])
    if any(each["kind"] == "liquidity" for each in overlays):
        case.set("venue.impact", IMPACT)
    return load_scenario(case.write())


def test_every_kind_is_read_in_order(case: Any) -> None:
    scenario = loaded(case, *ALL)
    assert [each.kind for each in scenario.stress] == [each["kind"] for each in ALL]
    shock = scenario.stress[0]
    assert isinstance(shock, Shock)
    assert shock.returns == {"BTC": -0.15}
    assert scenario.stress[4].at == "0s"


def test_a_resolved_scenario_gives_the_same_again(case: Any, tmp_path: Path) -> None:
    scenario = loaded(case, *ALL)
    copy = tmp_path / "resolved.toml"
    copy.write_text(resolved_toml(scenario))
    assert load_scenario(copy) == scenario
    assert load_scenario(copy).stress == scenario.stress
    assert with_options(scenario, paths=5).stress == scenario.stress


def test_the_json_schema_knows_them(case: Any) -> None:
    case.set("stress", ALL)
    case.set("venue.impact", IMPACT)
    jsonschema.Draft202012Validator(json_schema()).validate(case.scenario)


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        (SHOCK, Span(24, 30)),
        ({**SHOCK, "over": 0}, Span(24, 24)),
        (VOLATILITY, Span(24, 96)),
        (DRIFT, Span(0, 288)),
        (GAP, Span(120, 144)),
    ],
)
def test_steps(case: Any, overlay: dict[str, Any], expected: Span) -> None:
    scenario = loaded(case, overlay)
    assert span(scenario, scenario.stress[0]) == expected


def test_beta_is_that_of_the_market(case: Any) -> None:
    scenario = loaded(case, {**SHOCK, "beta_to": "BTC"})
    assert beta(scenario, "ETH", "BTC") == pytest.approx(0.8 * 0.7 / 0.55)


def test_a_blend_is_part_of_the_way(case: Any) -> None:
    scenario = loaded(case, CORRELATION)
    overlay = scenario.stress[0]
    assert isinstance(overlay, Correlation)
    np.testing.assert_allclose(blended(scenario, overlay), [[1, 0.875], [0.875, 1]])


def test_a_halt_needs_the_cascade(case: Any) -> None:
    case.set("venue.amount", "all")
    case.drop("book.mode")
    case.set("book.mode", "cross")
    case.set("book.compare", [])
    scenario = loaded(case, SHOCK, VOLATILITY, CORRELATION, DRIFT)
    assert not needs_cascade(scenario, load_book(scenario)[0])
    scenario = loaded(case, GAP)
    assert needs_cascade(scenario, load_book(scenario)[0])


def change(overlay: dict[str, Any], **changes: Any) -> dict[str, Any]:
    both = {**overlay, **{key.rstrip("_"): value for key, value in changes.items()}}
    return {key: value for key, value in both.items() if value is not None}


NOT_ONE = [[1.0, 0.5], [0.4, 1.0]]
ERRORS = {
    "at or below -100 %": ([change(SHOCK, return_={"BTC": -1.0})], "stress[0].return.BTC", "above"),
    "unknown asset": ([SHOCK, change(DRIFT, rate={"XTC": 1.0})], "stress[1].rate.XTC", "unknown"),
    "unknown multiplier": (
        [change(VOLATILITY, multiplier={"XTC": 2.0})],
        "stress[0].multiplier.XTC",
        'did you mean "BTC"',
    ),
    "beta to another": (
        [change(SHOCK, beta_to="ETH")],
        "stress[0].beta_to",
        'must be an asset that return names, got "ETH"',
    ),
    "no whole steps": ([change(SHOCK, over="7min")], "stress[0].over", "which is 1.4 steps"),
    "at no step": ([change(VOLATILITY, at="1s")], "stress[0].at", "whole number of steps"),
    "after the end": ([change(SHOCK, at="2d")], "stress[0].over", "within the horizon"),
    "at once after the end": ([change(DEPEG, at="2d")], "stress[0].at", "within the horizon"),
    "window after the end": ([change(DRIFT, window="3d")], "stress[0].window", "within the"),
    "window of nothing": ([change(DRIFT, at="1d")], "stress[0].at", "within the horizon"),
    "at once at the start": ([change(DEPEG, at=0)], "stress[0].at", 'use at = "5min"'),
    "a halt of no time": ([change(GAP, over="0s")], "stress[0].over", "longer than zero"),
    "no returns": ([change(SHOCK, return_={})], "stress[0].return", "must not be empty"),
    "returns of nothing": ([change(SHOCK, return_={"BTC": 0.0})], "stress[0].return", "no effect"),
    "missing returns": ([change(SHOCK, return_=None)], "stress[0].return", "simple return by"),
    "multiplier of one": ([change(VOLATILITY, multiplier=1.0)], "stress[0].multiplier", "effect"),
    "multiplier of nothing": (
        [change(VOLATILITY, multiplier=0.0)],
        "stress[0].multiplier",
        "above",
    ),
    "weight of nothing": ([change(CORRELATION, weight=0.0)], "stress[0].weight", "no effect"),
    "target beyond one": ([change(CORRELATION, target=1.5)], "stress[0].target", "at most 1"),
    "target of another size": (
        [change(CORRELATION, target=[[1.0]])],
        "stress[0].target",
        "must be 2 x 2",
    ),
    "target not symmetric": (
        [change(CORRELATION, target=NOT_ONE)],
        "stress[0].target[0][1]",
        "must be symmetric",
    ),
    "two at once": (
        [VOLATILITY, change(VOLATILITY, at="7h", multiplier={"ETH": 2.0})],
        "stress[1]",
        "two overlays of kind volatility act on ETH at the same time, stress[0] is the other",
    ),
    "two halts": ([GAP, change(GAP, at="11h")], "stress[1]", "two overlays of kind gap"),
    "depth without impact": ([LIQUIDITY], "stress[0].kind", 'no effect with impact "none"'),
    "unknown kind": ([change(SHOCK, kind="crash")], "stress[0]", 'set kind to "shock", "vol'),
    "unknown key": ([change(SHOCK, retrun={})], "stress[0].retrun", 'did you mean "return"'),
    "no collateral": ([change(DEPEG, return_={"ETH": -0.3})], "stress[0].return.ETH", "collateral"),
    "no number": ([change(SHOCK, return_={"BTC": "x"})], "stress[0].return.BTC", "simple return"),
    "no time": ([change(SHOCK, at="soon")], "stress[0].at", "must be a duration"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_one_line_with_its_key(
    name: str, case: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    overlays, key, words = ERRORS[name]
    case.set("stress", [dict(each) for each in overlays])
    assert main(["validate", str(case.write())]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"scenario.toml: {key}: " in err
    assert words in err
    assert "; " in err


def test_windows_that_touch_are_two(case: Any) -> None:
    loaded(case, VOLATILITY, change(VOLATILITY, at="8h", multiplier=3.0))
    loaded(case, VOLATILITY, change(VOLATILITY, at="8h", multiplier={"ETH": 2.0}))
    loaded(
        case,
        change(VOLATILITY, multiplier={"BTC": 2.0}),
        change(VOLATILITY, multiplier={"ETH": 3.0}),
    )


def test_a_correlation_overlay_needs_a_regular_market(case: Any) -> None:
    case.set("market.correlation", [[1.0, 1.0], [1.0, 1.0]])
    with pytest.raises(InputError, match=r"stress\[0\]: needs a market\.correlation that is posit"):
        loaded(case, CORRELATION)


def test_a_bridge_cannot_follow_a_halt(case: Any) -> None:
    case.set("venue.amount", "all")
    case.set("simulation.monitoring", "bridge")
    loaded(case, SHOCK, VOLATILITY)
    with pytest.raises(InputError, match=r"stress\[1\]\.kind: a gap needs prices at the steps"):
        loaded(case, SHOCK, GAP)
