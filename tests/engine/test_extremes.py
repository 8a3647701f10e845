"""Looking at the worst of each step's bar, against plain loops over every corner of every box."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from stress.market import Constant
from stress.runner.prepare import Job, prepare
from tests.engine.following import PATHS, follow, gross, marks, plain_pools
from tests.engine.scripted import PERIOD, WIDTH, Barred, along, scripted
from tests.reference import plain
from tests.strategies import Account, random_book, write_book

Floats = NDArray[np.float64]

SEED, TAU = 71, 1e-9


def bars() -> tuple[Floats, Floats]:
    """Return logs of lows and highs relative to closes, some of them the close itself."""
    rng = np.random.default_rng(SEED)
    size = rng.uniform(0.0, 0.04, (2, PERIOD, WIDTH, 4)) * rng.integers(0, 2, (2, PERIOD, WIDTH, 4))
    return -size[0], size[1]


def barred(folder: Path, accounts: dict[str, Account]) -> Job:
    changes = {
        "simulation.seed": SEED,
        "simulation.monitoring": "extremes",
        "simulation.horizon": "120h",
    }
    job = prepare(write_book(folder, accounts, changes))
    script = scripted(job, np.ones((PERIOD, WIDTH)), apart=True)
    low, high = (jnp.asarray(of) for of in bars())
    return replace(job, market=Constant(Barred(script, low, high)))


def test_twin(tmp_path: Path) -> None:
    """When, what is closed and at which marks; also with every pool evaluated at every step."""
    accounts = random_book(SEED, copies=1)
    job, pools = barred(tmp_path, accounts), plain_pools(accounts)
    nodes = marks(job)
    steps = nodes.shape[1] - 1
    low, high = (nodes[:, 1:] * np.exp(along(of, steps, PATHS)) for of in bars())
    setting = job.setting
    twin = plain.plain_extremes(nodes, low, high, pools, setting.fee, TAU, setting.warning)
    assert ((twin.step > 0) & (plain_closes(job, nodes, pools) != twin.step)).sum() > 20
    scale = gross(pools, nodes[0, 0])
    for detail in (False, True):
        found = follow(job, detail=detail).outcome
        np.testing.assert_array_equal(found.step, twin.step.T)
        np.testing.assert_array_equal(found.called, twin.margin_call.T)
        for name, expected in (
            ("equity", twin.equity_end),
            ("deficit", twin.deficit),
            ("closed", twin.closed_notional.sum(axis=2)),
        ):
            np.testing.assert_allclose(
                getattr(found, name) / scale, expected.T / scale, rtol=0, atol=1e-9, err_msg=name
            )
        np.testing.assert_allclose(
            found.closed_by_asset / scale.sum(),
            twin.closed_notional.sum(axis=1).T / scale.sum(),
            rtol=0,
            atol=1e-9,
        )
        if detail:
            least = np.where(np.isinf(found.least_excess), np.nan, found.least_excess)
            np.testing.assert_allclose(least / scale, twin.least_excess.T / scale, atol=1e-9)


def plain_closes(job: Job, nodes: Floats, pools: list[plain.PlainPool]) -> NDArray[np.int64]:
    """Return (paths, pools) steps of the breaches that closes show."""
    return plain.plain_step(nodes, pools, job.setting.fee, TAU, job.setting.warning).step


def test_closes_are_the_lower_bound(tmp_path: Path) -> None:
    """Nobody is liquidated later than closes say; without bars both say the same."""
    accounts = random_book(SEED, copies=1)
    job = barred(tmp_path, accounts)
    closes = plain_closes(job, marks(job), plain_pools(accounts)).T
    worst = follow(job).outcome.step
    breached = closes >= 0
    assert (worst[breached] >= 0).all()
    assert (worst[breached] <= closes[breached]).all()
    assert (worst[~breached] >= 0).sum() > 5
    model = job.model
    assert isinstance(model, Barred)
    nothing = jnp.zeros_like(model.low)
    flat = replace(job, market=Constant(replace(model, low=nothing, high=nothing)))
    np.testing.assert_array_equal(follow(flat).outcome.step, closes)
