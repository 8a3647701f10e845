"""Do 95 % intervals of estimates hold the numbers that histories were made with? At full size."""

from __future__ import annotations

import numpy as np
import pytest

from stress.calibrate.gbm import calibrate
from tests.calibrate.histories import (
    ANNUAL,
    ASSETS,
    CASES,
    DEVIATION,
    Z,
    history,
    normal,
    standardised,
)

HISTORIES, LEAST = 50, 42
"""A 95 % interval that is right holds the truth in 42 or more of 50 with probability 0.998."""


@pytest.mark.slow
def test_intervals_of_volatility_cover() -> None:
    held = np.zeros(3)
    for seed in range(HISTORIES):
        found = calibrate(history(normal(np.random.default_rng([seed, 3]), 1000)))
        held += np.abs(found.volatility - DEVIATION * ANNUAL) < Z * found.standard_error
    print("\ngbm", dict(zip(ASSETS, held.astype(int).tolist(), strict=True)))
    assert held.min() >= LEAST


@pytest.mark.slow
@pytest.mark.parametrize("model", CASES)
def test_intervals_cover(model: str) -> None:
    held: dict[str, int] = {}
    for seed in range(HISTORIES):
        for key, value in standardised(CASES[model], seed).items():
            held[key] = held.get(key, 0) + (abs(value) < Z)
    print(f"\n{model}", held)
    assert min(held.values()) >= LEAST, held
