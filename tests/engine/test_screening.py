"""The bound that leaves a pool alone: never above the truth, and without a trace in the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

# the bound has no other face: what it decides shows in the results only when it is wrong
from stress.engine.panels import Margins, Panel, margins
from stress.engine.passage import _slack, _worst
from stress.runner.prepare import Job, prepare
from stress.types import TOLERANCE, Precision
from tests.engine.following import Followed, follow
from tests.strategies import KINDS, NARROW, books, random_book, seeds, write_book

SEEDS = (21, 22, 23)
NODES = 9


def prepared(folder: Path, accounts: Any, **simulation: Any) -> Job:
    changes = {f"simulation.{key}": value for key, value in simulation.items()}
    return prepare(write_book(folder, accounts, changes))


@jax.jit
def everywhere(panel: Panel, marks: jax.Array) -> Margins:
    """Return margins at every node, (pools, paths, nodes)."""
    flat = marks.reshape(marks.shape[0], -1)
    found = margins(panel, lambda asset, quantity: flat[asset])
    return jax.tree.map(lambda leaf: leaf.reshape(panel.pools, *marks.shape[1:]), found)


@jax.jit
def lower_bound(panel: Panel, marks: jax.Array, tolerance: float) -> tuple[Margins, jax.Array]:
    worst = _worst(panel, marks)
    return worst, _slack(panel, worst, tolerance)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_bound(tmp_path_factory: pytest.TempPathFactory, precision: Precision) -> None:
    """At no node of a block is an excess below its bound by more than the slack."""

    @settings(max_examples=25, deadline=None)
    @given(
        accounts=books(tuple(KINDS)),
        seed=seeds,
        deviation=st.sampled_from([0.0, 1e-4, 0.01, 0.1, 1.0]),
    )
    def check(accounts: Any, seed: int, deviation: float) -> None:
        job = prepared(tmp_path_factory.mktemp("book"), accounts, precision=precision)
        noise = np.random.default_rng(seed).normal(size=(len(job.setting.assets), 4, NODES))
        walk = job.setting.price[:, None, None] * np.exp(deviation * noise.cumsum(axis=2))
        marks = jnp.asarray(walk, jnp.dtype(precision))
        warning = job.rules.warning
        for panel in job.main.world.panels:
            there = everywhere(panel, marks)
            worst, slack = lower_bound(panel, marks, TOLERANCE[precision])
            assert (slack >= 0).all()
            lowest = (there.equity - there.required).min(axis=2)
            assert (worst.equity - worst.required <= lowest + slack).all()
            lowest = (warning * there.equity - there.required).min(axis=2)
            assert (warning * worst.equity - worst.required <= lowest + slack).all()

    check()


def test_bound_is_the_excess_of_a_market_that_stands_still(tmp_path: Path) -> None:
    """A block without movement is bounded by itself: the bound is no lower than it must be."""
    job = prepared(tmp_path, random_book(20, tuple(KINDS)))
    marks = jnp.broadcast_to(job.price[:, None, None], (len(job.setting.assets), 4, NODES))
    for panel in job.main.world.panels:
        there = everywhere(panel, marks)
        worst, _ = lower_bound(panel, marks, TOLERANCE["float64"])
        np.testing.assert_allclose(worst.equity, there.equity[..., 0], rtol=1e-12, atol=1e-6)
        np.testing.assert_allclose(worst.required, there.required[..., 0], rtol=1e-12)


def on_and_off(job: Job) -> tuple[Followed, Followed]:
    return follow(job, detail=False), follow(job, detail=True)


@pytest.mark.parametrize(
    ("kinds", "precision"),
    [(NARROW, "float32"), (NARROW, "float64"), (("wide",), "float32")],
    ids=["float32", "float64", "wide-float32"],
)
def test_step_is_the_same_with_and_without(
    tmp_path: Path, kinds: tuple[str, ...], precision: Precision
) -> None:
    quiet = 0
    for seed in SEEDS:
        job = prepared(tmp_path, random_book(seed, kinds), precision=precision, seed=seed)
        (screened, end), (whole, end_again) = on_and_off(job)
        np.testing.assert_array_equal(end, end_again)
        for name in ("step", "called", "equity", "deficit", "closed", "closed_by_asset"):
            np.testing.assert_array_equal(getattr(screened, name), getattr(whole, name), name)
        quiet += (~whole.called & (whole.closed == 0)).sum()
    # some pools never come near a breach, so there is something to screen
    assert quiet > 0


@pytest.mark.parametrize("precision", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
def test_bridge_is_the_same_with_and_without(tmp_path: Path, precision: Precision) -> None:
    """What is drawn is the same; a weight may lack crossings less likely than rounding."""
    rounding = 1e-13 if precision == "float64" else 1e-6
    for seed in SEEDS:
        accounts = random_book(seed)
        job = prepared(tmp_path, accounts, precision=precision, seed=seed, monitoring="bridge")
        (screened, _), (whole, _) = on_and_off(job)
        for name in ("step", "called", "equity", "deficit", "closed", "closed_by_asset"):
            np.testing.assert_array_equal(getattr(screened, name), getattr(whole, name), name)
        for name in ("survival", "calm"):
            weights = (np.exp(getattr(found, name)) for found in (screened, whole))
            np.testing.assert_allclose(*weights, rtol=0, atol=rounding, err_msg=name)
