"""The section of limit curves: what stands in it, and bands that are drawn as steps."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from stress.measure.curves import MULTIPLES
from stress.report import figures
from stress.report.sections import curves

from .sample import SampleGroup, sample_tree

Floats = NDArray[np.float64]

GROUPS = ("hedged", "<b>odd</b>")
ACCOUNTS = ("a-1", "a-2", "b-1", "broke")


def curve(centre: float, *, falls: bool) -> Floats:
    steepness = (-3 if falls else 3) * np.log(MULTIPLES / centre)
    return np.asarray(1 / (1 + np.exp(-steepness)))


@pytest.fixture
def tree() -> xr.DataTree:
    out = SampleGroup(
        "curves", {"group": list(GROUPS), "account": list(ACCOUNTS), "multiple": MULTIPLES}
    )
    for world, shift in (("", 1.0), ("cross_", 1.0), ("isolated_", 1.5)):
        for axis, falls in (("collateral", True), ("size", False)):
            for name, count in ((f"{axis}", 2), (axis, 4)):
                prefix = "" if count == 2 else "account_"
                value = np.stack(
                    [curve(shift * (0.5 + 0.2 * row), falls=falls) for row in range(count)]
                )
                if count == 4 and axis == "size":
                    value[3] = np.nan
                full = f"{world}{prefix}liquidation_probability_by_{name}"
                out.estimate(full, value, 0.9 * value, np.minimum(1.1 * value, 1))
            out.put(f"{world}accounts_by_{axis}", np.array([12, 7 if world or falls else 5]))
    out.put("account_group", [GROUPS[0], GROUPS[0], GROUPS[1], GROUPS[1]])
    leverage = np.array([5.0, 10.0, 3.0, np.nan])[:, None] * MULTIPLES
    out.put("effective_leverage_by_size", leverage)
    tree = sample_tree(20)
    said = {"paths": 1_024, "accounts": 23, "notes": "Price impact is left out."}
    tree["curves"] = xr.DataTree(out.dataset(said))
    return tree


def test_applies(tree: xr.DataTree) -> None:
    assert curves.SECTION.applies(tree)
    assert not curves.SECTION.applies(sample_tree(20))


def test_says_what_it_rests_on(tree: xr.DataTree) -> None:
    content = curves.SECTION.content(tree)
    assert "23 accounts and 1,024 paths" in content.lead[0]
    assert "Price impact is left out." in content.notes
    by_collateral, by_size, *own = content.figures
    assert "Accounts: 12 of hedged and 7 of <b>odd</b>." in by_collateral.caption
    # they differ between the worlds
    assert "Accounts cross margin: 12 of hedged and 5 of <b>odd</b>." in by_size.caption
    assert len(own) == 2


def test_bands_are_steps(tree: xr.DataTree) -> None:
    """Falling: a point's upper bound holds to its right, its lower one to its left."""
    for axis, upper, lower in (("collateral", "hv", "vh"), ("size", "vh", "hv")):
        for figure in (
            figures.group_limit_curves(tree, axis),
            figures.account_limit_curves(tree, axis),
        ):
            filled = [place for place, trace in enumerate(figure.data) if trace.fill == "tonexty"]
            assert filled
            for place in filled:
                assert figure.data[place].line.shape == upper
                assert figure.data[place - 1].line.shape == lower
                assert (figure.data[place].y >= figure.data[place - 1].y).all()


def test_every_world_and_group_has_a_curve(tree: xr.DataTree) -> None:
    figure = figures.group_limit_curves(tree, "collateral")
    shown = {trace.name for trace in figure.data if trace.showlegend}
    assert shown == {
        f"{group}, {world} margin"
        for group in ("hedged", "&lt;b&gt;odd&lt;/b&gt;")
        for world in ("cross", "isolated")
    }
    # the present is marked, at 1
    (line,) = figure.layout.shapes
    assert (line.x0, line.x1) == (1, 1)


def test_accounts_over_leverage(tree: xr.DataTree) -> None:
    """Each in its panel, marked at its own leverage; none of an account without equity."""
    figure = figures.account_limit_curves(tree, "size")
    curves_drawn = [trace for trace in figure.data if trace.marker.size == 4]
    assert len(curves_drawn) == 2 * 3
    assert [line.x0 for line in figure.layout.shapes] == [5, 10, 3]
    np.testing.assert_allclose(curves_drawn[0].x, 5 * MULTIPLES)
