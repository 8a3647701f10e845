"""The section and the figures of reverse stress: what is drawn, and what is left unsaid."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from stress.report import figures
from stress.report.figures.reverse_stress import answered_events
from stress.report.figures.typical_path import told_events
from stress.report.section import Content
from stress.report.sections import reverse_stress
from stress.report.text import shown
from tests.report.cascade_sample import cascade_tree, change
from tests.report.reverse_sample import EVENTS
from tests.report.sample import sample_tree


@pytest.fixture
def tree() -> xr.DataTree:
    found = cascade_tree(9)
    found["reverse_stress"].attrs |= {
        "law": "The move is normal.",
        "sampled_paths": 4096,
        "fewest_paths": 30,
        "feedback": "yes",
    }
    return found


def content(tree: xr.DataTree) -> Content:
    return reverse_stress.SECTION.content(tree)


def test_every_way_has_a_row_the_whole_book_first(tree: xr.DataTree) -> None:
    table = content(tree).tables[0]
    assert [row[0] for row in table.rows] == [EVENTS[1], EVENTS[0], EVENTS[0]]
    distance = tree["reverse_stress"]["distance"].values
    assert [row[4] for row in table.rows] == [distance[1, 0], distance[0, 0], distance[0, 1]]


def test_the_largest_moves_are_told_with_their_sign(tree: xr.DataTree) -> None:
    move = np.array([-0.25, 0.1, 0.01, 0.02, -0.03, 0.04])
    change(tree, "reverse_stress", market_move=np.broadcast_to(move, (3, 3, 6)))
    text = content(tree).tables[0].rows[0][1]
    assert isinstance(text, str)
    first = tree["reverse_stress"]["asset"].values[0]
    assert text.startswith(f"{first} {shown('percent', -0.25)}, ")
    assert f"+{shown('percent', 0.1)}" in text
    assert text.endswith("and 2 smaller ones")


def test_an_event_without_a_way_is_a_warning(tree: xr.DataTree) -> None:
    (warning,) = content(tree).warnings
    assert EVENTS[2] in warning
    assert answered_events(tree).tolist() == [1, 0]


def test_too_few_paths_are_said_to_be_too_few(tree: xr.DataTree) -> None:
    assert told_events(tree).tolist() == [1, 0]
    last = content(tree).tables[1].rows[2]
    assert last[0] == EVENTS[2]
    assert last[-1] == "too few"


def test_without_any_way_or_path_the_figures_are_left_out(tree: xr.DataTree) -> None:
    assert [drawing.name for drawing in content(tree).figures] == ["reverse-stress", "typical-path"]
    change(tree, "reverse_stress", distance=np.nan, typical_move_mean=np.nan)
    assert content(tree).figures == ()
    assert content(tree).tables[0].rows == ()


def test_a_panel_has_a_bar_for_each_way_and_asset(tree: xr.DataTree) -> None:
    bars = figures.reverse_stress(tree).data
    moves = tree["reverse_stress"]["market_move"].values
    assert [bar.name for bar in bars] == ["most likely way", "most likely way", "second way"]
    assert bars[0].x == pytest.approx(moves[1, 0])
    assert bars[2].x == pytest.approx(moves[0, 1])


def test_the_typical_path_is_drawn_with_its_band(tree: xr.DataTree) -> None:
    traces = figures.typical_path(tree).data
    means = [trace for trace in traces if trace.hoverinfo == "text"]
    assert len(means) == 2 * 3
    found = tree["reverse_stress"].to_dataset()
    name = str(means[0].name)
    asset = found["asset"].values.tolist().index(name)
    assert means[0].y == pytest.approx(found["typical_move_mean"].values[1, :, asset])
    assert abs(means[0].y[-1]) == np.abs(found["typical_move_mean"].values[1, -1]).max()
    upper = next(trace for trace in traces if trace.fill == "tonexty")
    assert upper.y == pytest.approx(found["typical_move_quantile"].values[1, :, asset, -1])


def test_feedback_and_the_missing_fund_are_noted(tree: xr.DataTree) -> None:
    assert any("forced sales" in note for note in content(tree).notes)
    tree["reverse_stress"].attrs |= {"feedback": "no", "fund": "There is no fund."}
    assert not any("forced sales" in note for note in content(tree).notes)
    assert "There is no fund." in content(tree).notes


def test_it_applies_only_where_it_was_asked() -> None:
    assert not reverse_stress.SECTION.applies(sample_tree(5))
