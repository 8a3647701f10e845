"""Mixtures against theory: densities, predicted moments, covers, and how paths are dealt."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr

from stress.sampling.design_points import DesignPoints, Terminal
from stress.sampling.importance_tilts import (
    DoubleExponentialLaw,
    Jumps,
    NormalLaw,
    SizeLaw,
    bar_scenes,
    dominating,
)
from stress.sampling.mixture import (
    DEFENSIVE,
    Components,
    best_shares,
    cover,
    dealt,
    served,
    still,
)

Floats = NDArray[np.float64]


def some_points(count: int, assets: int, distance: float) -> DesignPoints:
    """Return design points in random directions."""
    direction = np.random.default_rng(5).standard_normal((count, assets))
    direction /= np.sqrt((direction**2).sum(axis=1, keepdims=True))
    return DesignPoints(np.arange(count), distance * direction)


def drifts(points: DesignPoints, share: Floats) -> Components:
    """Return one drift a point behind the model."""
    z = np.concatenate([np.zeros((1, points.z.shape[1])), points.z])
    kind = np.stack([np.zeros(len(z), int), np.arange(len(z))], axis=1)
    return Components(z, (z**2).sum(axis=1) / 2, kind, share)


def test_predicted_moments_are_those_of_simulated_half_spaces() -> None:
    """A Brownian motion of one dimension, in steps so small that its hits are those of theory."""
    points = DesignPoints(np.array([0]), np.array([[2.5]]))
    components = drifts(points, np.array([0.2, 0.8]))
    found = served(points, still(1), components, draws=4096)
    rng, steps, paths = np.random.default_rng(8), 800, 40_000
    toward = np.where(np.arange(paths) < 0.8 * paths, 2.5, 0.0)
    place, weight = np.zeros(paths), np.zeros(paths)
    # discrete looks miss what is between them: the barrier stands that much nearer
    barrier = 2.5 - 0.5825971579 / np.sqrt(steps)
    for step in range(1, steps + 1):
        place += rng.standard_normal(paths) / np.sqrt(steps) + toward / steps
        now = (weight == 0) & (place >= barrier)
        density = 0.2 + 0.8 * np.exp(2.5 * place - 2.5**2 * step / steps / 2)
        weight = np.where(now, 1 / density, weight)
    assert found.probability[0] == pytest.approx(2 * ndtr(-2.5), rel=1e-12)
    assert weight.mean() == pytest.approx(found.probability[0], rel=0.02)
    assert (weight**2).mean() == pytest.approx(found.second[0], rel=0.04)


def test_shares_serve_the_worst_better_than_equal_ones() -> None:
    """Thirty points of which most lie close together, and one far from all."""
    points = some_points(30, 4, 4.0)
    crowd = points.z[:1] + 0.1 * points.z
    points = DesignPoints(points.pool, np.concatenate([crowd[:-1], -crowd[:1]]))
    equal = drifts(points, np.append(0.1, np.full(30, 0.03)))
    best = best_shares(points, still(4), equal.drift, equal.cost, equal.kind)
    assert best.share.sum() == pytest.approx(1)
    assert best.share[0] >= DEFENSIVE

    def worst(components: Components) -> float:
        found = served(points, still(4), components)
        return float((found.second / found.probability**2).max())

    assert worst(best) < 0.5 * worst(equal)


def test_a_cover_leaves_nobody_far_from_all() -> None:
    points = some_points(300, 3, 4.0)
    chosen = cover(points, 40)
    assert len(chosen) == len(np.unique(chosen)) <= 40
    nearest = (points.direction @ points.direction[chosen].T).max(axis=1)
    assert nearest.min() > 0.8
    assert cover(points, 300).tolist() == list(range(300))


def test_who_is_not_served_is_seen_to_be_missed() -> None:
    """Without a drift in its direction an account has next to no effective hits."""
    points = some_points(12, 3, 5.0)
    part = points.of(points.direction[:, 0] > 0)
    share = np.append(0.1, np.full(len(part.pool), 0.9 / len(part.pool)))
    found = served(points, still(3), drifts(part, share))
    hits = 20_000 * found.probability**2 / found.second
    with_drift = points.direction[:, 0] > 0
    assert hits[with_drift].min() > 500
    opposite = (points.direction @ part.direction.T).max(axis=1) < 0.3
    assert opposite.any()
    assert hits[opposite].max() < 1


@pytest.mark.parametrize("paths", [64, 1_000, 4_097])
def test_paths_are_dealt_whole_and_even(paths: int) -> None:
    """Shares are exactly what is dealt; every stretch of paths has nearly all of them."""
    points = some_points(20, 3, 4.0)
    asked = drifts(points, np.append(0.1, np.arange(1, 21) * 0.9 / 210))
    components, component = dealt(asked, paths, 8)
    count = np.bincount(component)
    assert (components.share * paths == count).all()
    assert count.sum() == paths
    assert count[1:].min(initial=8) >= 8
    assert (components.drift[0] == 0).all()
    half = np.bincount(component[: paths // 2], minlength=len(count))
    assert np.abs(half - count / 2).max() <= 1


def test_scenes_of_bars_have_the_law_of_the_model() -> None:
    """Their weights give the mean and the tail of W, tilted or not."""
    coordinate = np.linspace(-23, 23, 4097)
    log_quantile = np.where(coordinate < 0, 0.1, 0.3) * coordinate
    threshold = np.array([0.0, 2.0, 5.0])
    scenes = bar_scenes(threshold, coordinate, log_quantile, np.array([1.0]), 2)
    far = np.log(scenes.variance) / 0.3 > 6
    assert scenes.weight @ far == pytest.approx(np.exp(-6) / 2, rel=0.1)
    assert scenes.weight @ scenes.ratio == pytest.approx([1, 1, 1], abs=0.15)


LAWS: tuple[SizeLaw, ...] = (NormalLaw(-0.05, 0.04), DoubleExponentialLaw(0.4, 0.05, 0.08))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("eta", [-7.0, 5.0])
def test_a_tilted_law_has_the_tilted_density(law: SizeLaw, eta: float) -> None:
    """``E[exp(eta J) f(J)] / E[exp(eta J)]`` of the law is ``E[f(J)]`` of the tilted one."""
    rng = np.random.default_rng(11)
    grown, slope = law.growth(np.array(eta))
    drawn, tilted = law.draw(rng, 400_000), law.tilted(eta).draw(rng, 400_000)
    weight = np.exp(eta * drawn)
    assert weight.mean() == pytest.approx(float(grown), rel=0.02)
    assert slope / grown == pytest.approx(tilted.mean(), abs=2e-3)
    for side in (-1, 1):
        threshold = law.threshold(0.1, side)
        assert law.tail(np.asarray(threshold), side) == pytest.approx(0.1)
        beyond = side * drawn > side * threshold
        share = law.tilted(eta).tail(np.asarray(threshold), side)
        assert (weight * beyond).mean() / grown == pytest.approx(float(share), abs=0.02)


def test_a_dominating_point_is_on_the_surface() -> None:
    """Under its drift the mean state of a long, jumps and all, is its liquidation price."""
    pool = Terminal(
        price=np.ones(1),
        mean=np.zeros(1),
        root=np.array([[0.05]]),
        cash=np.array([0.3]),
        asset=np.zeros((1, 1), int),
        quantity=np.ones((1, 1)),
        entry=np.ones((1, 1)),
        rate=np.zeros((1, 1, 1)),
        amount=np.zeros((1, 1, 1)),
    )
    jumps = Jumps(np.array([0.5]), np.array([[1 / 0.05]]), (NormalLaw(-0.04, 0.05),))
    drift, points = dominating(pool, DesignPoints(np.array([0]), np.array([[-7.0]])), jumps)
    assert 0.05 * jumps.mean(drift)[0, 0] == pytest.approx(np.log(0.7), rel=1e-6)
    assert points.z[0, 0] == pytest.approx(np.log(0.7) / 0.05, rel=1e-6)
    # the Brownian motion goes only part of the way
    assert -4 < drift[0, 0] < 0
