"""Loading: defaults, relative paths, calibration, options, and nothing but InputError."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stress.errors import InputError
from stress.scenario.durations import duration_seconds
from stress.scenario.load import load_scenario, with_options
from stress.scenario.schema import MarginLevel


def test_defaults_are_filled_in_and_paths_absolute(case: Any) -> None:
    case.drop("book.collateral")
    for key in ("simulation", "limits"):
        case.drop(key)
    scenario = load_scenario(case.write())
    assert scenario.simulation.paths == 10_000
    assert (scenario.simulation.horizon, scenario.simulation.step) == ("7d", "5min")
    assert scenario.simulation.levels == (0.95, 0.99)
    assert scenario.simulation.quantiles == (0.05, 0.5, 0.95)
    assert (scenario.simulation.seed, scenario.simulation.detail) == (0, False)
    assert (scenario.venue.warning, scenario.venue.fee, scenario.venue.amount) == (
        0.8,
        0.005,
        "restore",
    )
    venue = scenario.venue
    assert (venue.order, venue.step_fraction, venue.buffer) == ("largest-loss", 0.25, 0.05)
    assert (venue.rounds_per_step, venue.fund.balance, venue.funding) == (8, 0.0, None)
    assert venue.impact.model_dump() == {
        "kind": "none",
        "coefficient": 1.0,
        "adv": {},
        "depth_1pct": {},
        "permanent": 0.3,
        "relaxation": "1h",
        "depth_elasticity": 0.0,
    }
    assert scenario.market.drift == {"BTC": 0.0, "ETH": 0.0}
    assert scenario.venue.haircut == {"BTC": 0.05, "ETH": 0.0}
    assert scenario.book.accounts == case.folder / "accounts.csv"
    assert scenario.book.collateral is None
    assert scenario.source == case.folder / "scenario.toml"
    assert scenario.worlds == ("as-booked", "cross", "isolated")


def test_a_dict_loads_like_the_file(case: Any) -> None:
    from_file = load_scenario(case.write())
    assert load_scenario(case.scenario, base=case.folder) == from_file


def test_a_scenario_is_frozen(case: Any) -> None:
    scenario = load_scenario(case.write())
    with pytest.raises(ValueError, match="frozen"):
        scenario.__setattr__("name", "other")


@pytest.mark.parametrize(
    "text",
    ['"2026-11-20T00:00:00Z"', "2026-11-20T01:00:00+01:00", "2026-11-20T00:00:00", "2026-11-20"],
)
def test_moments_are_utc_unless_they_say_otherwise(text: str, case: Any) -> None:
    path = case.write()
    written = path.read_text()
    path.write_text(written.replace('as_of = "2026-11-20T00:00:00Z"', f"as_of = {text}"))
    assert load_scenario(path).market.as_of == datetime(2026, 11, 20, tzinfo=UTC)


def test_one_asset_needs_no_correlation(case: Any) -> None:
    case.set("market.assets", ["BTC"])
    for key in ("price", "volatility"):
        case.drop(f"market.{key}.ETH")
    case.drop("market.correlation")
    case.files["positions.csv"] = "account,asset,quantity,entry_price\nbob,BTC,1,60000\n"
    assert load_scenario(case.write()).market.correlation == ((1.0,),)


def test_given_prices_need_no_correlation(case: Any) -> None:
    case.drop("market.correlation")
    case.set("market.model", "given")
    case.set("market.file", "paths.nc")
    case.files["paths.nc"] = b"read by the run"
    market = load_scenario(case.write()).market
    assert market.file == case.folder / "paths.nc"
    assert market.correlation == ((1.0, 0.0), (0.0, 1.0))
    case.set("market.correlation", [[1.0, 0.5], [0.5, 1.0]])
    assert load_scenario(case.write()).market.correlation == ((1.0, 0.5), (0.5, 1.0))


def test_the_margin_level_needs_no_tiers(case: Any) -> None:
    case.set("venue", {"trigger": {"margin_level": 0.15}})
    assert load_scenario(case.write()).venue.trigger == MarginLevel(margin_level=0.15)


def test_a_calibration_gives_a_subset_in_the_order_of_the_scenario(case: Any) -> None:
    case.use_calibration()
    case.drop("market.as_of")
    case.set("market.price", {"BTC": 70_000})
    market = load_scenario(case.write()).market
    # what the scenario states wins
    assert market.price == {"BTC": 70_000.0, "ETH": 2_500.0}
    assert market.volatility == {"BTC": 0.55, "ETH": 0.7}
    assert market.correlation == ((1.0, 0.8), (0.8, 1.0))
    assert market.as_of == datetime(2026, 1, 1, tzinfo=UTC)
    case.set("market.correlation", [[1.0, 0.1], [0.1, 1.0]])
    case.set("market.as_of", "2026-11-20T00:00:00Z")
    market = load_scenario(case.write()).market
    assert market.correlation == ((1.0, 0.1), (0.1, 1.0))
    assert market.as_of == datetime(2026, 11, 20, tzinfo=UTC)


def test_options_win_over_the_file(case: Any) -> None:
    path = case.write()
    scenario = load_scenario(path, paths=5, seed=9, mode="cross")
    assert (scenario.simulation.paths, scenario.simulation.seed) == (5, 9)
    # a world is not compared with itself
    assert scenario.worlds == ("cross", "isolated")
    assert scenario.source == path
    assert with_options(scenario) is scenario
    assert with_options(load_scenario(path), paths=5, seed=9, mode="cross") == scenario
    with pytest.raises(InputError, match=r"^simulation\.paths: must be at least 1, got 0; give"):
        load_scenario(path, paths=0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5min", 300), ("1h", 3600), ("1.5h", 5400), ("7d", 604_800), ("2w", 1_209_600)],
)
def test_durations(text: str, seconds: int) -> None:
    assert duration_seconds(text) == seconds


def test_decimal_steps_divide_exactly(case: Any) -> None:
    # 0.1 s is no binary fraction, 3 h are 108,000 of them all the same
    case.set("simulation.step", "0.1s")
    case.set("simulation.horizon", "3h")
    assert load_scenario(case.write()).simulation.step == "0.1s"


def test_a_matrix_at_the_suggested_repair_is_accepted(case: Any) -> None:
    case.set("market.assets", ["BTC", "ETH", "SOL"])
    case.set("market.price.SOL", 100)
    case.set("market.volatility.SOL", 0.9)
    matrix = [[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]]
    case.set("market.correlation", matrix)
    with pytest.raises(InputError, match="at most ") as caught:
        load_scenario(case.write())
    factor = float(str(caught.value).split("at most ")[1])
    repaired = [
        [x if i == j else x * factor for j, x in enumerate(r)] for i, r in enumerate(matrix)
    ]
    case.set("market.correlation", repaired)
    load_scenario(case.write())


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["5min", "BTC", "default", "cross", ".", "2026-01-01", "\0", "a" * 5000]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=6) | st.sampled_from(["BTC", "floor", "kind"]), inner)
    ),
    max_leaves=5,
)


def places(node: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return every place of a nested dict or list."""
    children: list[tuple[Any, object]] = []
    if isinstance(node, dict):
        children = list(node.items())
    elif isinstance(node, list):
        children = list(enumerate(node))
    return [(*path, key) for key, _ in children] + [
        place for key, child in children for place in places(child, (*path, key))
    ]


def mutate(scenario: dict[str, Any], data: st.DataObject) -> None:
    """Delete, replace or add one thing anywhere."""
    *way, last = data.draw(st.sampled_from(places(scenario)))
    node: Any = scenario
    for key in way:
        node = node[key]
    action = data.draw(st.sampled_from(["delete", "replace", "add"]))
    if action == "delete":
        del node[last]
    elif action == "replace" or isinstance(node, list):
        node[last] = data.draw(JUNK)
    else:
        node[data.draw(st.text(max_size=8))] = data.draw(JUNK)


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory, make_case: Any) -> tuple[dict[str, Any], Path]:
    case = make_case(tmp_path_factory.mktemp("valid"))
    case.use_calibration()
    case.set("market.correlation", [[1.0, 0.8], [0.8, 1.0]])
    case.write()
    return case.scenario, case.folder


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_is_changed_gives_a_scenario_or_an_input_error(
    data: st.DataObject, valid: tuple[dict[str, Any], Path]
) -> None:
    scenario, folder = copy.deepcopy(valid[0]), valid[1]
    for _ in range(data.draw(st.integers(1, 3))):
        if places(scenario):
            mutate(scenario, data)
    try:
        load_scenario(scenario, base=folder)
    except InputError as error:
        assert "\n" not in str(error)
        assert error.remedy
