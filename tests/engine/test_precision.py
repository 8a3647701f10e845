"""float32 against float64 on the same paths: how often a liquidation differs, and by how much."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stress.measure.block import AccountBlock, account_block
from stress.measure.moments import Estimate, Moments
from stress.runner.prepare import Job, prepare
from stress.types import Monitoring, Precision
from tests.engine.following import PATHS, follow
from tests.strategies import random_book, write_book

SEED = 41
BLOCKS = 120
"""Of paths: 50,000 pairs of account and path."""

LIQUIDATIONS_DIFFER = 1e-4
"""Largest share of (account, path) pairs that only one of the precisions liquidates."""

TIMES_DIFFER = 5e-4
"""Largest share of pairs that are not liquidated at the same step by both.

A breach by less than a millionth of the notional is none in float32: it is seen at a later look.
"""

DIFFERENCE_IN_INTERVALS = 0.1
"""Largest difference of a probability, in widths of its 95 percent interval."""


def prepared(folder: Path, precision: Precision, monitoring: Monitoring) -> Job:
    changes = {
        "simulation.precision": precision,
        "simulation.monitoring": monitoring,
        "simulation.seed": SEED,
    }
    return prepare(write_book(folder, random_book(SEED), changes))


def block(job: Job, number: int) -> AccountBlock:
    followed = follow(job, first=number * PATHS)
    return account_block(followed.outcome, job.main.ownership, job.main.tolerance_usd, PATHS)


def estimate(blocks: list[AccountBlock], name: str) -> Estimate:
    moments = Moments.init(blocks[0].step.shape[0])
    for one in blocks:
        moments.update(getattr(one, name).astype(float))
    return moments.finish_probability(0.95)


@pytest.mark.parametrize("monitoring", ["step", pytest.param("bridge", marks=pytest.mark.slow)])
def test_same_liquidations(tmp_path: Path, monitoring: Monitoring) -> None:
    single, double = (
        [block(job, number) for number in range(BLOCKS)]
        for job in (prepared(tmp_path, name, monitoring) for name in ("float32", "float64"))
    )
    differ = [(one.hit != two.hit).mean() for one, two in zip(single, double, strict=True)]
    assert np.mean(differ) <= LIQUIDATIONS_DIFFER
    late = [(one.step != two.step).mean() for one, two in zip(single, double, strict=True)]
    assert np.mean(late) <= TIMES_DIFFER
    for name in ("liquidated", "called", "bankrupt"):
        one, two = (estimate(blocks, name) for blocks in (single, double))
        width = two.interval[:, 1] - two.interval[:, 0]
        assert (np.abs(one.value - two.value) <= DIFFERENCE_IN_INTERVALS * width).all(), name
    # books on which nothing or everything happens would agree for free
    assert 0.2 < np.mean([one.hit.mean() for one in double]) < 0.8
