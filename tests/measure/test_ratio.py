"""The ratio of two sums over paths: by hand, and how often its interval covers."""

from __future__ import annotations

import numpy as np
import pytest

from stress.measure.ratio import RatioOfSums


def test_by_hand() -> None:
    """Sums 12 and 8; residuals y - 1.5 x are 0.5, 0, -1, 0.5, of variance 0.5."""
    numerator, denominator = np.array([2.0, 3.0, 2.0, 5.0]), np.array([1.0, 2.0, 2.0, 3.0])
    ratio = RatioOfSums()
    ratio.update(numerator, denominator)
    found = ratio.finish(0.95)
    assert found.value == pytest.approx(1.5)
    half = 1.959963984540054 * np.sqrt(0.5 / 4) / 2
    assert found.interval == pytest.approx([1.5 - half, 1.5 + half])


def test_blocks_and_merging() -> None:
    """In parts as at once, row by row."""
    generator = np.random.default_rng(5)
    numerator, denominator = generator.exponential(size=(2, 3, 50))
    whole, parts, rest = (RatioOfSums(3) for _ in range(3))
    whole.update(numerator, denominator)
    parts.update(numerator[:, :20], denominator[:, :20])
    rest.update(numerator[:, 20:], denominator[:, 20:])
    parts.merge(rest)
    parts.merge(RatioOfSums(3))
    assert parts.finish(0.9).value == pytest.approx(whole.finish(0.9).value, rel=1e-12)
    assert parts.finish(0.9).interval == pytest.approx(whole.finish(0.9).interval, rel=1e-10)


def test_what_has_no_ratio() -> None:
    """Nothing closed without impact, no paths, one path; never below 0."""
    idle = RatioOfSums()
    assert np.isnan(idle.finish(0.95).value)
    idle.update(np.array([0.0, 4.0]), np.zeros(2))
    assert np.isnan(idle.finish(0.95).value)
    assert np.isnan(idle.finish(0.95).interval).all()
    one = RatioOfSums()
    one.update(np.array([3.0]), np.array([2.0]))
    assert one.finish(0.95).value == 1.5
    assert np.isnan(one.finish(0.95).interval).all()
    wild = RatioOfSums()
    wild.update(np.array([0.0, 9.0]), np.array([1.0, 1.0]))
    assert wild.finish(0.95).interval[0] == 0.0


def test_equal_sums_are_certain() -> None:
    """Where feedback changes nothing the multiplier is 1, however closes vary."""
    closed = np.random.default_rng(6).exponential(1e7, size=1_000)
    ratio = RatioOfSums()
    ratio.update(closed, closed)
    found = ratio.finish(0.95)
    assert found.value == 1.0
    assert found.interval == pytest.approx([1.0, 1.0], abs=1e-7)


def test_coverage() -> None:
    """Half the paths close nothing; the rest close more with feedback, the more the larger."""
    generator, paths, truth = np.random.default_rng(7), 400, 1.3
    covered = 0
    for _ in range(200):
        without = generator.exponential(size=paths) * (generator.random(paths) < 0.5)
        noise = generator.lognormal(-0.125, 0.5, size=paths)
        ratio = RatioOfSums()
        ratio.update(truth * without * noise, without)
        lower, upper = ratio.finish(0.95).interval
        covered += bool(lower <= truth <= upper)
    # binomial(200, 0.95) has a standard deviation of 3.1
    assert 180 <= covered <= 198
