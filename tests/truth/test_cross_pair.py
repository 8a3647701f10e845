"""One pool on two correlated assets against finite differences and a closed form.

The bridge of such a pool is linearised, so its probability has a bias: of weak order 1, which
halves when the steps double. It is measured with steps of days, where it is large, and must have
vanished behind the sampling error with steps of hours.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

import stress
from tests.reference import cross_pair

from .books import Asset, Owner, Position, correlated_pairs, values, write_book
from .problems import YEAR
from .scores import binomial_scores, check_each, weight_errors

Floats = NDArray[np.float64]

SEED = 20_261_210
DAYS = 7
NOTIONAL = 1_000.0
VOLATILITIES = (0.6, 0.8)
PRICES = (50.0, 2.0)
SIZES = np.array([NOTIONAL / price for price in PRICES])

COARSE, FINE = (2, 4, 8), 32
PATHS = {2: 100_000, 4: 100_000, 8: 100_000, 32: 30_000}

PAIRS = {
    "ratio": cross_pair.CrossPair((1.0, -0.95), 0.05, VOLATILITIES, 0.8, DAYS / YEAR),
    "hedge": cross_pair.CrossPair((1.0, -1.0), 0.1, VOLATILITIES, 0.8, DAYS / YEAR),
    "reversed": cross_pair.CrossPair(
        (-0.8, 1.0), 0.15, VOLATILITIES, 0.3, DAYS / YEAR, drifts=(1.0, -2.0)
    ),
    "longs": cross_pair.CrossPair((1.0, 1.0), 0.2, VOLATILITIES, 0.8, DAYS / YEAR),
}
"""Accounts in units of the starting notional. The first has the closed form; "longs" has a bias of
the other sign."""


class Found(NamedTuple):
    """Estimates of all pairs at one number of steps: from weights, their errors, from hits."""

    weights: Floats
    errors: Floats
    hits: Floats


def run(folder: Path, steps: int) -> Found:
    """Run all pairs, each on two assets of its own."""
    assets, owners = [], []
    for name, pair in PAIRS.items():
        held = []
        for index, letter in enumerate("ab"):
            asset = Asset(
                f"{name}-{letter}",
                VOLATILITIES[index],
                drift=pair.drifts[index],
                price=PRICES[index],
            )
            assets.append(asset)
            held.append(Position(asset.name, pair.quantities[index] * SIZES[index], asset.price))
        owners.append(Owner(name, pair.wallet * NOTIONAL, tuple(held)))
    correlation = correlated_pairs([pair.correlation for pair in PAIRS.values()], len(assets))
    scenario = write_book(
        folder,
        assets,
        owners,
        correlation=correlation,
        monitoring="bridge",
        days=DAYS,
        steps=steps,
        paths=PATHS[steps],
        seed=SEED + steps,
    )
    tree = stress.run(scenario)
    estimate, interval = values(tree, "accounts", "liquidation_probability")
    hits = values(tree, "accounts", "liquidation_probability_by_step")[0][:, -1]
    return Found(estimate, weight_errors(estimate, interval, 0.95), hits)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Found]:
    """Run every number of steps."""
    return {steps: run(tmp_path_factory.mktemp(f"{steps}"), steps) for steps in (*COARSE, FINE)}


@pytest.fixture(scope="module")
def truth() -> Floats:
    """Solve every pair by finite differences, (pairs,)."""
    return np.array([cross_pair.pde(pair) for pair in PAIRS.values()])


def test_both_references_agree(truth: Floats) -> None:
    """The ratio of two prices is lognormal: a closed form for an account without a constant."""
    assert truth[0] == pytest.approx(cross_pair.ratio_case(PAIRS["ratio"]), rel=1e-6)
    assert np.all((truth > 0.1) & (truth < 0.6))


def test_short_steps(found: dict[int, Found], truth: Floats) -> None:
    """32 steps: weights and hits are within their sampling errors of the truth."""
    names = list(PAIRS)
    fine = found[FINE]
    check_each((fine.weights - truth) / fine.errors, names)
    check_each(binomial_scores(fine.hits, truth, PATHS[FINE]), names)


def bias(found: Found, truth: Floats) -> tuple[float, float]:
    """Return the summed size of the relative biases and its standard error.

    Their signs are known, so that they can be summed without the noise adding to the size.
    """
    signs = np.array([-1.0, -1.0, -1.0, 1.0])
    relative = signs * (found.weights / truth - 1)
    return float(relative.sum()), float(np.sqrt(np.sum((found.errors / truth) ** 2)))


def test_bias_halves_as_steps_double(found: dict[int, Found], truth: Floats) -> None:
    """From 2 to 4 to 8 steps; what is left at 32 by that rule is below the sampling error."""
    measured = [bias(found[steps], truth) for steps in COARSE]
    assert measured[0][0] > 5 * measured[0][1], "with two steps the bias is plain"
    for (before, error_before), (after, error) in zip(measured[:-1], measured[1:], strict=True):
        combined = np.hypot(error_before / 2, error)
        assert abs(after - before / 2) < 3.5 * combined, f"{before:.4f} became {after:.4f}"
    (first, first_error), _, (last, last_error) = measured
    assert first - last > 3.5 * np.hypot(first_error, last_error), "it must fall"
    left, error = bias(found[FINE], truth)
    assert last * COARSE[-1] / FINE < error
    assert abs(left) < 3.5 * error
