"""Bridges of steps that differ: stochastic variance, and jumps at the ends of steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import norm

from stress.engine.passage import Outcome, first_passage
from stress.market import Constant
from stress.runner.prepare import Job, prepare
from tests.engine.following import PATHS, follow, gross, marks, plain_pools
from tests.engine.scripted import PERIOD, WIDTH, Scripted, along, scripted
from tests.reference import plain
from tests.strategies import CORRELATION, PRICE, VOLATILITY, Account, random_book, write_book

from .test_twin import one_asset

Floats = NDArray[np.float64]

SEED, TAU = 61, 1e-9
ALTERNATING = np.tile(np.array([0.2, 1.9, 0.6, 1.4, 1.0])[:, None], WIDTH)
"""Alike on all paths."""
APART = ALTERNATING * np.array([0.5, 1.0, 1.3])
BETA = np.array([1.0, 0.8, 0.9, 1.4])


def jumps() -> Floats:
    """Return jumps of all assets together: two in five steps, none on the first of three paths."""
    size = np.zeros((PERIOD, WIDTH))
    size[1, 1:] = -0.04, 0.05
    size[3, 1:] = 0.03, -0.06
    return size[..., None] * BETA


def prepared(folder: Path, accounts: dict[str, Account], **simulation: object) -> Job:
    changes = {"simulation.monitoring": "bridge", "simulation.seed": SEED}
    changes |= {f"simulation.{key}": value for key, value in simulation.items()}
    return prepare(write_book(folder, accounts, changes))


def under(job: Job, model: Scripted) -> Job:
    return replace(job, market=Constant(model))


UP = np.broadcast_to(0.1 * BETA, (PERIOD, WIDTH, len(BETA)))
MODELS = {
    "shared": (ALTERNATING, None, None),
    "jumps": (APART, jumps(), None),
    # every step falls, and jumps back: no node shows what happened
    "sawtooth": (0.3 * APART, UP, -UP[0, 0]),
}


def built(name: str, job: Job) -> Scripted:
    scale, jump, mean = MODELS[name]
    return scripted(job, scale, jump, apart=name != "shared", mean=mean)


def arrivals(job: Job, nodes: Floats) -> Floats:
    """Return the (paths, steps, assets) marks before the jumps."""
    assert isinstance(job.model, Scripted)
    jumped = along(np.asarray(job.model.jump), nodes.shape[1] - 1, PATHS)
    return nodes[:, 1:] * np.exp(-jumped)


@pytest.mark.parametrize(
    "name", [pytest.param("shared", marks=pytest.mark.slow), "jumps", "sawtooth"]
)
def test_weights_equal_twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Of every kind of pool, screened as in a run; what is drawn fits the weights."""
    monkeypatch.setattr(plain, "only_asset", one_asset)
    accounts = random_book(SEED)
    job = prepared(tmp_path, accounts)
    job = under(job, built(name, job))
    nodes, pools = marks(job), plain_pools(accounts)
    weight = plain.plain_bridge(
        nodes,
        pools,
        job.setting.step_years,
        np.array(list(VOLATILITY.values())),
        np.array(CORRELATION),
        TAU,
        scale=along(MODELS[name][0], nodes.shape[1] - 1, PATHS),
        arrivals=arrivals(job, nodes),
    )
    found = follow(job).outcome
    np.testing.assert_allclose(np.exp(found.survival), weight[:, -1].T, rtol=0, atol=1e-9)
    uncertain = (weight[:, -1] > 1e-6) & (weight[:, -1] < 1 - 1e-6)
    assert uncertain.sum() > 10
    assert (found.survival[found.step >= 0] < 0).all()
    assert (found.step[found.survival == -np.inf] >= 0).all()
    assert (found.calm <= found.survival).all()
    assert found.called[found.step >= 0].all()


def test_frequencies(tmp_path: Path) -> None:
    """Given a path's nodes a pool is hit, and called, with probability one minus its weight."""
    job = prepared(tmp_path, random_book(SEED))
    job = under(job, built("jumps", job))
    score, variance = np.zeros((2, 2, len(job.main.pools.cash)))
    for number in range(100):
        found = follow(job, first=number * PATHS).outcome
        drawn = np.stack([found.step >= 0, found.called])
        expected = -np.expm1(np.stack([found.survival, found.calm]))
        score += (drawn - expected).sum(axis=2)
        variance += (expected * (1 - expected)).sum(axis=2)
    assert (np.abs(score[variance < 1e-9]) < 1e-6).all()
    often = variance > 10
    assert often.sum() > 10
    assert np.abs(score[often] / np.sqrt(variance[often])).max() < 4.5


def rungs() -> dict[str, Account]:
    """Return longs of one asset from 5x to 25x."""
    position = {"asset": "TWO", "quantity": 1.0, "entry_price": PRICE["TWO"]}
    return {
        f"long-{number}": Account(float(PRICE["TWO"] / leverage), [position])
        for number, leverage in enumerate(np.geomspace(5.0, 25.0, 6))
    }


def barriers(accounts: dict[str, Account]) -> Floats:
    """Return (accounts,) liquidation prices of the longs."""
    pools = plain_pools(accounts)
    found = [plain.liquidation_marks(pool, 1, len(PRICE), None) for pool in pools]
    return np.array([price for (price,) in found])


CRASH = -0.05
AT = 3
"""Step at whose end the crash falls, of ``STEPS``."""
STEPS = 5


def crash() -> Floats:
    """Return the jump of all assets at the end of one step."""
    jump = np.zeros((PERIOD, WIDTH, len(PRICE)))
    jump[AT - 1] = CRASH
    return jump


TOGETHER = 256
"""Paths of a call."""


def followed(job: Job, call: int) -> Outcome:
    """Return what becomes of the accounts on the paths of a call."""
    (found,), _ = first_passage(
        job.model,
        job.price,
        (job.main.world,),
        job.rules,
        jnp.asarray(SEED, jnp.uint32),
        call * TOGETHER + jnp.arange(TOGETHER, dtype=jnp.uint32),
        schedule=replace(job.schedule, block=3),
    )
    return jax.tree.map(np.asarray, found.of(len(job.main.pools.cash)))


@pytest.mark.parametrize(
    "jumped", [pytest.param(False, marks=pytest.mark.slow), True], ids=["variance", "jump"]
)
def test_truth(tmp_path: Path, jumped: bool) -> None:
    """The continuous first-passage probability, whatever the steps: by closed form or quadrature.

    Log prices without drift: touching a distance d at total variance V has probability 2
    Phi(-d / sqrt(V)). With a crash at a known time the density of the surviving distance before
    it is integrated against what survives afterwards.
    """
    accounts = rungs()
    job = prepared(tmp_path, accounts, horizon="120h", step="24h")
    assert job.schedule.steps == STEPS
    jump = crash() if jumped else None
    job = under(job, scripted(job, ALTERNATING, jump, apart=jumped, mean=np.zeros(len(PRICE))))
    calls = [followed(job, call) for call in range(64)]
    probability = -np.expm1(np.concatenate([of.survival for of in calls], axis=1))
    steps = np.concatenate([of.step for of in calls], axis=1)
    variance = (VOLATILITY["TWO"] * ALTERNATING[:STEPS, 0]) ** 2 * job.setting.step_years
    before, after = np.sqrt(variance[:AT].sum()), np.sqrt(variance[AT:].sum())
    distance = np.log(PRICE["TWO"] / barriers(accounts))
    for k, d in enumerate(distance.tolist()):

        def surviving(x: float, d: float = d) -> float:
            dense = norm.pdf((x - d) / before) / before * -np.expm1(-2 * d * x / before**2)
            return float(dense * (1 - 2 * norm.cdf(-(x + CRASH) / after)))

        if jumped:
            edges = [-CRASH, max(d, -CRASH) + 10 * before]
            truth = 1 - quad(surviving, *edges, epsabs=1e-12, limit=200)[0]
        else:
            truth = 2 * norm.cdf(-d / np.sqrt(variance.sum()))
        assert 1e-3 < truth < 0.999
        sampled = probability[k]
        error = sampled.std(ddof=1) / np.sqrt(sampled.size)
        assert abs(sampled.mean() - truth) < 4.5 * error
        hits = (steps[k] >= 0).mean()
        assert abs(hits - truth) < 4.5 * np.sqrt(truth * (1 - truth) / sampled.size)


def test_a_jump_is_paid_for(tmp_path: Path) -> None:
    """Who is hit by a jump is closed behind it, who is hit on the way at its barrier.

    Of the second there are none where the bridge stays far away.
    """
    accounts = rungs()
    job = prepared(tmp_path, accounts, horizon="120h", step="24h")
    jump = crash() * 6  # a fall of a quarter
    job = under(job, scripted(job, 0.02 * ALTERNATING, jump, apart=True, mean=np.zeros(len(PRICE))))
    found = followed(job, 0)
    found = jax.tree.map(lambda of: of[..., :PATHS], found)
    nodes = marks(job)
    pools = plain_pools(accounts)
    twin = plain.plain_step(nodes, pools, job.setting.fee, TAU, job.setting.warning)
    np.testing.assert_array_equal(found.step, twin.step.T)
    assert (found.step == AT).all()
    scale = gross(pools, nodes[0, 0])
    for name, expected in (
        ("equity", twin.equity_end),
        ("deficit", twin.deficit),
        ("closed", twin.closed_notional.sum(axis=2)),
    ):
        np.testing.assert_allclose(
            getattr(found, name) / scale, expected.T / scale, rtol=0, atol=1e-9, err_msg=name
        )
    # far beyond their barriers: it costs more than they had
    assert (found.deficit[3:] > 0).all()
