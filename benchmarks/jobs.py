"""A reference job made ready, and its marks: what ours and the plain kernels are given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.books import Size, cascade_tables, reference_scenario
from stress.engine.paths import price_paths
from stress.runner.plan import path_block, path_blocks
from stress.runner.prepare import Job, prepare
from stress.types import Integers

__all__ = ["block_marks", "blocks", "ready", "seed_of", "size_of"]


def size_of(size: Mapping[str, Any]) -> Size:
    """Return a size that went through JSON, which knows no tuples."""
    tuples = {"leverage": tuple(size.get("leverage", Size.leverage))}
    kinds = tuple((str(kind), float(share)) for kind, share in size.get("kinds", Size.kinds))
    return Size(**{**size, **tuples, "kinds": kinds})


def ready(
    size: Size, *, cascade: bool = False, changes: Mapping[str, Mapping[str, Any]] | None = None
) -> Job:
    """Return R1 of this size, or R2, prepared; ``changes`` are further tables of the scenario."""
    tables: dict[str, dict[str, Any]] = cascade_tables(size.assets) if cascade else {}
    for name, table in (changes or {}).items():
        tables.setdefault(name, {}).update(table)
    with TemporaryDirectory() as folder:
        return prepare(reference_scenario(Path(folder), size, changes=tables))


def seed_of(job: Job) -> jax.Array:
    """Return the seed as the kernels take it."""
    return jnp.asarray(job.scenario.simulation.seed, jnp.uint32)


def blocks(paths: int) -> Iterator[Integers]:
    """Yield the path numbers of one block after the other."""
    for numbers, _ in path_blocks(paths, path_block(jax.default_backend())):
        yield numbers


def block_marks(job: Job, numbers: Integers) -> jax.Array:
    """Return the marks of a block of paths, (paths, steps + 1, assets) USD, time 0 first."""
    model = job.market.block(numbers)
    return price_paths(model, job.price, seed_of(job), numbers, schedule=job.schedule)
