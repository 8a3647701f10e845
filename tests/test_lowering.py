"""Every kernel lowers for CUDA, on a machine without a GPU, and calls nothing on the host.

A later kernel adds a row to ``KERNELS``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from stress.engine.cascade import cascade
from stress.engine.passage import first_passage
from stress.engine.paths import price_paths
from stress.engine.ratios import margin_ratios
from stress.market import Constant
from stress.market.environment import Environment
from stress.runner.plan import path_block
from stress.runner.prepare import Job, prepare
from stress.runner.spread import mesh_of, spread_out
from stress.types import Monitoring, Precision
from tests.cascade_books import Case, write_case
from tests.engine.scripted import PERIOD, WIDTH, Barred, scripted
from tests.strategies import random_book, write_book


class Kernel(NamedTuple):
    """A jitted function with its arguments for a job and some path numbers."""

    function: Any
    arguments: Callable[[Job, jax.Array, jax.Array], tuple[Any, ...]]
    schedule: Callable[[Job], Any]


KERNELS = {
    "price_paths": Kernel(
        price_paths,
        lambda job, seed, paths: (job.model, job.price, seed, paths),
        lambda job: job.schedule,
    ),
    "first_passage": Kernel(
        first_passage,
        lambda job, seed, paths: (
            job.model,
            job.price,
            tuple(world.world for world in job.worlds.values()),
            job.rules,
            seed,
            paths,
        ),
        lambda job: job.schedule,
    ),
    "margin_ratios": Kernel(
        margin_ratios,
        lambda job, seed, paths: (job.model, job.price, job.main.world, seed, paths),
        lambda job: job.fan_schedule,
    ),
}
"""Name -> kernel. Register the next one here: what it is called with, how it is specialised."""


def _cascade_arguments(job: Job, seed: jax.Array, paths: jax.Array) -> tuple[Any, ...]:
    held = job.main.cascade
    assert held is not None
    watched = jnp.asarray(0, jnp.int32)
    arguments = (job.model, job.price, held.holdings, held.rules, seed, paths, watched)
    return (*arguments, job.environment)


CASCADE = Kernel(cascade, _cascade_arguments, lambda job: job.schedule)
"""Of scenarios that first passage cannot answer."""

KINDS = ("cross_single", "cross_hedged", "cross_coins", "mixed", "idle")

HOST = re.compile(r"callback|outfeed|infeed|host_compute|xla_python|cpu", re.IGNORECASE)
"""What a call to the host, or a kernel of the CPU only, would leave in the text."""


@pytest.mark.parametrize("detail", [False, True], ids=["screened", "detail"])
@pytest.mark.parametrize("monitoring", ["step", "bridge"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", KERNELS)
def test_lowers_for_cuda(
    tmp_path: Path, name: str, precision: Precision, monitoring: Monitoring, detail: bool
) -> None:
    changes = {
        "simulation.precision": precision,
        "simulation.monitoring": monitoring,
        "simulation.detail": detail,
        "book.compare": ["cross", "isolated"],
    }
    job = prepare(write_book(tmp_path, random_book(121, KINDS, copies=1), changes))
    lowers(KERNELS[name], job, precision)


CASCADES = {
    "default": (Case(), False),
    "shards": (
        Case(
            order="largest-margin",
            amount="step",
            elasticity=0.6,
            backstop="auto-deleverage",
            decision=("sharded", 2, 3),
            controls="both",
            trigger="margin-level",
            funding=4,
        ),
        True,
    ),
}
"""Rules, and whether every pool is judged."""


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", CASCADES)
def test_cascade_lowers_for_cuda(tmp_path: Path, name: str, precision: Precision) -> None:
    """With all that is compared on the same paths."""
    case, detail = CASCADES[name]
    changes = {"precision": precision, "detail": detail}
    job = prepare(write_case(tmp_path, 3, case, simulation=changes, model="gbm").scenario)
    lowers(CASCADE, job, precision)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("monitoring", ["bridge", "extremes"])
def test_steps_that_differ_lower_for_cuda(
    tmp_path: Path, monitoring: Monitoring, precision: Precision
) -> None:
    """Bridges under another covariance in each step, with jumps; bars."""
    changes = {"simulation.precision": precision, "simulation.monitoring": monitoring}
    job = prepare(write_book(tmp_path, random_book(121, KINDS, copies=1), changes))
    nothing = np.zeros((PERIOD, WIDTH, len(job.setting.assets)))
    model = scripted(job, np.ones((PERIOD, WIDTH)), nothing, apart=True)
    if monitoring == "extremes":
        bar = jnp.asarray(nothing, precision)
        job = replace(job, market=Constant(Barred(model, bar, bar)))
    else:
        job = replace(job, market=Constant(model))
    lowers(KERNELS["first_passage"], job, precision)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_stressed_cascade_lowers_for_cuda(tmp_path: Path, precision: Precision) -> None:
    """With halts and another depth in each step."""
    changes = {"precision": precision}
    case, _ = CASCADES["default"]
    job = prepare(write_case(tmp_path, 3, case, simulation=changes, model="gbm").scenario)
    nodes = job.schedule.steps + 1
    depth = jnp.ones((nodes, len(job.setting.assets)), precision)
    stressed = Environment(depth, jnp.zeros((nodes,), bool))
    lowers(CASCADE, replace(job, environment=stressed), precision)


def _passage_job(folder: Path) -> Job:
    changes = {"simulation.precision": "float32", "book.compare": ["cross", "isolated"]}
    return prepare(write_book(folder, random_book(121, KINDS, copies=1), changes))


def _cascade_job(folder: Path) -> Job:
    changes = {"precision": "float32"}
    return prepare(write_case(folder, 3, Case(), simulation=changes, model="gbm").scenario)


SPREAD = {
    "first_passage": (KERNELS["first_passage"], _passage_job),
    "margin_ratios": (KERNELS["margin_ratios"], _passage_job),
    "cascade": (CASCADE, _cascade_job),
}
"""Kernels that run over several devices, and their jobs."""


@pytest.mark.parametrize("name", SPREAD)
def test_lowers_over_several_gpus(tmp_path: Path, name: str) -> None:
    """Over a mesh of paths, as a run asks for it: one program for all devices, and no others."""
    kernel, prepared = SPREAD[name]
    job = prepared(tmp_path)
    devices, block = len(jax.devices()), 32
    assert devices == 8
    paths = jnp.asarray(np.arange(devices * block), jnp.uint32)
    model, *arguments = kernel.arguments(job, jnp.asarray(1, jnp.uint32), paths)
    at = next(place for place, each in enumerate(arguments) if each is paths)
    own = tuple(jnp.full((devices,), each) for each in arguments[at + 1 : at + 2])
    spread = spread_out(kernel.function, mesh_of(jax.devices()), True, kernel.schedule(job))
    lowered = export.export(spread, platforms=["cuda"])(
        model, tuple(arguments[:at]), paths, own, tuple(arguments[at + 2 :])
    )
    assert lowered.platforms == ("cuda",)
    assert lowered.nr_devices == devices
    text = lowered.mlir_module()
    assert HOST.search(text) is None
    assert "manual_computation" in text
    # a device sees its own paths, and nothing is sent from one to another
    assert re.search(rf"tensor<(\d+x)*{block}x", text)
    assert not re.search(r"all_reduce|all_gather|all_to_all|collective_permute", text)


def lowers(kernel: Kernel, job: Job, precision: Precision) -> None:
    """Check that a kernel lowers, that it calls nothing on the host and stays in its precision."""
    seed = jnp.asarray(1, jnp.uint32)
    paths = jnp.asarray(np.arange(path_block("gpu")), jnp.uint32)
    exported = export.export(
        jax.jit(kernel.function, static_argnames=("schedule",)), platforms=["cuda"]
    )(*kernel.arguments(job, seed, paths), schedule=kernel.schedule(job))
    assert exported.platforms == ("cuda",)
    text = exported.mlir_module()
    assert len(text) > 1_000
    assert HOST.search(text) is None
    if precision == "float32":
        # a Python number is a 64-bit scalar under x64; an array over paths would be a slip
        assert re.search(rf"tensor<(\d+x)*{len(paths)}x(\d+x)*f64>", text) is None


def test_a_host_callback_would_be_seen() -> None:
    """The check above looks for the right thing."""

    def spoiled(numbers: jax.Array) -> jax.Array:
        jax.debug.print("{}", numbers.sum())
        return numbers

    text = jax.jit(spoiled).lower(jnp.ones(3)).as_text()
    assert HOST.search(text)
