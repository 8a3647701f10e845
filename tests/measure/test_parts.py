"""Measures of parts of the paths, kept as arrays and merged, against those of all at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stress.measure.attribution import WorstPaths
from stress.measure.kept import arrays_of, restore
from stress.measure.liquidations import LiquidationBits
from stress.measure.moments import Moments
from stress.measure.risk import EffectiveRisk
from stress.measure.tail import UpperTail
from stress.measure.world import Request
from tests.measure.blocks import random_block, request

ROWS, LEVEL = 3, 0.9


def again(measure: Any, empty: Any) -> Any:
    """Return the measure as it comes back from its arrays, which are the same again."""
    arrays = {name: array.copy() for name, array in arrays_of(measure).items()}
    restore(empty, arrays)
    twice = arrays_of(empty)
    assert twice.keys() == arrays.keys()
    for name, array in arrays.items():
        assert twice[name].dtype == array.dtype, name
        assert twice[name].tobytes() == array.tobytes(), name
    return empty


def asked(paths: int) -> Request:
    of = request(paths)
    return Request((LEVEL,), of.quantiles, 0.95, paths, of.grid, "float64")


def tail(of: Request) -> UpperTail:
    keep = of.keep(LEVEL)
    return UpperTail(ROWS, of.paths, of.levels, of.confidence, "float64", keep)


@settings(deadline=None, max_examples=40)
@given(paths=st.integers(2, 3_000), chunk=st.integers(40, 700), seed=st.integers(0, 2**16))
def test_tails_of_parts(paths: int, chunk: int, seed: int) -> None:
    """A run of any length finds its largest losses in what its parts have kept."""
    losses = np.random.default_rng(seed).standard_t(3, (ROWS, paths))
    whole, merged = tail(asked(paths)), tail(asked(paths))
    whole.update(losses)
    for first in range(0, paths, chunk):
        own = losses[:, first : first + chunk]
        of = asked(paths).part(own.shape[1], alike=True)
        part = tail(of)
        part.update(own)
        merged.merge(again(part, tail(of)))
    for one, other in zip(whole.finish(), merged.finish(), strict=True):
        assert np.array_equal(one.value, other.value)
        assert np.array_equal(one.interval, other.interval, equal_nan=True)


def test_a_part_keeps_little_and_does_not_know_the_run() -> None:
    """Of 512 paths a part keeps the same for a run of 1,024 and of a million."""
    few, many = (asked(paths).part(512, alike=True).keep(0.95) for paths in (1_024, 1_000_000))
    assert few == many
    assert 0.05 * 512 < few < 0.2 * 512


class TestPathsThatAreNotAlike:
    """Losses that grow with the path number: the largest are all in the last part."""

    losses = np.arange(2_000.0) * np.ones((ROWS, 1))

    def merged(self, *, alike: bool) -> UpperTail:
        run = tail(asked(2_000))
        for first in range(0, 2_000, 500):
            part = tail(asked(2_000).part(500, alike=alike))
            part.update(self.losses[:, first : first + 500])
            run.merge(part)
        return run

    def test_taken_for_alike(self) -> None:
        """What a part has left out is missed and said, not passed over."""
        with pytest.raises(ArithmeticError, match="kept too few"):
            self.merged(alike=True).finish()

    def test_known_not_to_be(self) -> None:
        whole = tail(asked(2_000))
        whole.update(self.losses)
        at_risk, _ = self.merged(alike=False).finish()
        assert np.array_equal(at_risk.value, whole.finish()[0].value)


class TestWorstPaths:
    def filled(self, total: np.ndarray, keep: int, size: int, kept: int) -> WorstPaths:
        """Return the worst of all paths from parts of ``size`` that keep ``kept``."""
        run = WorstPaths(ROWS, keep)
        for first in range(0, len(total), size):
            own = total[first : first + size]
            part = WorstPaths(ROWS, kept)
            self.add(part, own, 0)
            run.merge(again(part, WorstPaths(ROWS, kept)), first)
        return run

    def add(self, worst: WorstPaths, total: np.ndarray, first: int) -> None:
        parts = np.outer(np.arange(1, ROWS + 1), total)
        steps = np.where(total > 0, np.arange(len(total)) % 5, -1)[None].repeat(4, axis=0)
        worst.update(total, first, lambda some: parts[some], steps)

    @settings(deadline=None, max_examples=25)
    @given(seed=st.integers(0, 2**16), ties=st.booleans())
    def test_of_parts(self, seed: int, ties: bool) -> None:
        total = np.random.default_rng(seed).normal(size=600)
        total = np.round(total) if ties else total
        whole = WorstPaths(ROWS, 30)
        self.add(whole, total, 0)
        one, other = whole.finish(), self.filled(total, 30, 100, 60).finish()
        for mine, theirs in zip(one[:3], other[:3], strict=True):
            assert np.array_equal(mine, theirs)
        for mine, theirs in zip(one[3], other[3], strict=True):
            assert np.array_equal(mine.pool, theirs.pool)

    def test_too_few(self) -> None:
        with pytest.raises(ArithmeticError, match="kept too few"):
            self.filled(np.arange(600.0), 30, 100, 10).finish()


def risk(of: Request) -> EffectiveRisk:
    return EffectiveRisk(2, np.array([0, 1]), np.arange(ROWS), np.full(ROWS, 10.0), of)


def test_effective_risk_of_parts() -> None:
    """Losers are drawn: a position's losses are spread over the parts as chance has it."""
    rng = np.random.default_rng(5)
    loser = rng.integers(-1, 2, (ROWS, 1_500))
    loss = rng.exponential(1.0, (ROWS, 1_500))
    whole, merged = risk(asked(1_500)), risk(asked(1_500))
    whole.update(loser, loss)
    for first in range(0, 1_500, 500):
        own = slice(first, first + 500)
        of = asked(1_500).part(500, alike=True)
        part = risk(of)
        part.update(loser[:, own], loss[:, own])
        merged.merge(again(part, risk(of)))
    one, other = whole.finish()["positions"], merged.finish()["positions"]
    assert np.array_equal(one["effective_risk_paths"], other["effective_risk_paths"])
    shortfall = [each["effective_risk_shortfall"] for each in (one, other)]
    assert np.array_equal(shortfall[0].value, shortfall[1].value)
    np.testing.assert_allclose(
        one["effective_risk_mean"].value, other["effective_risk_mean"].value, rtol=1e-13
    )


def test_moments_come_back() -> None:
    moments = Moments.init(2, 3)
    moments.update(np.random.default_rng(1).normal(size=(2, 3, 40)))
    found = again(moments, Moments.init(2, 3))
    assert found.count == 40


@settings(deadline=None, max_examples=20)
@given(accounts=st.integers(1, 30), widths=st.lists(st.integers(1, 20), min_size=1, max_size=5))
def test_liquidation_bits(accounts: int, widths: list[int]) -> None:
    """Whatever the number of accounts and wherever blocks end."""
    rng, bits, known = np.random.default_rng(accounts), LiquidationBits(accounts), []
    for width in widths:
        block = random_block(int(rng.integers(1_000)), accounts, width)
        bits.update(block)
        known.append(block.hits.dense() != 0)
    packed = again(bits, LiquidationBits(accounts)).finish()["liquidations"]["liquidated"]
    found = np.unpackbits(packed, axis=1, count=accounts).astype(bool)
    assert np.array_equal(found.T, np.concatenate(known, axis=1))
