"""Maintenance rates: who counts where, the shape of a table, and the budget that it keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stress.decide.cascades import Cascades, Classes
from stress.decide.tiers import OPEN, Brackets, maintenance_rate_answers, with_tiers
from stress.scenario.build import build_setting
from tests.decide.venues import PATHS, task, told

TIERS = {"default": [{"floor": 0, "rate": 0.005}, {"floor": 500, "rate": 0.02}]}
"""Positions are of 200 to 1,000 dollars long, and one of 2,400 short."""


def test_who_counts_where(tmp_path: Path) -> None:
    asked = task(tmp_path, changes={"venue.tiers": TIERS})
    brackets = Brackets.of(Cascades.of(asked).job)
    assert list(zip(brackets.asset, brackets.tier, strict=True)) == [(0, 0), (0, 1)]
    # longs of 200 and 400, then of 600 to 1,000 and the short
    assert brackets.classes.of_pool.tolist() == [0, 0, 1, 1, 1, 1]
    assert brackets.notional.tolist() == [600.0, 4_800.0]
    # the least backed, 10 for 200 and 24 for 600, are more than 5 percent of their brackets
    assert OPEN == 0.95
    np.testing.assert_allclose(brackets.highest, [0.05, 0.04])


def _brackets(tier: list[int]) -> Brackets:
    count = len(tier)
    ones, nobody = np.ones(count), Classes(np.zeros(0, int), count + 1)
    return Brackets(np.zeros(count, int), np.array(tier), ones, ones, nobody)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.001, 0.5), min_size=5, max_size=5),
    st.dictionaries(st.integers(0, 4), st.floats(0.001, 0.5), min_size=1),
)
def test_tables_are_convex(present: list[float], chosen: dict[int, float]) -> None:
    """Every rate is at least the chosen one, and no more than some rate that asks for it."""
    tier = sorted(chosen)
    known = np.sort(np.array(present))[None]
    (table,) = _brackets(tier).table(np.array([chosen[one] for one in tier]), known)
    assert (np.diff(table) >= 0).all()
    for one in tier:
        asked = max(rate for other, rate in chosen.items() if other <= one)
        assert chosen[one] <= table[one] <= max(asked, known[0, :one].max(initial=0.0))
    # nobody counts above the last: what there is stays, or is lifted
    assert (table[tier[-1] + 1 :] >= known[0, tier[-1] + 1 :]).all()


def test_empty_brackets_do_not_hold_others_up() -> None:
    present = np.array([[0.004, 0.01, 0.02]])
    (lower,) = _brackets([1]).table(np.array([0.002]), present)
    assert lower.tolist() == [0.002, 0.002, 0.02]
    (higher,) = _brackets([1]).table(np.array([0.03]), present)
    assert higher.tolist() == [0.004, 0.03, 0.03]


def test_with_tiers_keeps_floors(tmp_path: Path) -> None:
    scenario = task(tmp_path, changes={"venue.tiers": TIERS}).scenario
    setting = build_setting(with_tiers(scenario, np.array([[0.01, 0.03]])))
    assert setting.tier_floor.tolist() == [[0.0, 500.0]]
    assert setting.tier_rate.tolist() == [[0.01, 0.03]]
    np.testing.assert_allclose(setting.tier_amount, [[0.0, 10.0]])


def test_answers_keep_the_budget(tmp_path: Path) -> None:
    """The whole table does at its upper bound, and a slightly lower one does not."""
    asked = task(tmp_path, changes={"venue.tiers": TIERS}, expected_uncovered_loss=3.0)
    answers = maintenance_rate_answers(asked)
    assert [answer.subject for answer in answers] == ["A above 0 USD", "A above 500 USD"]
    assert [told(answer) for answer in answers] == [("found", True)] * 2
    assert [answer.present for answer in answers] == [0.005, 0.02]
    limits = np.array([answer.limit for answer in answers])
    assert (np.diff(limits) >= 0).all()
    assert all(answer.at_estimate <= answer.limit for answer in answers)

    def losses(rates: np.ndarray) -> np.ndarray:
        cascades = Cascades.of(asked)
        job = cascades.prepared(asked.book, with_tiers(asked.scenario, rates[None]))
        run = cascades.run(job, np.arange(PATHS), until=np.inf)
        return run.owed[0]

    def upper(of: np.ndarray) -> float:
        return float(of.mean() + 1.6449 * of.std(ddof=1) / np.sqrt(PATHS))

    kept = losses(limits)
    np.testing.assert_allclose([answer.risk for answer in answers], kept.mean())
    np.testing.assert_allclose(answers[0].risk_upper, upper(kept), rtol=1e-4)
    assert upper(kept) <= 3.0 < upper(losses(limits / 1.06))


def test_other_endings(tmp_path: Path) -> None:
    # no rate keeps what is owed whatever happens
    changes = {"venue.tiers": TIERS}
    for answer in maintenance_rate_answers(
        task(tmp_path, changes=changes, expected_uncovered_loss=1e-3)
    ):
        assert told(answer) == ("not certified", False)
    late = maintenance_rate_answers(
        task(tmp_path, changes=changes, budget=0.0, expected_uncovered_loss=1.0)
    )
    assert {answer.note for answer in late} == {"the time does not suffice"}
    level = {"venue.trigger": {"margin_level": 0.05}}
    (refused,) = maintenance_rate_answers(
        task(tmp_path, changes=level, expected_uncovered_loss=1.0)
    )
    assert told(refused) == ("not certified", False)
    assert "margin level" in refused.note
    assert not maintenance_rate_answers(task(tmp_path))
    # a budget that any rate keeps, with losses on too few paths to know their mean
    calm = changes | {"market.volatility": {"A": 0.35}}
    for answer in maintenance_rate_answers(
        task(tmp_path, changes=calm, expected_uncovered_loss=1e4)
    ):
        assert told(answer) == ("too few paths", False)


def test_no_positions_no_brackets(tmp_path: Path) -> None:
    asked = task(tmp_path, expected_uncovered_loss=1.0)
    nothing = replace(asked.book, quantity=0.0 * asked.book.quantity)
    assert not maintenance_rate_answers(replace(asked, book=nothing))
