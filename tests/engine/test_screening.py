"""The bound that leaves a pool alone: never above the truth, and without a trace in the results."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stress.engine.lines import corners, draw_lines
from stress.engine.panels import Margins, Panel, margins
from stress.margin import maintenance
from stress.runner.prepare import Job, prepare
from stress.types import TOLERANCE, Precision
from tests.engine.following import Followed, follow
from tests.strategies import KINDS, NARROW, books, random_book, seeds, write_book

SEEDS = (21, 22, 23)
NODES = 9
PATHS = 4
FILLER = 200
"""Assets that nobody holds: with them a pool has few slots and many corners."""


def prepared(folder: Path, accounts: Any, **simulation: Any) -> Job:
    changes = {f"simulation.{key}": value for key, value in simulation.items()}
    return prepare(write_book(folder, accounts, changes))


@jax.jit
def everywhere(panel: Panel, marks: jax.Array) -> Margins:
    """Return margins at every node, (pools, paths, nodes)."""
    flat = marks.reshape(marks.shape[0], -1)
    found = margins(panel, lambda asset, quantity: flat[asset])
    return jax.tree.map(lambda leaf: leaf.reshape(panel.pools, *marks.shape[1:]), found)


@partial(jax.jit, static_argnames=("tolerance", "filler"))
def bounds(
    panel: Panel,
    price: jax.Array,
    marks: jax.Array,
    warning: jax.Array,
    tolerance: float,
    filler: int = 0,
) -> tuple[jax.Array, jax.Array]:
    """Return the call's bound of all pools, and both bounds of all pairs, (2, pools, paths)."""
    price, marks = (
        jnp.concatenate([of, jnp.ones((filler, *of.shape[1:]), of.dtype)]) for of in (price, marks)
    )
    lines = draw_lines(panel, price, warning, tolerance=tolerance, bridged=False)
    box = corners(marks.min(axis=2), marks.max(axis=2), price[:, None], None)
    pairs = jnp.repeat(jnp.arange(panel.pools), PATHS)
    paths = jnp.tile(jnp.arange(PATHS), panel.pools)
    both = lines.take(pairs).of_pairs(box[..., None], paths)[..., 0]
    return lines.of_call(box), both.reshape(2, panel.pools, PATHS)


@pytest.mark.parametrize("filler", [0, FILLER], ids=["dense", "sparse"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_bound(tmp_path_factory: pytest.TempPathFactory, precision: Precision, filler: int) -> None:
    """At no node of a box is an excess below its bound, also beyond the bound's ceiling."""

    @settings(max_examples=15, deadline=None)
    @given(
        accounts=books(tuple(KINDS)),
        seed=seeds,
        deviation=st.sampled_from([0.0, 1e-4, 0.01, 0.1, 1.0]),
    )
    def check(accounts: Any, seed: int, deviation: float) -> None:
        job = prepared(tmp_path_factory.mktemp("book"), accounts, precision=precision)
        noise = np.random.default_rng(seed).normal(size=(len(job.setting.assets), PATHS, NODES))
        walk = job.setting.price[:, None, None] * np.exp(deviation * noise.cumsum(axis=2))
        marks = jnp.asarray(walk, jnp.dtype(precision))
        warning, tolerance = job.rules.warning, TOLERANCE[precision]
        for panel in job.main.world.panels:
            there = everywhere(panel, marks)
            call, both = bounds(panel, job.price, marks, warning, tolerance, filler)
            held = np.asarray((panel.quantity != 0).any(axis=0))
            breach = (there.equity - there.required).min(axis=2)
            called = (warning * there.equity - there.required).min(axis=2)
            assert (np.asarray(both[0] <= breach) | ~held[:, None]).all()
            for bound in (both[1], call):
                assert (np.asarray(bound <= called) | ~held[:, None]).all()
                # who holds nothing is never in doubt
                assert (np.asarray(bound)[~held] > 0).all()

    check()


def test_bound_is_tight_in_a_market_that_stands_still(tmp_path: Path) -> None:
    """There it is the excess, but for the average rate at its ceiling of four times the mark."""
    job = prepared(tmp_path, random_book(20, tuple(KINDS)))
    marks = jnp.broadcast_to(job.price[:, None, None], (len(job.setting.assets), PATHS, NODES))
    for panel in job.main.world.panels:
        there = everywhere(panel, marks)
        _, both = bounds(panel, job.price, marks, job.rules.warning, 0.0)
        most = 4 * np.abs(panel.quantity) * np.asarray(job.price)[np.asarray(panel.asset)]
        required = np.asarray(maintenance(most, panel.rate, panel.amount)).sum(axis=0) / 4
        excess = np.asarray(there.equity[..., 0]) - required[:, None]
        held = np.asarray((panel.quantity != 0).any(axis=0))
        np.testing.assert_allclose(both[0][held], excess[held], rtol=1e-9, atol=1e-6)


def on_and_off(job: Job) -> tuple[Followed, Followed]:
    return follow(job, detail=False), follow(job, detail=True)


@pytest.mark.parametrize(
    ("kinds", "precision"),
    [
        (NARROW, "float32"),
        pytest.param(NARROW, "float64", marks=pytest.mark.slow),
        pytest.param(("wide",), "float32", marks=pytest.mark.slow),
    ],
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


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float64"])
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
