"""What the section on attribution says: each number with its interval, ranked, with its sum."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from stress.report import figures
from stress.report.figures.attribution import MOST_CONTRIBUTORS
from stress.report.page import render
from stress.report.read import Estimate
from stress.report.section import Content
from stress.report.sections import attribution

from .cascade_sample import cascade_tree
from .sample import sample_tree


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    return cascade_tree(30)


@pytest.fixture(scope="module")
def content(tree: xr.DataTree) -> Content:
    return attribution.SECTION.content(tree)


def _without(tree: xr.DataTree, *names: str) -> xr.DataTree:
    """Return the result without some variables of the group and their intervals."""
    less = tree.copy()
    gone = [name + end for name in names for end in ("", "_interval")]
    less["attribution"] = xr.DataTree(tree["attribution"].to_dataset().drop_vars(gone))
    return less


def test_nothing_to_say() -> None:
    assert not attribution.SECTION.applies(sample_tree(9))


def test_the_parts_stand_with_their_total(tree: xr.DataTree, content: Content) -> None:
    parts = content.tables[0]
    total = parts.rows[-1]
    assert [row[0] for row in parts.rows[:2]] == [
        "Prices, without impact",
        "Impact of forced trades",
    ]
    assert parts.rows[0][1] == pytest.approx(Estimate(5e5, 4.5e5, 5.5e5))
    assert total[0] == "Expected total loss"
    assert total[1].value == float(tree["book"]["expected_total_loss"])  # type: ignore[union-attr]


def test_contributors_are_ranked_at_the_highest_level(content: Content) -> None:
    accounts, groups, assets = content.tables[1:4]
    assert len(accounts.rows) == MOST_CONTRIBUTORS
    assert len(accounts.columns) == 3
    for table, last in ((accounts, None), (groups, None), (assets, -1)):
        largest = [row[2].value for row in table.rows[:last]]  # type: ignore[union-attr]
        assert largest == sorted(largest, reverse=True)
    assert assets.rows[-1][0] == "After a first liquidation"


def test_who_makes_others_lose(content: Content) -> None:
    first, second = content.tables[-1].rows
    assert first[1].value == 9e4  # type: ignore[union-attr]
    assert first[2].value == pytest.approx(22.5)  # type: ignore[union-attr]
    assert second[1].value == -1e4  # type: ignore[union-attr]


def test_a_run_without_leave_one_out(tree: xr.DataTree) -> None:
    less = _without(tree, "systemic_importance", "systemic_share", "others_loss")
    assert len(attribution.SECTION.content(less).tables) == 4
    render(less)


def test_a_large_book_is_told_by_group(tree: xr.DataTree) -> None:
    gone = ("account_contribution", "asset_contribution", "after_liquidation_contribution")
    content = attribution.SECTION.content(_without(tree, *gone))
    assert [table.columns[0].title for table in content.tables[1:]] == [
        "Group",
        "Account left out",
    ]


def test_the_figure_has_units_and_intervals(tree: xr.DataTree) -> None:
    figure = figures.contributions(tree)
    assert "contribution to expected shortfall ($m)" in figure.layout.xaxis.title.text
    assert [trace.name for trace in figure.data] == ["accounts", "groups", "assets"]
    for trace in figure.data:
        assert np.isfinite(np.asarray(trace.error_x.array, float)).all()
    rows = np.concatenate([np.asarray(trace.y, float) for trace in figure.data])
    np.testing.assert_array_equal(rows, np.arange(len(rows)))


def test_an_unknown_bound_is_no_line(tree: xr.DataTree) -> None:
    other = tree.copy(deep=True)
    bounds = other["attribution"]["group_contribution_interval"]
    bounds[:] = np.inf
    groups = figures.contributions(other).data[1]
    assert np.isnan(np.asarray(groups.error_x.array, float)).all()
    render(other)
