"""Influence of single rows: exact on an enumeration of all paths, covered by its interval else."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from stress.measure.influence import DataRows, InfluenceMeasure
from stress.measure.moments import Estimate
from stress.measure.world import Grouping
from tests.measure.blocks import block, same

DAYS = np.datetime64("2024-03-01") + np.arange(4)


def every_path(rows: int, bars: int) -> np.ndarray:
    """Return (bars, paths) all that a bootstrap of independent rows can draw."""
    return np.array(list(product(range(rows), repeat=bars))).T


def measured(
    drawn: np.ndarray,
    hits: np.ndarray,
    ends: np.ndarray = DAYS,
    *,
    cut: tuple[int, ...] = (),
    most: int = 50_000_000,
) -> InfluenceMeasure:
    """Return the measure of (bars, paths) rows and (accounts, paths) hits, in blocks."""
    accounts = len(hits)
    grouping = Grouping(np.zeros(accounts, int), 1, np.ones(accounts, bool))
    rows = DataRows.build(lambda numbers: drawn[:, numbers], ends, accounts, most)
    measure = InfluenceMeasure(grouping, rows)
    bounds = [0, *cut, hits.shape[1]]
    for start, end in zip(bounds[:-1], bounds[1:], strict=True):
        measure.update(block(np.where(hits[:, start:end], 1, -1)))
    return measure


def found(measure: InfluenceMeasure, name: str) -> Estimate:
    estimate = measure.finish(0.95)["influence"][name]
    assert isinstance(estimate, Estimate)
    return estimate


class TestExact:
    RETURNS = np.array([0.05, -0.02, -0.1, 0.01])
    BARRIERS = np.array([-0.09, -0.11, -0.03, 0.5])

    def hits(self, drawn: np.ndarray) -> np.ndarray:
        """Return (accounts, paths) whether the sum of returns ever falls below a barrier."""
        lowest = self.RETURNS[drawn].cumsum(axis=0).min(axis=0)
        return lowest < self.BARRIERS[:, None]

    def test_leaving_a_row_out_is_a_history_without_it(self) -> None:
        """All 64 paths of three bars against all 27 paths of the other three rows."""
        drawn = every_path(4, 3)
        measure = measured(drawn, self.hits(drawn), cut=(10, 40))
        whole = self.hits(drawn).mean(axis=1)
        assert 0 < whole[0] < whole[2] < whole[3] == 1
        influence = np.empty((4, 4))
        for row in range(4):
            others = np.delete(np.arange(4), row)[every_path(3, 3)]
            influence[row] = whole - self.hits(others).mean(axis=1)
            any_ = 1.0 - self.hits(others).any(axis=0).mean()
            assert found(measure, "any_liquidation_probability").value[row] == pytest.approx(any_)
        book = found(measure, "liquidation_probability").value
        np.testing.assert_allclose(book, influence.mean(axis=1), atol=1e-12)
        results = measure.finish(0.95)["influence"]
        np.testing.assert_array_equal(results["effective_sample_size"], [27.0] * 4)
        np.testing.assert_array_equal(results["paths_using"], [37.0] * 4)
        labels = np.datetime_as_string(DAYS)
        for account in range(3):
            order = np.argsort(-influence[:, account], kind="stable")
            np.testing.assert_allclose(
                found(measure, "account_influence").value[account, :4],
                influence[order, account],
                atol=1e-12,
            )
            # of rows of the same influence any may come first
            best = results["account_row"][account, 0]
            assert influence[labels == best, account][0] == pytest.approx(
                influence[order[0], account]
            )
            assert results["account_row"][account, 4] == ""
            assert np.isnan(results["account_share"][account, 4])

    def test_nobody_hangs_on_anything_without_liquidations(self) -> None:
        drawn = every_path(4, 2)
        results = measured(drawn, np.zeros((2, 16), bool)).finish(0.95)["influence"]
        np.testing.assert_array_equal(results["liquidation_probability"].value, np.zeros(4))
        assert np.isnan(results["liquidation_probability_share"]).all()
        assert np.isnan(results["account_influence"].value).all()
        assert (results["account_row"] == "").all()

    def test_a_row_that_every_path_draws_cannot_be_left_out(self) -> None:
        drawn = np.vstack([np.zeros(16, int), every_path(4, 2)])
        results = measured(drawn, np.ones((1, 16), bool)).finish(0.95)["influence"]
        assert np.isnan(results["liquidation_probability"].value[0])
        assert not np.isnan(results["liquidation_probability"].value[1:]).any()
        assert results["effective_sample_size"][0] == 0

    def test_blocks_do_not_matter_and_merge(self) -> None:
        drawn = every_path(4, 3)
        once = measured(drawn, self.hits(drawn))
        parts = measured(drawn[:, :30], self.hits(drawn[:, :30]))
        parts.merge(measured(drawn[:, 30:], self.hits(drawn[:, 30:])))
        both = [measure.finish(0.95) for measure in (once, parts)]
        labels = [results["influence"].pop("account_row") for results in both]
        np.testing.assert_array_equal(*labels)
        same(*both)


class TestSampled:
    ROWS, BARS, PATHS, STUDIES = 30, 4, 800, 300

    def test_a_crash_carries_what_it_carries_and_intervals_cover(self) -> None:
        """Two rows liquidate, each by itself: each carries about half of the answer."""
        whole = 1 - (28 / 30) ** 4
        truth = whole - (1 - (28 / 29) ** 4)
        assert 0.45 < truth / whole < 0.55
        ends = np.datetime64("2024-03-01") + np.arange(self.ROWS)
        rng = np.random.default_rng(4)
        covered, shares = np.zeros(3), []
        for _ in range(self.STUDIES):
            drawn = rng.integers(0, self.ROWS, (self.BARS, self.PATHS))
            hits = np.isin(drawn, (3, 17)).any(axis=0)
            measure = measured(drawn, np.stack([hits, np.zeros_like(hits)]), ends)
            for place, row in enumerate((3, 17, 5)):
                expected = truth if place < 2 else whole - (1 - (27 / 29) ** 4)
                low, high = found(measure, "any_liquidation_probability").interval[row]
                covered[place] += low <= expected <= high
            account = found(measure, "account_influence")
            assert set(measure.finish(0.95)["influence"]["account_row"][0, :2]) == {
                "2024-03-04",
                "2024-03-18",
            }
            shares.append(account.value[0, :2].mean() / hits.mean())
            assert np.isnan(account.value[1]).all()
        assert np.mean(shares) == pytest.approx(truth / whole, abs=0.02)
        # 300 studies tell 0.95 from 0.91
        assert ((covered / self.STUDIES > 0.91) & (covered / self.STUDIES < 0.985)).all()

    def test_of_accounts_hits_have_the_same_interval_as_of_a_book_of_one(self) -> None:
        rng = np.random.default_rng(5)
        drawn = rng.integers(0, 4, (1, 400))
        measure = measured(drawn, (drawn == 2) | (rng.random((1, 400)) < 0.1))
        book, account = (
            found(measure, name) for name in ("liquidation_probability", "account_influence")
        )
        assert account.value[0, 0] == pytest.approx(book.value[2])
        np.testing.assert_allclose(account.interval[0, 0], book.interval[2], rtol=1e-10)

    def test_few_uses_have_no_interval(self) -> None:
        drawn = np.zeros((1, 500), int)
        drawn[0, :29], drawn[0, 29:100] = 1, 2
        measure = measured(drawn, drawn == 1)
        bounds = found(measure, "liquidation_probability").interval
        assert np.isnan(bounds[[1, 3]]).all()
        assert not np.isnan(bounds[[0, 2]]).any()


class TestRoom:
    def test_many_cells_are_grouped_by_day(self) -> None:
        """A day is drawn by a path that draws any of its hours."""
        hours = np.datetime64("2024-03-01T00", "h") + np.arange(48)
        drawn = np.array([[0, 5, 23, 24, 40, 47], [1, 30, 22, 25, 41, 46]])
        hits = np.array([[True, True, False, False, True, False]])
        fine = measured(drawn, hits, hours)
        np.testing.assert_array_equal(
            fine.rows.labels[[0, 25]], ["2024-03-01T00:00", "2024-03-02T01:00"]
        )
        coarse = measured(drawn, hits, hours, most=47)
        np.testing.assert_array_equal(coarse.rows.labels, ["2024-03-01", "2024-03-02"])
        results = coarse.finish(0.95)["influence"]
        np.testing.assert_array_equal(results["paths_using"], [3.0, 4.0])
        expected = [0.5 - 1 / 3, 0.5 - 1 / 2]
        np.testing.assert_allclose(results["liquidation_probability"].value, expected)

    def test_without_room_for_days_accounts_are_left_out(self) -> None:
        hours = np.datetime64("2024-03-01T00", "h") + np.arange(48)
        drawn = np.array([[0, 5, 23, 24, 40, 47]])
        results = measured(drawn, np.ones((1, 6), bool), hours, most=1).finish(0.95)["influence"]
        assert "account_row" not in results
        assert len(results["paths_using"]) == 2
