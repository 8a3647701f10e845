"""A whole result against its written specification, in memory and on disk."""

from __future__ import annotations

import json
import re
from pathlib import Path
from shutil import copytree
from typing import Any

import jsonschema
import numpy as np
import pytest
import xarray as xr

import stress
from stress.errors import InputError
from stress.result.schema import (
    BOUNDS,
    DIMENSIONS,
    GROUPS,
    SCHEMA_VERSION,
    WORLD_PREFIX,
    Variable,
    find,
)
from stress.result.store import RESULT, save_result
from stress.result.summary import summarise, to_json
from stress.result.summary_schema import summary_schema
from stress.runner.cascade import CascadeDriver
from stress.runner.passage import PassageDriver
from tests.strategies import ASSETS, random_book, write_book

KINDS = {
    "first passage": ("cross_coins", "isolated_alone", "stated_leverage", "idle", "broken"),
    # nobody is isolated: the world as booked is the cross one, and one kernel less is compiled
    "cascade": ("cross_coins", "cross_several", "stated_leverage", "idle", "broken"),
}
CHANGES: dict[str, Any] = {
    "book.compare": ["cross", "isolated"],
    "simulation.detail": True,
    "simulation.seed": 91,
    "simulation.paths": 150,
    "limits": {
        "max_account_liquidation_probability": 0.5,
        "max_group_any_liquidation_probability": {"idle": 0.5, "cross_coins": 0.01},
        "max_expected_shortfall": 1e7,
        "max_uncovered_loss": 1e7,
        "max_fund_exhaustion_probability": 1.0,
        "max_fund_draw": 1e7,
        "max_reproduction_number": 1e7,
    },
    "venue.fund": {"balance": 1_000.0},
    "venue.impact": {"adv": dict.fromkeys(ASSETS, 2e6)},
}
VENUE = {
    "venue.amount": "restore",
    "venue.impact": {"kind": "square-root", "adv": dict.fromkeys(ASSETS, 2e6)},
    "venue.deleveraging": {"kind": "socialised"},
    "venue.decision": {
        "kind": "sharded",
        "shards": {asset: number % 2 for number, asset in enumerate(ASSETS)},
        "lag": 1,
    },
}
"""What turns the run into one with feedback and late decisions."""

ONLY_CASCADE = {
    "accounts": {
        "hidden_distress",
        "liquidation_probability_without_feedback",
        "liquidation_probability_change",
    },
    "positions": {"effective_risk_mean", "effective_risk_shortfall", "effective_risk_paths"},
    "paths": {
        "cascade_loss",
        "cascade_multiplier",
        "socialised_loss",
        "deleveraged_notional",
        "false_liquidations",
        "over_closed_notional",
        "late_steps",
        "rounds_exhausted",
    },
    "assets": {"price_overshoot_mean", "price_overshoot_quantile"},
    "groups": {"caused_liquidations", "feedback_liquidations", "market_liquidations"},
    "book": {
        "expected_cascade_loss",
        "cascade_loss_value_at_risk",
        "cascade_loss_expected_shortfall",
        "cascade_multiplier",
        "expected_socialised_loss",
        "expected_deleveraged_notional",
        "expected_false_liquidations",
        "expected_over_closed_notional",
        "expected_late_steps",
        "rounds_exhausted_probability",
    },
    "distribution": {
        "cascade_loss_edges",
        "cascade_loss_paths",
        "cascade_multiplier_edges",
        "cascade_multiplier_paths",
    },
}
"""What first passage leaves out, besides whole groups."""
ONLY_CASCADE_GROUPS = {"impact", "decision", "course", "replay"}

ONLY_RESAMPLED_GROUPS = {"influence"}
"""What only a run that draws rows of a history has (tests/runner/test_resampling_run.py)."""

ONLY_ASKED_GROUPS = {
    "curves",
    "diagnostics",
    "limit_values",
    "remedies",
    "reverse_stress",
    "sensitivities",
}
"""What only a run that asks for an analysis has, or `limits`: the tests of that look at it."""

ONLY_WEIGHTED = {"liquidation_estimator"}
"""What only a run with weighted paths has (tests/runner/test_importance_run.py)."""

ONLY_LEFT_OUT = {"others_loss", "systemic_importance", "systemic_share"}
"""What only a run that leaves accounts out has (tests/runner/test_attribution_run.py)."""

ONLY_EXTREMES = {"liquidation_probability_at_closes"}
"""What only a run that looks at the lows and highs of bars has."""

ONLY_DRAWN = {
    name
    for named in GROUPS.values()
    for name in named
    if name.endswith(("_calibration_interval", "_combined_interval"))
}
"""What only a run that draws the market's parameters has."""

Run = tuple[xr.DataTree, Path, str]


@pytest.fixture(scope="module", params=list(KINDS))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return the result of a small run, its folder and its engine; the cascade has everything on.

    The first is the shape of tests of the runner, which compile it too.
    """
    engine: str = request.param
    base = tmp_path_factory.mktemp("book")
    folder = base / "new" / "folder"
    changes = CHANGES if engine == "first passage" else {**CHANGES, **VENUE}
    scenario = write_book(base, random_book(91, KINDS[engine]), changes)
    return stress.run(scenario, out=folder), folder, engine


@pytest.fixture(scope="module")
def tree(run: Run) -> xr.DataTree:
    return run[0]


@pytest.fixture(scope="module")
def left_out(run: Run) -> dict[str, set[str]]:
    """Return the variables of each group that the run cannot have."""
    if run[2] == "cascade":
        return {}
    return {**ONLY_CASCADE, **{group: set(GROUPS[group]) for group in ONLY_CASCADE_GROUPS}}


def variables(tree: xr.DataTree) -> list[tuple[str, str, xr.DataArray]]:
    return [
        (group, str(name), array)
        for group, node in tree.children.items()
        for name, array in node.data_vars.items()
    ]


def is_interval(group: str, name: str) -> bool:
    """Return whether the variable is the interval of an estimate beside it."""
    try:
        find(group, name)
    except KeyError:
        return name.endswith("_interval")
    return False


UNITS = {
    r"loss.*_(calibration|combined)_interval|(loss|shortfall)_by_correlation": "USD",
    r"overshoot|effective_risk_(mean|shortfall)": "1",
    r"probability|ratio|(?<!de)leverage|margin_level|planned_risk|minus|correlation|distance": "1",
    r"_paths$|accounts$|_step$": "count",
    r"time": "days",
    r"loss|equity|notional|excess|at_risk|shortfall|position|price|maintenance|mark_end": "USD",
}
"""What a name says of its unit; the first that fits."""


class TestSpecification:
    def test_everything_is_specified(self, tree: xr.DataTree) -> None:
        """Group, dimensions, unit and meaning of every variable are those of the list."""
        for group, name, array in variables(tree):
            if is_interval(group, name):
                spec = find(group, name.removesuffix("_interval"))
                assert spec.estimate or group == "limits", (group, name)
                assert array.dims == (*spec.dims, "bound"), (group, name)
            else:
                spec = find(group, name)
                assert array.dims == spec.dims, (group, name)
                assert array.attrs["long_name"] == spec.meaning, (group, name)
            assert array.attrs.get("units", "") == spec.units, (group, name)

    def test_everything_specified_is_there(
        self, tree: xr.DataTree, left_out: dict[str, set[str]]
    ) -> None:
        """The list promises nothing that a run with everything on does not give.

        What first passage cannot have is left out, not 0.
        """
        drawn = set(GROUPS) - ONLY_RESAMPLED_GROUPS - ONLY_ASKED_GROUPS
        assert set(tree.children) == drawn - (ONLY_CASCADE_GROUPS & left_out.keys())
        for group, node in tree.children.items():
            named = set(GROUPS[group]) - ONLY_EXTREMES - ONLY_DRAWN - ONLY_WEIGHTED - ONLY_LEFT_OUT
            assert named & set(node.data_vars) == named - left_out.get(group, set()), group

    def test_compared_worlds_repeat_what_is_compared(
        self, tree: xr.DataTree, left_out: dict[str, set[str]]
    ) -> None:
        """And nothing else: every world under its prefix, the main one too."""
        for group, node in tree.children.items():
            for name, spec in GROUPS[group].items():
                compared = spec.compared and name not in left_out.get(group, set())
                for prefix in WORLD_PREFIX:
                    there = prefix + name in node.data_vars
                    # "cross_minus_isolated" begins like a prefix and is none
                    assert there == compared, (group, prefix + name)

    def test_estimates_have_intervals(self, tree: xr.DataTree) -> None:
        """The estimate lies within, NaN with NaN; both bounds of a probability are ones."""
        for group, name, array in variables(tree):
            if is_interval(group, name) or not find(group, name).estimate:
                continue
            interval = tree[group][f"{name}_interval"].transpose("bound", ...)
            low, high = interval.values
            value = array.values
            known = ~np.isnan(value)
            if "effective_risk" in name or "contribution" in name:
                # of one path alone a mean has no interval, nor a part of too few of the worst
                known &= ~np.isnan(low)
            elif name.endswith("cross_minus_isolated") or "expected" in name:
                # one path alone has no variance; here there are many
                assert not np.isnan(low[known]).any(), name
            slack = 1e-12 * np.abs(value[known])
            assert (low[known] <= value[known] + slack).all(), (group, name)
            assert (value[known] <= high[known] + slack).all(), (group, name)
            assert np.isnan(low[np.isnan(value)]).all(), (group, name)
            assert np.isnan(high[np.isnan(value)]).all(), (group, name)
            if "probability" in name and not name.endswith(("change", "difference")):
                assert (low[known] >= 0).all(), (group, name)
                assert (high[known] <= 1).all(), (group, name)

    def test_coordinates(self, tree: xr.DataTree) -> None:
        """Labels stand for accounts, positions, assets, groups, limits; days for steps."""
        text = {"account", "position", "asset", "other_asset", "group", "other_group", "limit"}
        for group, name, array in variables(tree):
            assert set(array.dims) <= set(DIMENSIONS), (group, name)
            for dim in array.dims:
                if dim in text | {"bound"}:
                    assert array.coords[dim].dtype.kind == "U", (group, name, dim)
            if "bound" in array.dims:
                assert tuple(array.coords["bound"].values) == BOUNDS
        days = tree["accounts"]["step"].values
        assert days[0] == 0
        assert days[-1] == pytest.approx(10.0)
        assert (np.diff(days) > 0).all()

    def test_units_are_those_of_their_kind(self) -> None:
        """The list says of itself nothing wrong: dollars are dollars, and shares have no unit."""
        for group, named in GROUPS.items():
            for name, spec in named.items():
                expected = [unit for pattern, unit in UNITS.items() if re.search(pattern, name)]
                if expected:
                    assert spec.units == expected[0], (group, name)

    def test_unknown_names(self) -> None:
        for name in ("liquidation_probabilty", "cross_initial_equity", "cross_minus_isolated_x"):
            with pytest.raises(KeyError, match=name):
                find("accounts", name)
        assert isinstance(find("accounts", "cross_liquidation_probability"), Variable)

    def test_attributes(self, tree: xr.DataTree) -> None:
        """Strings and numbers only, everywhere: a file holds nothing else."""
        for node in tree.subtree:
            holders = [node.attrs, *(array.attrs for array in node.data_vars.values())]
            for attributes in holders:
                for name, value in attributes.items():
                    assert isinstance(value, (str, int, float)), (node.path, name)
                    assert not isinstance(value, bool), (node.path, name)


CONTRACT = {
    "accounts": [
        "liquidation_probability",
        "liquidation_probability_by_step",
        "bankruptcy_probability",
        "margin_call_probability",
        "expected_loss",
        "value_at_risk",
        "expected_shortfall",
        "liquidation_time_quantile",
        "hidden_distress",
        "liquidation_probability_without_feedback",
        "initial_equity",
        "initial_margin_ratio",
        "effective_leverage",
        "cross_liquidation_probability",
        "isolated_liquidation_probability",
        "cross_minus_isolated",
    ],
    "positions": [
        "planned_risk",
        "effective_risk_mean",
        "effective_risk_shortfall",
        "liquidation_price",
    ],
    "paths": [
        "liquidated_accounts",
        "liquidated_notional",
        "total_loss",
        "net_loss",
        "cascade_loss",
        "fund_draw",
        "fund_exhausted",
        "fund_need",
        "uncovered_loss",
        "socialised_loss",
        "deleveraged_notional",
        "cascade_multiplier",
        "false_liquidations",
        "over_closed_notional",
        "late_steps",
        "rounds_exhausted",
    ],
    "assets": [
        "liquidated_notional_mean",
        "price_overshoot_mean",
        "price_overshoot_quantile",
        "net_position",
        "reproduction_number",
    ],
    "groups": [
        "any_liquidation_probability",
        "joint_liquidation_probability",
        "caused_liquidations",
    ],
    "limits": ["value", "threshold", "breached", "resolved"],
    "detail": [
        "equity_end",
        "liquidation_step",
        "bankrupt",
        "least_excess",
        "fund_end",
        "uncovered_loss",
        "socialised_loss",
        "deleveraged_notional",
        "false_liquidations",
        "over_closed_notional",
        "late_steps",
        "mark_end",
        "closed_notional",
    ],
    "ladder": [],
    "margin": [],
    "fan": [],
}
"""Names that other programs hold on to."""

ATTRIBUTES = [
    "Conventions",
    "title",
    "source",
    "schema_version",
    "created_at",
    "scenario_toml",
    "scenario_sha256",
    "input_sha256",
    "seed",
    "paths",
    "precision",
    "jax_version",
    "platform",
    "device_kind",
    "duration_seconds",
]


class TestNames:
    @pytest.mark.parametrize("group", CONTRACT)
    def test_variables(self, tree: xr.DataTree, left_out: dict[str, set[str]], group: str) -> None:
        for name in set(CONTRACT[group]) - left_out.get(group, set()):
            assert name in tree[group].data_vars

    def test_attributes(self, tree: xr.DataTree) -> None:
        for name in ATTRIBUTES:
            assert name in tree.attrs
        assert tree.attrs["title"] == "random-book"
        assert tree.attrs["schema_version"] == SCHEMA_VERSION
        assert tree.attrs["seed"] == 91
        assert tree.attrs["paths"] == 150
        assert len(tree.attrs["input_sha256"].splitlines()) == 3

    def test_dimensions_of_detail(self, tree: xr.DataTree) -> None:
        sizes = dict(tree["detail"].sizes)
        assert sizes == {"path": 150, "account": 10, "asset": 4}


class TestConsistency:
    """Numbers that say the same in two places say the same."""

    def test_detail_and_accounts(self, tree: xr.DataTree) -> None:
        detail, accounts = tree["detail"], tree["accounts"]
        hit = (detail["liquidation_step"] >= 0).mean("path")
        np.testing.assert_allclose(hit, accounts["liquidation_probability"], atol=1e-15)
        broke = detail["bankrupt"].mean("path")
        np.testing.assert_allclose(broke, accounts["bankruptcy_probability"], atol=1e-15)
        loss = accounts["initial_equity"] - detail["equity_end"].mean("path")
        scale = np.abs(accounts["initial_equity"]).max()
        np.testing.assert_allclose(loss / scale, accounts["expected_loss"] / scale, atol=1e-12)

    def test_detail_and_paths(self, tree: xr.DataTree) -> None:
        detail, paths = tree["detail"], tree["paths"]
        hits = (detail["liquidation_step"] >= 0).sum("account")
        np.testing.assert_array_equal(hits, paths["liquidated_accounts"])
        closed = detail["closed_notional"].sum("asset")
        np.testing.assert_allclose(closed, paths["liquidated_notional"], rtol=1e-12)
        loss = tree["accounts"]["initial_equity"] - detail["equity_end"]
        np.testing.assert_allclose(loss.sum("account"), paths["net_loss"], rtol=1e-9)
        total = np.maximum(loss, 0).sum("account")
        np.testing.assert_allclose(total, paths["total_loss"], rtol=1e-9)

    def test_accounts_and_book(self, tree: xr.DataTree) -> None:
        mean = float(tree["accounts"]["liquidation_probability"].mean())
        assert float(tree["book"]["liquidation_probability"]) == pytest.approx(mean, abs=1e-14)
        some = float((tree["paths"]["liquidated_accounts"] > 0).mean())
        assert float(tree["book"]["any_liquidation_probability"]) == pytest.approx(some, abs=1e-14)

    def test_time_ends_at_the_horizon(self, tree: xr.DataTree) -> None:
        """The last point of a curve is the probability by the horizon."""
        for group in ("accounts", "groups"):
            curve = tree[group]["liquidation_probability_by_step"]
            end = curve.isel(step=-1)
            np.testing.assert_allclose(end, tree[group]["liquidation_probability"], atol=1e-14)
            assert (curve.diff("step") >= -1e-15).all()

    def test_joint(self, tree: xr.DataTree) -> None:
        """Symmetric, with the probability of any on its diagonal."""
        joint = tree["groups"]["joint_liquidation_probability"].values
        np.testing.assert_array_equal(joint, joint.T)
        any_one = tree["groups"]["any_liquidation_probability"]
        np.testing.assert_allclose(np.diag(joint), any_one, atol=1e-14)

    def test_distribution(self, tree: xr.DataTree) -> None:
        """Every path is in a bin, but for multipliers that do not exist."""
        for name in ("total_loss", "net_loss", "fund_draw", "cascade_loss", "cascade_multiplier"):
            if name in tree["paths"]:
                known = int(tree["paths"][name].notnull().sum())
                assert int(tree["distribution"][f"{name}_paths"].sum()) == known
                assert known == 150 or name == "cascade_multiplier"

    def test_fund(self, tree: xr.DataTree) -> None:
        """What is paid in full exhausts nothing; draws end where the fund does."""
        paths, detail = tree["paths"], tree["detail"]
        unpaid = paths["uncovered_loss"] + paths.get("socialised_loss", 0.0)
        assert (paths["fund_exhausted"] == (unpaid > 0)).all()
        assert (paths["fund_draw"] >= 0).all()
        fees = detail["fund_end"] - 1_000.0 + paths["fund_draw"]
        charged = 0.004 * paths["liquidated_notional"]
        np.testing.assert_allclose(fees, charged, rtol=1e-9, atol=1e-6)

    def test_cascade(self, tree: xr.DataTree) -> None:
        """Two laws, two rules and the world itself say the same of the same thing."""
        if "impact" not in tree:
            return
        book = tree["book"]
        own = tree["impact"].to_dataset().sel(law="square-root")
        venue = tree["decision"].to_dataset().sel(decision="sharded")
        for same in (own, venue):
            for name in set(same.data_vars) & set(book.data_vars):
                values = same[name].values
                np.testing.assert_allclose(values, book[name].values, rtol=1e-9, err_msg=str(name))
        charged = tree["groups"]["caused_liquidations"].sum("other_group")
        assert (charged <= tree["groups"]["feedback_liquidations"] + 1e-9).all()
        course = tree["course"]["liquidated_notional_mean"]
        assert (course.diff("step") >= 0).all()
        total = float(book["expected_liquidated_notional"])
        assert float(course[-1]) == pytest.approx(total)


class TestOnDisk:
    def test_round_trip(self, run: Run) -> None:
        """Bit for bit, with coordinates and attributes."""
        tree, folder, _ = run
        opened = stress.open_result(folder)
        for node, other in zip(tree.subtree, opened.subtree, strict=True):
            assert node.path == other.path
            xr.testing.assert_identical(other.to_dataset(), node.to_dataset())
            for name, array in node.data_vars.items():
                found = other[str(name)]
                if array.dtype.kind == "f":
                    assert found.values.tobytes() == array.values.tobytes(), name
                assert found.dtype.kind == array.dtype.kind, name
        assert stress.open_result(folder / RESULT).identical(opened)

    def test_files(self, run: Run) -> None:
        _, folder, _ = run
        names = {file.name for file in folder.iterdir()}
        assert names == {"result.nc", "summary.json", "scenario.toml", "report.html", "ledger"}

    def test_resolved_scenario(self, run: Run) -> None:
        tree, folder, _ = run
        assert (folder / "scenario.toml").read_text("utf-8") == tree.attrs["scenario_toml"]

    def test_from_its_ledger(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every measure and every analysis comes back from its arrays; no path is simulated."""
        tree, folder, engine = run
        copied = copytree(folder, tmp_path / "copied")
        driver = CascadeDriver if engine == "cascade" else PassageDriver
        monkeypatch.delattr(driver, "absorb")
        again = stress.run(folder / "scenario.toml", out=copied, resume=True)
        for node, other in zip(tree.subtree, again.subtree, strict=True):
            assert node.path == other.path
            xr.testing.assert_identical(
                other.to_dataset().drop_attrs(), node.to_dataset().drop_attrs()
            )

    def test_nothing_half_written(
        self, tree: xr.DataTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A write that fails leaves neither a result nor a piece of one."""

        def broken(self: xr.DataTree, path: Path, **keywords: object) -> None:
            Path(path).write_bytes(b"half")
            raise OSError("disk full")

        monkeypatch.setattr(xr.DataTree, "to_netcdf", broken)
        with pytest.raises(OSError, match="disk full"):
            save_result(tree, tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_no_result(self, tmp_path: Path) -> None:
        for place in (tmp_path, tmp_path / "absent"):
            with pytest.raises(InputError, match="holds no finished result"):
                stress.open_result(place)
        (tmp_path / RESULT).write_bytes(b"not netCDF")
        with pytest.raises(InputError, match="is not a result"):
            stress.open_result(tmp_path)


class TestSummary:
    def test_keys(self, tree: xr.DataTree) -> None:
        summary = summarise(tree)
        assert {
            "name",
            "paths",
            "accounts",
            "assets",
            "steps",
            "liquidation_probability",
            "any_liquidation_probability",
            "expected_total_loss",
            "expected_cascade_loss",
            "fund_exhaustion_probability",
            "limits",
            "duration_seconds",
            "account_path_steps_per_second",
            "exit_code",
        } <= summary.keys()
        for name in (
            "liquidation_probability",
            "any_liquidation_probability",
            "expected_total_loss",
        ):
            three = summary[name]
            assert list(three) == ["estimate", "lower", "upper"]
            assert three["lower"] <= three["estimate"] <= three["upper"]
        if "expected_cascade_loss" not in tree["book"]:
            # not simulated: null, not absent
            assert summary["expected_cascade_loss"] is None
        else:
            mean = float(tree["paths"]["cascade_loss"].mean())
            assert summary["expected_cascade_loss"]["estimate"] == pytest.approx(mean)
        exhausted = float(tree["paths"]["fund_exhausted"].mean())
        assert summary["fund_exhaustion_probability"]["estimate"] == pytest.approx(exhausted)
        assert (summary["paths"], summary["accounts"], summary["assets"]) == (150, 10, 4)
        assert summary["steps"] == 40

    def test_limits(self, tree: xr.DataTree) -> None:
        """Broken accounts are liquidated for sure; idle ones never; so the verdicts are known."""
        rows = {row["name"]: row for row in summarise(tree)["limits"]}
        assert len(rows) == 8
        for row in rows.values():
            assert {"name", "value", "threshold", "breached"} <= row.keys()
        account = rows["max_account_liquidation_probability"]
        assert account["value"] == 1
        assert account["breached"] and account["resolved"]
        assert rows["max_reproduction_number"]["resolved"]
        assert rows["max_reproduction_number"]["where"] in ASSETS
        idle = rows["max_group_any_liquidation_probability.idle"]
        assert idle["value"] == 0
        assert not idle["breached"] and idle["resolved"]
        assert summarise(tree)["exit_code"] == 3

    def test_file(self, run: Run) -> None:
        """JSON without NaN or infinity, the same as is worked out from the result."""
        tree, folder, _ = run
        text = (folder / "summary.json").read_text("utf-8")
        assert text == to_json(summarise(tree))
        jsonschema.validate(json.loads(text), summary_schema())

        def refuse(constant: str) -> None:
            raise AssertionError(constant)

        assert json.loads(text, parse_constant=refuse) == summarise(tree)
