"""The section on rows of the history: what it says, where it has nothing to say."""

from __future__ import annotations

import pytest
import xarray as xr

from stress.report.section import Content
from stress.report.sections import influence
from tests.report.cascade_sample import cascade_tree, change
from tests.report.sample import sample_tree


@pytest.fixture
def tree() -> xr.DataTree:
    return cascade_tree(30)


def content(tree: xr.DataTree) -> Content:
    return influence.SECTION.content(tree)


def test_the_most_influential_row_comes_first(tree: xr.DataTree) -> None:
    table = content(tree).tables[0]
    assert "90 rows" in table.caption
    assert table.rows[0][0] == "2024-02-10"
    values = [row[1].value for row in table.rows]
    assert values == sorted(values, reverse=True)
    assert table.rows[0][2] == pytest.approx(0.5)
    assert len(table.rows) == 15


def test_a_row_that_carries_much_is_a_warning(tree: xr.DataTree) -> None:
    (warning,) = content(tree).warnings
    assert "2024-02-10 alone" in warning
    assert "41.7" in warning
    change(tree, "influence", any_liquidation_probability_share=0.1)
    assert not content(tree).warnings


def test_the_riskiest_accounts_have_their_rows(tree: xr.DataTree) -> None:
    table = content(tree).tables[1]
    chances = [row[1].value for row in table.rows]
    assert chances == sorted(chances, reverse=True)
    assert table.rows[0][2] == "2024-02-11"
    assert table.rows[0][-1] == "2024-02-12, 2024-02-13, 2024-02-14, 2024-02-15"


def test_accounts_may_be_left_out(tree: xr.DataTree) -> None:
    data = tree["influence"].to_dataset()
    names = [str(name) for name in data if str(name).startswith("account_")]
    tree["influence"] = xr.DataTree(data.drop_vars(names))
    assert len(content(tree).tables) == 1


def test_nothing_is_said_where_nobody_is_liquidated_or_nothing_is_drawn(tree: xr.DataTree) -> None:
    change(tree, "influence", liquidation_probability_share=float("nan"))
    assert not influence.SECTION.applies(tree)
    assert not influence.SECTION.applies(sample_tree(9))
