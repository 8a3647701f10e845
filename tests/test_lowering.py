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
from stress.engine.needs import pool_needs
from stress.engine.passage import first_passage
from stress.engine.paths import price_paths
from stress.engine.ratios import margin_ratios
from stress.engine.reverse import Noise, crossings, design_points, levels_at
from stress.engine.smooth import Aims, smooth_slopes
from stress.engine.weighted import weighted_passage
from stress.market import Constant
from stress.market.environment import Environment
from stress.market.explicit import explicit
from stress.market.rekeyed import Rekeyed
from stress.market.steered import Steered
from stress.runner.analyses.importance import weighted_source
from stress.runner.analyses.importance_design import design
from stress.runner.analyses.reverse_search import field_of
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


def _weighted_arguments(job: Job, seed: jax.Array, paths: jax.Array) -> tuple[Any, ...]:
    plan = design(job)
    model = weighted_source(job, plan).block(np.asarray(paths))
    return (model, job.price, job.main.world, plan.kernel_accounts, plan.mixture, seed, paths)


@pytest.mark.parametrize("model", ["gbm", "student-t", "jump-diffusion"])
def test_weighted_paths_lower_for_cuda(tmp_path: Path, model: str) -> None:
    """Under bridges, of accounts with several pools."""
    changes = {
        "market.model": model,
        "simulation.precision": "float32",
        "simulation.monitoring": "bridge",
    }
    job = prepare(write_book(tmp_path, random_book(121, ("mixed",), copies=1), changes))
    lowers(Kernel(weighted_passage, _weighted_arguments, lambda job: job.schedule), job, "float32")


@pytest.mark.parametrize("model", ["student-t", "jump-diffusion"])
def test_given_noise_lowers_for_cuda(tmp_path: Path, model: str) -> None:
    """Normals, what else a model draws, and keys from outside."""
    changes = {"market.model": model, "simulation.precision": "float32"}
    job = prepare(write_book(tmp_path, random_book(121, ("mixed",), copies=1), changes))
    paths = path_block("gpu")
    own, rows = explicit(job.model)
    normals = jnp.zeros((2, own.assets + rows, paths), jnp.float32)
    draws = jnp.zeros((2, paths), jnp.uint32)
    given = Rekeyed(Steered(own, normals), jnp.asarray(0, jnp.uint32), draws)
    lowers(KERNELS["price_paths"], replace(job, market=Constant(given)), "float32")


def _smooth_arguments(job: Job, seed: jax.Array, paths: jax.Array) -> tuple[Any, ...]:
    pools = len(job.main.pools.cash)
    tail = jnp.zeros((1, pools), job.price.dtype)
    owner = jnp.asarray(job.main.pools.account, jnp.int32)
    along = jax.tree.map(lambda leaf: leaf[None], job.model)
    world, aims = job.main.world, Aims(tail, tail, tail[0])
    return (job.model, job.price, world, job.rules, aims, owner, seed, paths, along, along)


def test_slopes_lower_for_cuda(tmp_path: Path) -> None:
    """Backward and forward, of accounts with several pools."""
    changes = {"simulation.precision": "float32", "simulation.monitoring": "bridge"}
    job = prepare(write_book(tmp_path, random_book(121, ("mixed",), copies=1), changes))
    lowers(Kernel(smooth_slopes, _smooth_arguments, lambda job: job.schedule), job, "float32")


NEEDS = Kernel(
    pool_needs,
    lambda job, seed, paths: (
        job.model,
        job.price,
        tuple(world.world for world in job.worlds.values()),
        seed,
        paths,
    ),
    lambda job: job.schedule,
)


@pytest.mark.parametrize("monitoring", ["step", "bridge"])
def test_needs_lower_for_cuda(tmp_path: Path, monitoring: Monitoring) -> None:
    """What limit curves are drawn from."""
    changes = {"simulation.precision": "float32", "simulation.monitoring": monitoring}
    kinds = ("cross_single", "cross_coins")
    lowers(NEEDS, prepare(write_book(tmp_path, random_book(121, kinds), changes)), "float32")


def _sought(job: Job, seed: jax.Array, paths: jax.Array) -> tuple[Any, ...]:
    """Return noise, accounts, and a column a path: what both searches of reverse stress take."""
    field = field_of(job, np.ones(len(job.book.accounts), bool))
    assets, dtype = len(job.setting.assets), job.price.dtype
    none, nothing = jnp.zeros(assets, dtype), jnp.zeros((), dtype)
    noise = Noise(none, jnp.eye(assets, dtype=dtype), none, nothing, nothing, nothing)
    return (noise, field, jnp.ones((assets + 1, len(paths)), dtype))


def _iterated(noise: Noise, field: Any, start: jax.Array, *, schedule: Any) -> jax.Array:
    weight = jnp.ones((2, start.shape[1]), start.dtype)
    return design_points(noise, field, weight, weight[0], start, weight[0, :3])


def _along_rays(noise: Noise, field: Any, ray: jax.Array, *, schedule: Any) -> jax.Array:
    return crossings(noise, field, ray, jnp.ones((4, ray.shape[1]), ray.dtype), accounts=2)


REVERSE = {
    "design_points": Kernel(_iterated, _sought, lambda job: job.schedule),
    "crossings": Kernel(_along_rays, _sought, lambda job: job.schedule),
    "levels_at": Kernel(
        levels_at,
        lambda job, seed, paths: (job.model, seed, paths),
        lambda job: job.fan_schedule,
    ),
}


@pytest.mark.parametrize("name", REVERSE)
def test_reverse_stress_lowers_for_cuda(tmp_path: Path, name: str) -> None:
    changes = {"simulation.precision": "float32"}
    job = prepare(write_book(tmp_path, random_book(121, ("cross_coins", "mixed")), changes))
    lowers(REVERSE[name], job, "float32")


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
