"""The length of a time block is a matter of speed: marks and decisions do not know it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stress.runner.prepare import Job, prepare
from stress.types import Monitoring, Precision
from tests.engine.following import follow, gross, marks, plain_pools
from tests.strategies import Account, random_book, write_book

SEED = 31


def prepared(
    folder: Path, monitoring: Monitoring, precision: Precision = "float64"
) -> tuple[Job, dict[str, Account]]:
    accounts = random_book(SEED)
    changes = {
        "simulation.monitoring": monitoring,
        "simulation.precision": precision,
        "simulation.seed": SEED,
    }
    return prepare(write_book(folder, accounts, changes)), accounts


@pytest.mark.parametrize(("precision", "lengths"), [("float32", (64, 40, 1)), ("float64", (64,))])
def test_marks(tmp_path: Path, precision: Precision, lengths: tuple[int, ...]) -> None:
    """One block that reaches beyond the horizon, one that ends with it, blocks of one step."""
    job, _ = prepared(tmp_path, "step", precision)
    expected = marks(job)
    assert expected.dtype == precision
    for length in lengths:
        np.testing.assert_array_equal(marks(job, block=length), expected)


def test_marks_do_not_know_the_horizon(tmp_path: Path) -> None:
    """The first steps of a longer run are those of a shorter one, digit by digit."""
    accounts = random_book(SEED)
    runs = {
        horizon: prepare(write_book(tmp_path, accounts, {"simulation.horizon": horizon}))
        for horizon in ("240h", "96h")
    }
    long, short = (marks(job, block=job.schedule.block) for job in runs.values())
    np.testing.assert_array_equal(short, long[:, : short.shape[1]])


@pytest.mark.parametrize(
    ("monitoring", "lengths"),
    [pytest.param("step", (64, 1), marks=pytest.mark.slow), ("bridge", (64,))],
)
def test_outcomes(tmp_path: Path, monitoring: Monitoring, lengths: tuple[int, ...]) -> None:
    """Decisions are equal; amounts may differ by rounding, as XLA adds in another order."""
    job, accounts = prepared(tmp_path, monitoring)
    scale = gross(plain_pools(accounts), job.setting.price)
    expected, end = follow(job)
    assert 0.2 < (expected.step > 0).mean() < 0.9
    for length in lengths:
        found, found_end = follow(job, block=length)
        np.testing.assert_array_equal(found_end, end)
        np.testing.assert_array_equal(found.step, expected.step)
        np.testing.assert_array_equal(found.called, expected.called)
        np.testing.assert_array_equal(found.deficit > 0, expected.deficit > 0)
        for name in ("equity", "deficit", "closed"):
            amounts = (getattr(outcome, name) / scale for outcome in (found, expected))
            np.testing.assert_allclose(*amounts, rtol=0, atol=1e-13, err_msg=name)
        for name in ("survival", "calm"):
            weights = (np.exp(getattr(outcome, name)) for outcome in (found, expected))
            np.testing.assert_allclose(*weights, rtol=0, atol=1e-12, err_msg=name)
