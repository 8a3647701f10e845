"""What the measures of a cascade find, labelled: names, dimensions and units as specified."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from stress.measure.block import Ownership
from stress.measure.cascade import CascadeMeasure, CausedLiquidations
from stress.measure.course import CourseMeasure
from stress.measure.decisions import DecisionMeasure
from stress.measure.detail import DetailMeasure
from stress.measure.laws import LawMeasure
from stress.measure.replay import replay_findings
from stress.measure.risk import EffectiveRisk
from stress.measure.world import Findings, Grouping, WorldMeasure
from stress.result.assemble import assemble, prefixed
from stress.result.distribution import loss_distribution
from stress.result.schema import GROUPS, find
from stress.result.summary import summarise
from tests.measure.blocks import cascade_outcome, random_block, request

ACCOUNTS, PATHS = 4, 30
ATTRIBUTES: dict[str, str | int | float] = {
    "title": "toy",
    "mode": "cross",
    "paths": PATHS,
    "accounts": ACCOUNTS,
    "assets": 1,
    "steps": 10,
    "duration_seconds": 1.0,
    "compile_seconds": 0.5,
    "account_path_steps_per_second": 1e6,
    "source": "margin-stress 0",
    "created_at": "2026-01-01T00:00:00Z",
    "jax_version": "0",
    "seed": 1,
    "scenario_sha256": "",
    "input_sha256": "",
    "notices": "",
    "confidence": 0.95,
}
LABELS = {
    "account": np.array(["a", "b", "c", "d"]),
    "position": np.array(["a", "b"]),
    "asset": np.array(["A"]),
    "group": np.array(["g", "h"]),
    "other_group": np.array(["g", "h"]),
    "law": np.array(["linear", "square-root"]),
    "decision": np.array(["leader", "sharded"]),
    "level": np.array([0.5, 0.9]),
    "quantile": np.array([0.5]),
    "share": np.array([0.01, 0.05, 0.1, 0.25, 0.5]),
    "step": np.arange(11.0),
}


def measured() -> list[Findings]:
    """Return the findings of every measure of the cascade, from random blocks."""
    grouping = Grouping(np.array([0, 0, 1, 1]), 2, np.ones(ACCOUNTS, bool))
    blocks = [random_block(seed, ACCOUNTS, PATHS) for seed in range(4)]
    own, without, other, leader = blocks
    ownership = Ownership(np.arange(4), np.arange(4), np.ones(4, bool), np.ones(4))
    outcome = cascade_outcome(4, 4, 1, 2 * PATHS, groups=2, paths=PATHS)
    outcome.fates.loser[0, ::2] = 1
    outcome.replay = type(
        "Replay",
        (),
        {
            "marks": np.ones((11, 1)),
            "fundamental": np.ones((11, 1)),
            "fund": np.ones(11),
            "closed": np.zeros(11),
        },
    )
    world = WorldMeasure(grouping, 1, request(PATHS), feedback=True)
    cascade = CascadeMeasure(grouping, request(PATHS))
    caused = CausedLiquidations(np.array([0, 0, 1, 1]), 2)
    laws = LawMeasure(2, grouping, request(PATHS))
    decision = DecisionMeasure(grouping, with_cascade=True)
    risk = EffectiveRisk(2, np.array([1, 0]), np.arange(4), np.ones(4), request(PATHS))
    course = CourseMeasure(10, 1)
    detail = DetailMeasure()
    world.update(own)
    cascade.update(own, without)
    caused.update(outcome.fates, without=1, variants=2, paths=PATHS)
    laws.update((own, other), without)
    decision.update(leader, own, (without, without))
    risk.update(outcome.fates.loser, own.loss)
    course.update(np.ones((11, 2 * PATHS)), PATHS)
    detail.update(own, np.ones((1, PATHS)))
    found = {group: dict(variables) for group, variables in world.finish().items()}
    for group, variables in cascade.finish().items():
        found.setdefault(group, {}).update(variables)
    return [
        found,
        prefixed(found, "cross"),
        caused.finish(0.95),
        laws.finish(),
        decision.finish(0.95),
        risk.finish(),
        course.finish((0.5,), 0.95),
        replay_findings(outcome, ownership, 0),
        loss_distribution(found["paths"]),
        {"detail": detail.finish()["detail"]},
    ]


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    return assemble(measured(), LABELS, {}, ATTRIBUTES, {})


FROM_MEASURES = ("paths", "impact", "decision", "course", "replay", "distribution", "detail")
"""Groups that no other room adds to."""


def test_everything_is_specified(tree: xr.DataTree) -> None:
    """Dimensions, units and meaning are those of the list; estimates have intervals."""
    for group, node in tree.children.items():
        for name, array in node.data_vars.items():
            base = str(name).removesuffix("_interval")
            spec = find(group, base)
            dims = spec.dims if base == name else (*spec.dims, "bound")
            assert array.dims == dims, (group, name)
            assert array.attrs.get("units", "") == spec.units, (group, name)
            if base == name and spec.estimate:
                assert f"{name}_interval" in node.data_vars, (group, name)


@pytest.mark.parametrize("group", FROM_MEASURES)
def test_everything_specified_is_there(tree: xr.DataTree, group: str) -> None:
    """The list promises nothing that no measure gives."""
    assert set(GROUPS[group]) <= set(tree[group].data_vars)


def test_compared_worlds_repeat_what_is_compared(tree: xr.DataTree) -> None:
    for group in ("paths", "book", "assets"):
        for name in GROUPS[group]:
            there = f"cross_{name}" in tree[group].data_vars
            assert there == find(group, name).compared, (group, name)
    assert "cross_expected_cascade_loss" in tree["book"].data_vars
    assert "cross_cascade_loss" in tree["paths"].data_vars


class TestSummary:
    def test_headlines(self, tree: xr.DataTree) -> None:
        """Each with its bounds, the tail of the cascade loss at the highest level."""
        summary, book = summarise(tree), tree["book"]
        for name in ("expected_cascade_loss", "cascade_multiplier", "fund_exhaustion_probability"):
            lower, upper = book[f"{name}_interval"].values
            assert summary[name] == {
                "estimate": float(book[name]),
                "lower": lower,
                "upper": upper,
            }
        shortfall = summary["cascade_loss_expected_shortfall"]
        assert shortfall["estimate"] == float(book["cascade_loss_expected_shortfall"][-1])
        # thirty paths have no upper bound at 90 %
        assert shortfall["upper"] is None
        assert summary["cascade_loss_value_at_risk"]["estimate"] == float(
            book["cascade_loss_value_at_risk"].sel(level=0.9)
        )

    def test_not_simulated(self, tree: xr.DataTree) -> None:
        """Without feedback null, not absent."""
        less = tree.copy()
        less["book"] = (
            less["book"]
            .to_dataset()
            .drop_vars(
                ["expected_cascade_loss", "cascade_multiplier", "cascade_loss_value_at_risk"]
            )
        )
        summary = summarise(less)
        for name in ("expected_cascade_loss", "cascade_multiplier", "cascade_loss_value_at_risk"):
            assert summary[name] is None
        assert summary["fund_exhaustion_probability"] is not None


class TestHistograms:
    def test_multipliers_that_are_not_there(self) -> None:
        """Only paths that have one are counted; none at all is no error."""
        base = {"total_loss": np.arange(4.0), "net_loss": np.arange(4.0)}
        some = loss_distribution({**base, "cascade_multiplier": np.array([1.0, np.nan, 3.0, 2.0])})
        assert np.sum(some["distribution"]["cascade_multiplier_paths"]) == 3
        none = loss_distribution({**base, "cascade_multiplier": np.full(4, np.nan)})
        assert np.sum(none["distribution"]["cascade_multiplier_paths"]) == 0
        assert "cascade_loss_paths" not in none["distribution"]

    @pytest.mark.parametrize("numbers", [[1.0, 1.0 + 2**-52, 1.0], [0.0] * 3, [1e18, 1e18 + 128]])
    def test_rounding_is_no_range(self, numbers: list[float]) -> None:
        """Multipliers that differ in the last digit fall into one bin."""
        paths = {"total_loss": np.array(numbers), "net_loss": np.array([-1.0, 1.0])}
        found = loss_distribution(paths)["distribution"]
        counts = np.asarray(found["total_loss_paths"])
        assert counts.max() == counts.sum() == len(numbers)
        assert (np.diff(np.asarray(found["total_loss_edges"])) > 0).all()
