"""Design points against cases that are solved by hand, and against a search that knows nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stress.sampling.design_points import Terminal, design_points

Floats = NDArray[np.float64]


def terminal(
    quantity: Floats, cash: Floats, *, deviation: Floats, correlation: float = 0.0, rate: float = 0
) -> Terminal:
    """Return pools over assets of price 1, entered there, without drift."""
    pools, assets = quantity.shape
    matrix = np.full((assets, assets), correlation) + (1 - correlation) * np.eye(assets)
    values, vectors = np.linalg.eigh(matrix)
    return Terminal(
        price=np.ones(assets),
        mean=np.zeros(assets),
        root=deviation[:, None] * ((vectors * np.sqrt(values)) @ vectors.T),
        cash=cash,
        asset=np.broadcast_to(np.arange(assets), quantity.shape),
        quantity=quantity,
        entry=np.ones(quantity.shape),
        rate=np.full((pools, assets, 1), rate),
        amount=np.zeros((pools, assets, 1)),
    )


def test_one_position_is_as_far_as_its_barrier() -> None:
    """A long of leverage 5 and a short of leverage 4, without requirement."""
    pools = terminal(np.array([[1.0], [-1.0]]), np.array([0.2, 0.25]), deviation=np.array([0.1]))
    points = design_points(pools)
    assert points.pool.tolist() == [0, 1]
    assert points.z[:, 0] == pytest.approx([np.log(0.8) / 0.1, np.log(1.25) / 0.1])


def test_a_ratio_of_two_prices_is_half_a_space() -> None:
    """Without a constant the requirement is a plane in the logs: its distance is closed."""
    pools = terminal(
        np.array([[1.0, -0.8]]), np.array([0.2]), deviation=np.array([0.17, 0.23]), correlation=0.8
    )
    points = design_points(pools)
    variance = 0.17**2 + 0.23**2 - 2 * 0.8 * 0.17 * 0.23
    assert points.distance == pytest.approx([np.log(1 / 0.8) / np.sqrt(variance)])


def test_two_shorts_have_two_ways_to_be_liquidated() -> None:
    """Of independent assets, far away, either rises nearly alone: likelier than both together."""
    pools = terminal(np.array([[-1.0, -1.0]]), np.array([10.0]), deviation=np.array([0.6, 0.6]))
    points = design_points(pools)
    assert len(points.pool) == 2
    assert points.distance[0] == pytest.approx(points.distance[1])
    assert points.z[0] == pytest.approx(points.z[1][::-1], abs=1e-4)
    assert points.distance[0] < np.sqrt(2) * np.log(6) / 0.6


def test_who_cannot_be_liquidated_or_is_already_has_none() -> None:
    """A long with more cash than it can lose, and pools in breach and without positions."""
    quantity, cash = np.array([[1.0], [1.0], [0.0]]), np.array([1.5, -0.1, 1.0])
    assert len(design_points(terminal(quantity, cash, deviation=np.array([0.1]))).pool) == 0


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(-1, 1), min_size=3, max_size=3), st.floats(0.05, 0.4), st.floats(-0.3, 0.9)
)
def test_nothing_nearer_is_in_breach(
    quantity: list[float], leverage: float, correlation: float
) -> None:
    """Nor is anything as far, along forty thousand directions."""
    held = np.round(np.array([quantity]), 3)
    gross = np.abs(held).sum()
    pools = terminal(
        held,
        np.array([leverage * gross]),
        deviation=np.array([0.05, 0.1, 0.08]),
        correlation=correlation,
        rate=0.005,
    )
    points = design_points(pools)
    nearest = points.distance.min(initial=np.inf)
    directions = np.random.default_rng(3).standard_normal((40_000, 3))
    directions /= np.sqrt((directions**2).sum(axis=1, keepdims=True))
    reach = 0.999 * min(nearest, 30.0)
    excess, _ = pools.of(np.zeros(len(directions), int)).excess(reach * directions)
    assert (excess >= 0).all() or gross == 0
    if len(points.pool):
        there, _ = pools.of(points.pool).excess(points.z)
        assert np.abs(there).max() < 1e-3 * leverage * gross
