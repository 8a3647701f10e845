"""The page of limits: what stands in its tables and its figure."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from stress.report.figures.headroom import headroom
from stress.report.sections.limit_values import SECTION
from stress.report.text import shown

NAN = float("nan")
ROWS = [
    # question, kind, subject, world, threshold, unit, limit, at the estimate, now, room, risk
    ("leverage", "group", "hedged", "cross", 0.05, "x", 5.0, 5.5, 8.0, -0.375, 0.04),
    ("leverage", "account", "<b>", "cross", 0.05, "x", 12.0, 13.0, 3.0, 3.0, 0.02),
    ("leverage", "account", "late", "cross", 0.05, "x", NAN, NAN, 3.0, NAN, NAN),
    ("fund", "book", "fund", "cross", 0.001, "USD", 2e6, 1.5e6, 3e6, 1 / 3, 0.0005),
    ("maintenance-rate", "bracket", "BTC", "cross", 2e4, "1", 0.01, 0.009, 0.005, -1.0, 1.5e4),
]
NAMES = ("question", "kind", "subject", "world", "threshold", "unit")
NUMBERS = ("limit", "at_estimate", "present", "headroom", "risk")


@pytest.fixture
def tree() -> xr.DataTree:
    columns = dict(zip((*NAMES, *NUMBERS), zip(*ROWS, strict=True), strict=True))
    data = {name: ("answer", np.array(values)) for name, values in columns.items()}
    risk = np.array(columns["risk"])
    data |= {
        "risk_interval": (("answer", "bound"), np.stack([risk * 0.8, risk * 1.2], axis=1)),
        "measure": ("answer", np.array(["the risk"] * len(ROWS))),
        "verdict": ("answer", np.array(["over", "within", "not resolved", "within", "over"])),
        "outcome": ("answer", np.array(["found", "found", "too few paths", "found", "found"])),
        "note": ("answer", np.array(["", "", "", "as booked", ""])),
    }
    tree = xr.DataTree.from_dict({"/limit_values": xr.Dataset(data)})
    tree.attrs["confidence"] = 0.95
    return tree


def test_a_table_a_question_and_a_place_to_sign(tree: xr.DataTree) -> None:
    content = SECTION.content(tree)
    leverage, fund, rates, approval = content.tables
    assert "the risk at most 0.05" in leverage.caption
    assert [row[0] for row in leverage.rows] == ["group hedged", "account <b>", "account late"]
    assert [row[7] for row in leverage.rows] == ["over", "within", "not resolved"]
    assert leverage.rows[2][8] == "too few paths"
    assert fund.rows[0][8] == "as booked"
    # a share, which the page writes in percent
    assert [row[4] for row in leverage.rows[:2]] == [-0.375, 3.0]
    assert str(shown("percent", -0.375)).startswith("\u221237.5")
    assert str(rates.rows[0][3]).startswith("1") and "%" in str(rates.rows[0][3])
    assert len(approval.rows) == 2
    assert "2 over, 1 not resolved and 2 within" in content.lead[0]


def test_the_figure_shows_books_and_groups_before_accounts(tree: xr.DataTree) -> None:
    figure = headroom(tree)
    assert figure is not None
    (bars,) = figure.data
    np.testing.assert_allclose(bars.x, [-100, -37.5, 100 / 3, 300])
    assert "&lt;b&gt;" in bars.hovertext[-1]


def test_without_a_known_room_there_is_no_figure(tree: xr.DataTree) -> None:
    data = tree["limit_values"].to_dataset()
    data["headroom"] = ("answer", np.full(len(ROWS), NAN))
    tree["limit_values"] = xr.DataTree(data)
    assert headroom(tree) is None
    assert SECTION.content(tree).figures == ()
