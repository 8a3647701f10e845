"""The section on stress: it stands where something is laid over the market, and says all of it."""

from __future__ import annotations

import pytest

from stress.report.sections.stress import SECTION
from tests.report.sample import sample_tree


def test_every_overlay_is_an_item_in_order() -> None:
    tree = sample_tree(4)
    assert SECTION.applies(tree)
    content = SECTION.content(tree)
    assert content.items == tuple(tree.attrs["stress"].splitlines())
    assert content.lead[0].startswith("On every path 2 overlays act")


def test_one_overlay_acts() -> None:
    tree = sample_tree(4)
    tree.attrs["stress"] = "Gap, from 2d over 2h: the venue halts, nobody is liquidated."
    assert SECTION.content(tree).lead[0].startswith("On every path one overlay acts")


@pytest.mark.parametrize("stated", ["", None])
def test_it_is_left_out_where_nothing_is_stated(stated: str | None) -> None:
    tree = sample_tree(4)
    if stated is None:
        del tree.attrs["stress"]
    else:
        tree.attrs["stress"] = stated
    assert not SECTION.applies(tree)
