"""What a path asks of the fund, and the smallest fund: against runs with other funds."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stress.decide.cascades import Cascades, Run, share_of
from stress.decide.exhaustion import fewest_paths, most_hits
from stress.decide.fund import fund_answers, needed, with_fund
from stress.decide.solve import binomial_bounds
from stress.decide.task import Task
from stress.stats.confidence import Confidence
from tests.cascade_books import Case, plain_book, plain_venue, price_paths
from tests.decide.venues import ALPHA, COUPLED, PATHS, task, told
from tests.reference.cascade import PlainResult, simulate

MUCH = 1e12


@pytest.mark.parametrize("deleveraging", ["none", "socialised", "auto-deleverage"])
def test_the_twin_needs_what_it_says(deleveraging: str) -> None:
    """A fund below the need is exhausted, or has pools deleveraged; another changes nothing."""
    venue = plain_venue(Case(impact="linear", backstop=deleveraging))
    seen: Counter[bool] = Counter()
    for seed in range(6):
        book = plain_book(seed, Case())
        for prices in price_paths(seed).tolist()[:3]:
            full = simulate(book, replace(venue, fund=MUCH), prices)
            assert not full.fund_exhausted
            for factor in (0.2, 0.999, 1.001, 3.0):
                fund = factor * full.fund_need
                found = simulate(book, replace(venue, fund=fund), prices)
                is_short = found.fund_exhausted or found.deleveraged_notional > 0
                assert is_short == (fund < full.fund_need), (seed, factor)
                # where it suffices nothing else depends on it
                assert is_short or _others(found) == pytest.approx(_others(full), rel=1e-12)
                # and where it does not, it is said to be too small, by no more than it is
                assert not is_short or fund < found.fund_need <= full.fund_need * (1 + 1e-9)
                seen[is_short] += 1
    assert min(seen[True], seen[False]) > 20


def _others(result: PlainResult) -> list[float]:
    return [*result.equity_end, *result.mark_end, result.fund_need]


def _run(task: Task, fund: float) -> Run:
    cascades = Cascades.of(task)
    job = cascades.prepared(task.book, with_fund(task.scenario, fund))
    return cascades.run(job, np.arange(PATHS), until=time.monotonic() + 600)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="first passage"),
        pytest.param(COUPLED, id="cascade"),
    ],
)
def test_engines_need_what_they_say(tmp_path: Path, changes: dict[str, Any]) -> None:
    asked = task(tmp_path, changes=changes)
    assert (Cascades.of(asked).job.main.cascade is not None) == bool(changes)
    need = _run(asked, MUCH).need
    assert (need > 0).mean() > 0.2
    for quantile in (0.3, 0.8, 0.95):
        # between two needs, so that rounding decides nothing
        ascending = np.unique(need)
        place = int(quantile * (len(ascending) - 1))
        fund = float(ascending[place : place + 2].mean())
        np.testing.assert_array_equal(_run(asked, fund).exhausted, need > fund)
    # a deficit is owed by somebody: all that is owed is at least what the fund needs
    full = _run(asked, MUCH)
    assert (full.owed[0] >= full.need - 1e-9).all()


def test_answer_keeps_its_probability(tmp_path: Path) -> None:
    asked = task(tmp_path)
    (answer,) = fund_answers(asked)
    need = np.sort(_run(asked, MUCH).need)
    allowed = most_hits(PATHS, ALPHA, Confidence(0.95))
    assert told(answer) == ("found", True)
    assert answer.limit == need[-1 - allowed]
    assert answer.at_estimate == need[-1 - int(ALPHA * PATHS)] < answer.limit
    assert answer.present == 5.0
    assert answer.paths == PATHS
    assert _run(asked, answer.limit).hits == answer.risk * PATHS == allowed
    assert answer.risk_upper <= ALPHA < binomial_bounds(np.array(allowed + 1.0), PATHS, 0.95)[1]
    assert answer.risk_lower < answer.risk


def test_other_endings(tmp_path: Path) -> None:
    (few,) = fund_answers(task(tmp_path, fund_exhaustion_probability=1e-3))
    assert told(few) == ("too few paths", False)
    assert np.isfinite(few.at_estimate)
    assert "2,995 paths" in few.note
    (late,) = fund_answers(task(tmp_path, budget=0.0))
    assert told(late) == ("not certified", False)
    assert not fund_answers(task(tmp_path, fund_exhaustion_probability=None))
    # the short alone: nobody closed owes anything
    (none,) = fund_answers(task(tmp_path, changes={"market.volatility": {"A": 0.1}}))
    assert (none.outcome, none.limit, none.note) == ("found", 0.0, "no fund is needed")


@pytest.mark.parametrize(("paths", "alpha"), [(400, 0.05), (3000, 0.001), (59, 0.05)])
def test_order_statistic_covers(paths: int, alpha: float) -> None:
    """Over 2,000 samples the certified fund is below the true quantile as rarely as it says."""
    rng = np.random.default_rng(5)
    allowed = most_hits(paths, alpha, Confidence(0.95))
    funds = np.array([needed(rng.exponential(size=paths), allowed) for _ in range(2_000)])
    breaks = np.exp(-funds) > alpha
    # 95 percent, or more where counts are few; four standard errors
    assert breaks.mean() < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 2_000)
    # one path more left out would not be certified
    assert binomial_bounds(np.array(allowed + 1.0), paths, 0.95)[1] > alpha


def test_found_on_one_seed_kept_on_another(tmp_path: Path) -> None:
    """Of 100 funds, each found on a seed of its own, at least 90 keep the appetite.

    Judged by a run of 50 times the paths.
    """
    asked = task(tmp_path)
    cascades, allowed = Cascades.of(asked), most_hits(PATHS, ALPHA, Confidence(0.95))
    full = with_fund(asked.scenario, MUCH)

    def needs(seed: int, paths: int) -> np.ndarray:
        simulation = full.simulation.model_copy(update={"seed": seed})
        job = cascades.prepared(asked.book, full.model_copy(update={"simulation": simulation}))
        return cascades.run(job, np.arange(paths), until=np.inf).need

    truth = np.sort(needs(1_000, 50 * PATHS))
    funds = np.array([needed(needs(seed, PATHS), allowed) for seed in range(100)])
    risk = 1 - np.searchsorted(truth, funds, side="right") / len(truth)
    assert (risk <= ALPHA).sum() >= 90


def test_counts() -> None:
    assert fewest_paths(0.05, Confidence(0.95)) == 59
    assert (most_hits(58, 0.05, Confidence(0.95)), most_hits(59, 0.05, Confidence(0.95))) == (-1, 0)
    # Wilks: rank 9,996 of 10,000, so 4 above
    assert most_hits(10_000, 0.001, Confidence(0.95)) == 10_000 - 9_996
    assert fewest_paths(0.05, Confidence(0.95, 2.0)) == 117
    assert needed(np.array([3.0, 0.0, 1.0]), 1) == 1.0
    assert np.isnan(needed(np.array([3.0]), 1))


def test_time_is_shared_by_what_is_to_come(tmp_path: Path) -> None:
    solved = ("open-interest", "fund", "leverage", "book-scale")
    asked = task(tmp_path, budget=1_000.0, solve=solved)
    assert share_of(asked, "fund") == pytest.approx(1_000 / 3, rel=0.01)
    assert share_of(asked, "book-scale") == pytest.approx(500, rel=0.01)
    assert share_of(asked, "open-interest") == pytest.approx(1_000, rel=0.01)
