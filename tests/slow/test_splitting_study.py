"""Splitting against long plain runs: feedback, heavy tails and jumps, and again over seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stress.measure.splitting import IN_EVENT, fund_score
from stress.runner.driven import Driven
from stress.runner.prepare import prepare
from stress.runner.simulate import job_spread
from stress.sampling.splitting import Noise, split, with_interval
from stress.types import Floats
from tests.crowd import ACCOUNTS, crowd

PLAIN = 200_000
AT_ONCE = 4_000
POPULATIONS, PARTICLES = 40, 128


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "feedback", "fund"),
    [
        ("gbm", True, 250.0),
        ("student-t", False, 4_000.0),
        ("jump-diffusion", False, 6_000.0),
    ],
)
def test_a_fund_exhausted_once_in_a_thousand(
    model: str, feedback: bool, fund: float, tmp_path: Path
) -> None:
    """The mean over many populations is that of plain paths, and intervals of 8 hold it."""
    job = prepare(crowd(tmp_path, model=model, feedback=feedback, fund=fund))
    driven = Driven(job, job_spread(job), 64)
    exists, capital = np.ones(ACCOUNTS, bool), float(job.main.ownership.initial_equity.sum())

    def score(noise: Noise) -> Floats:
        return np.concatenate(
            [fund_score(block, exists, fund, capital) for block in driven.blocks(noise)]
        )

    random = np.random.default_rng(1)
    hits = sum(
        int((score(Noise.drawn(AT_ONCE, *driven.shape, random)) > IN_EVENT).sum())
        for _ in range(PLAIN // AT_ONCE)
    )
    plain = hits / PLAIN
    assert 1e-4 < plain < 1e-2
    shape = (PARTICLES, *driven.shape)
    estimates = [
        float(
            split(
                score, np.array([IN_EVENT]), shape, np.random.default_rng((2, number)), 50_000
            ).probability[0]
        )
        for number in range(POPULATIONS)
    ]
    error = np.std(estimates, ddof=1) / np.sqrt(POPULATIONS)
    of_plain = plain / np.sqrt(hits)
    assert abs(np.mean(estimates) - plain) < 3.5 * np.hypot(error, of_plain)
    bounds = [with_interval(each.tolist(), 0.95) for each in np.reshape(estimates, (-1, 8))]
    held = [lower - 2 * of_plain < plain < upper + 2 * of_plain for _, lower, upper in bounds]
    assert sum(held) >= len(held) - 1
