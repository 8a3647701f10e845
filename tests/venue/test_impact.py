"""Impact laws: odd, nothing at nothing, back where they were after a round trip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stress
from stress.book.setting import Setting
from stress.scenario.build import build_setting
from stress.venue.build import build_variant
from stress.venue.impact import Impact, Linear, NoImpact, SquareRoot
from tests.cascade_books import ASSETS, DEPTH_1PCT, PRICE, VOLATILITY, Case, scenario_of

DEPTH, ADV = jnp.asarray(DEPTH_1PCT), jnp.asarray([6e6, 1.2e7, 8e6, 1.5e6])
SCALE = jnp.asarray(VOLATILITY) / np.sqrt(365.0)
LAWS: list[Impact] = [NoImpact(), Linear(DEPTH), SquareRoot(SCALE, ADV)]
FLOWS = st.lists(st.floats(-1e9, 1e9), min_size=4, max_size=4)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
def test_odd_and_without_memory(law: Impact) -> None:
    """Sales move as much as buys; a flow and its opposite leave the mark where it was."""

    @settings(max_examples=20, deadline=None)
    @given(flow=FLOWS, other=FLOWS)
    def check(flow: list[float], other: list[float]) -> None:
        one, two = jnp.asarray(flow)[:, None], jnp.asarray(other)[:, None]
        there = law.log_move(one)
        np.testing.assert_array_equal(law.log_move(-one), -there)
        assert (law.log_move(jnp.zeros_like(one)) == 0).all()
        assert (jnp.sign(there) * jnp.sign(one) >= 0).all()
        back = law.log_move((one + two) - two - one)
        assert (
            np.abs(np.asarray(back)).max() <= np.abs(law.log_move(jnp.full_like(one, 1e-6))).max()
        )

    check()


def test_by_hand() -> None:
    flow = jnp.asarray([-1.5e5, 3e5, 4e5, 0.0])[:, None]
    np.testing.assert_allclose(LAWS[1].log_move(flow)[:, 0], [-0.01, 0.01, 0.02, 0.0])
    # a hundredth of a day's volume moves by a tenth of a daily volatility
    moved = LAWS[2].log_move(ADV[:, None] / 100)[:, 0]
    np.testing.assert_allclose(moved, np.asarray(SCALE) / 10)


@pytest.mark.parametrize("stated", ["adv", "depth_1pct"])
@pytest.mark.parametrize("coefficient", [1.0, 0.4])
def test_laws_agree_on_one_percent(tmp_path: Path, stated: str, coefficient: float) -> None:
    """Where only one of volume and depth is stated, both laws take the same flow to one percent."""
    setting = _setting(tmp_path, {"coefficient": coefficient}, stated)
    linear, root = (
        build_variant(setting, "float64", law).impact for law in ("linear", "square-root")
    )
    assert isinstance(linear, Linear) and isinstance(root, SquareRoot)
    flow = linear.depth[:, None]
    for law in (linear, root):
        np.testing.assert_allclose(law.log_move(flow), 0.01, rtol=1e-12)
        np.testing.assert_allclose(law.log_move(-flow), -0.01, rtol=1e-12)
    # beside it the root moves more below one percent, less above
    assert (root.log_move(flow / 4) > linear.log_move(flow / 4)).all()
    assert (root.log_move(flow * 4) < linear.log_move(flow * 4)).all()


def _setting(folder: Path, impact: dict[str, Any], stated: str) -> Setting:
    for name in ("accounts.csv", "positions.csv", "collateral.csv", "paths.nc"):
        (folder / name).touch()
    scenario = scenario_of(Case())
    kept = {**scenario["venue"]["impact"], **impact, "kind": "none"}
    del kept["depth_1pct" if stated == "adv" else "adv"]
    scenario["venue"]["impact"] = kept
    setting = build_setting(stress.load_scenario(scenario, base=folder))
    assert len(setting.assets) == len(ASSETS) == len(PRICE)
    return setting
