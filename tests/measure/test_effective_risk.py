"""What positions cost their accounts: by hand, and against all losses kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from stress.measure import risk as risk_module
from stress.measure.risk import EffectiveRisk
from stress.stats.confidence import Confidence
from stress.stats.tail import expected_shortfall
from tests.measure.blocks import estimate, request, same

BOOK_POSITION = np.array([2, 0, 1])
"""The engine's first position is the book's third; the book's fourth is of a missing account."""
POOL_ACCOUNT = np.array([0, 0, 1])
EQUITY = np.array([100.0, -5.0])


def test_by_hand() -> None:
    """The account's whole loss counts, for each of its pools that was liquidated."""
    risk = EffectiveRisk(4, BOOK_POSITION, POOL_ACCOUNT, EQUITY, request(5))
    # positions 0 and 1 of the engine are in pool 0; the last two columns are another variant's
    loser = np.array([[0, 1, -1, 0, 9], [-1, -1, -1, -1, 9], [-1, 2, -1, -1, 9]])
    risk.update(loser, np.array([[50.0, 80.0, 10.0], [1.0, 2.0, 3.0]]))
    risk.update(np.array([[0, -1]] + [[-1, -1]] * 2), np.array([[30.0, 0.0], [0.0, 0.0]]))
    found = risk.finish()
    assert found["positions"]["effective_risk_paths"].tolist() == [1, 1, 2, 0]
    mean = estimate(found, "positions", "effective_risk_mean")
    assert mean.value[[0, 2]] == pytest.approx([0.8, 0.4])
    half = student.ppf(0.975, 1) * np.std([0.5, 0.3], ddof=1) / np.sqrt(2)
    assert mean.interval[2] == pytest.approx([0.4 - half, 0.4 + half])
    assert np.isnan(mean.interval[0]).all()
    # a share of an equity below 0 says nothing
    assert np.isnan(mean.value[1])
    shortfall = estimate(found, "positions", "effective_risk_shortfall")
    assert shortfall.value[[0, 2]] == pytest.approx([0.8, 0.5])
    assert shortfall.interval[2, 1] == np.inf
    assert np.isnan(shortfall.value[1]) and np.isnan(shortfall.interval[1]).all()


def test_it_never_happened() -> None:
    """NaN, and 0 paths; also for no paths at all."""
    risk = EffectiveRisk(4, BOOK_POSITION, POOL_ACCOUNT, EQUITY, request(5))
    for paths in (0, 2):
        risk.update(np.full((3, paths), -1), np.ones((2, paths)))
        found = risk.finish()
        assert found["positions"]["effective_risk_paths"].tolist() == [0, 0, 0, 0]
        for name in ("effective_risk_mean", "effective_risk_shortfall"):
            assert np.isnan(estimate(found, "positions", name).value).all()
            assert np.isnan(estimate(found, "positions", name).interval).all()


def events(paths: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return losers and losses of one pool of three positions, of which the last seldom loses."""
    generator = np.random.default_rng(seed)
    loser = generator.choice([-1, 0, 1, 2], p=[0.2, 0.6, 0.19, 0.01], size=(1, paths))
    return loser, np.round(generator.normal(20.0, 30.0, size=(1, paths)), 1)


def measured(paths: int) -> EffectiveRisk:
    of = replace(request(paths), precision="float64")
    return EffectiveRisk(3, np.array([2, 0, 1]), np.array([0]), np.array([50.0]), of)


@settings(deadline=None, max_examples=25)
@given(
    paths=st.integers(1, 4_000),
    seed=st.integers(0, 2**16),
    cuts=st.lists(st.integers(1, 3_999), max_size=6),
)
def test_only_the_tail_is_kept(paths: int, seed: int, cuts: list[int]) -> None:
    """Whatever the blocks, as if every loss were kept."""
    loser, loss = events(paths, seed)
    risk = measured(paths)
    edges = [0, *sorted({cut for cut in cuts if cut < paths}), paths]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(risk_module, "_LEAST_CUT", 10)
        for low, high in zip(edges[:-1], edges[1:], strict=True):
            risk.update(loser[:, low:high], loss[:, low:high])
    found = risk.finish()
    for engine, book in enumerate((2, 0, 1)):
        share = loss[loser == engine] / 50.0
        assert found["positions"]["effective_risk_paths"][book] == len(share)
        if len(share):
            mean = estimate(found, "positions", "effective_risk_mean").value[book]
            assert mean == pytest.approx(share.mean(), abs=1e-12)
            known, bounds = expected_shortfall(-np.sort(-share), len(share), 0.99, 0.95)
            shortfall = estimate(found, "positions", "effective_risk_shortfall")
            assert shortfall.value[book] == pytest.approx(known)
            assert shortfall.interval[book] == pytest.approx(bounds, nan_ok=True)


def test_merging() -> None:
    """Two measures of parts of the paths as one, with and without cuts between."""
    loser, loss = events(3_000, 3)
    whole, first, second = (measured(3_000) for _ in range(3))
    whole.update(loser, loss)
    first.update(loser[:, :1_000], loss[:, :1_000])
    second.update(loser[:, 1_000:], loss[:, 1_000:])
    second.finish()
    first.merge(second)
    same(first.finish(), whole.finish())


def test_memory() -> None:
    """A hundredth of the paths a position, not all of them."""
    paths = 200_000
    risk = measured(paths)
    loser, loss = events(paths, 4)
    most = 0
    for places in np.array_split(np.arange(paths), 100):
        risk.update(loser[:, places], loss[:, places])
        most = max(most, sum(len(kept) for _, kept in risk._parts))
    assert risk.keep < 0.0105 * paths
    assert most <= 6 * risk.keep + risk_module._LEAST_CUT
    risk.finish()
    assert sum(len(kept) for _, kept in risk._parts) <= 3 * risk.keep


@pytest.mark.parametrize("happened", [1, 5, 41, 69])
@pytest.mark.parametrize("effect", [1.0, 2.5, 12.0])
def test_windows_that_overlap(happened: int, effect: float) -> None:
    """Of paths that are worth less, as many of the largest are kept as the bounds ask for."""
    asked = replace(request(70), confidence=Confidence(0.95, effect))
    risk = EffectiveRisk(1, np.array([0]), np.array([0]), np.array([1.0]), asked)
    loser = np.full((1, 70), -1)
    loser[0, :happened] = 0
    loss = np.random.default_rng(1).random((1, 70))
    risk.update(loser, loss)
    found = estimate(risk.finish(), "positions", "effective_risk_shortfall")
    everything = np.sort(loss[:, :happened])[:, ::-1]
    value, interval = expected_shortfall(everything, happened, 0.99, Confidence(0.95, effect))
    np.testing.assert_allclose(found.value, value, rtol=1e-6)
    np.testing.assert_allclose(found.interval, interval, rtol=1e-6)
