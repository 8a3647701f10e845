"""Where first passage is enough the cascade gives the same answer: who, when, and who pays."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import stress
from stress.runner import prepare
from stress.scenario.cascade import needs_cascade
from stress.scenario.schema import Scenario
from tests.strategies import random_book, write_book

KINDS = ("cross_single", "cross_several", "cross_hedged", "cross_coins", "isolated_alone", "broken")
COUNTED = ("liquidation_step", "bankrupt", "false_liquidations", "late_steps")
MONEY = (
    "equity_end",
    "least_excess",
    "fund_end",
    "uncovered_loss",
    "mark_end",
    "closed_notional",
)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(KINDS, id="in breach", marks=pytest.mark.slow),
        pytest.param(KINDS[:-1], id="sound"),
    ],
)
def scenario(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    changes = {
        "simulation.detail": True,
        "simulation.paths": 64,
        # closes leave debts, and fees do not pay them all
        "venue.fee": 0.002,
        "venue.fund": {"balance": 10.0},
    }
    return write_book(
        tmp_path_factory.mktemp("book"), random_book(97, request.param, copies=3), changes
    )


@pytest.mark.slow
def test_same_answer(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    passage = stress.run(scenario)

    def always(scenario: Scenario, book: object) -> bool:
        return True

    monkeypatch.setattr(prepare, "needs_cascade", always)
    cascade = stress.run(scenario)
    assert "hidden_distress" in cascade["accounts"]  # it is the other engine
    assert "hidden_distress" not in passage["accounts"]
    compare(passage, cascade)
    # a pool in breach at the start empties the fund at once; without it, on some paths only
    exhausted = passage["paths"]["fund_exhausted"]
    assert bool(exhausted.any())
    assert bool((passage["detail"]["liquidation_step"] == 0).any()) == bool(exhausted.all())
    assert (passage["paths"]["fund_draw"] > 0).any()
    assert (passage["paths"]["uncovered_loss"] > 0).any()


def compare(passage: xr.DataTree, cascade: xr.DataTree) -> None:
    one, other = passage["detail"], cascade["detail"]
    for name in COUNTED:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    for name in MONEY:
        np.testing.assert_allclose(other[name], one[name], rtol=1e-9, atol=1e-6, err_msg=name)
    for name in ("fund_draw", "fund_need", "total_loss"):
        np.testing.assert_allclose(
            cascade["paths"][name], passage["paths"][name], rtol=1e-9, atol=1e-6, err_msg=name
        )
    np.testing.assert_array_equal(
        cascade["paths"]["fund_exhausted"], passage["paths"]["fund_exhausted"]
    )


def test_the_book_needs_no_cascade(scenario: Scenario) -> None:
    """Or the comparison above would compare the cascade with itself."""
    book = prepare.prepare(scenario).book
    assert not needs_cascade(scenario, book)
