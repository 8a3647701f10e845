"""Chunks of paths as tasks on a Dask cluster: other processes, other machines, the same digits.

A task is the resolved scenario as text and a range of path numbers; what comes back are the
measures of the chunk as arrays. A worker that is lost costs the chunks that it had in hand, which
Dask gives to another. Only text goes to the workers besides the name of a function of this package;
how Dask wraps both on the wire, and how TLS fences it, is Dask's own (``distributed``).
"""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any

from stress.errors import InputError, Interrupted, ending
from stress.measure.kept import Arrays, arrays_of
from stress.runner.compiled import use_compilation_cache
from stress.runner.device import choose_devices, cores, use_all_cores, use_precision
from stress.runner.drive import Driver, driver_over, simulated
from stress.runner.identity import Identity, differences, identity_of
from stress.runner.keeper import chunk_name
from stress.runner.plan import device_count
from stress.runner.prepare import Job, prepare
from stress.runner.progress import Silent
from stress.runner.spread import Spread
from stress.scenario.load import load_scenario
from stress.scenario.resolve import resolved_toml
from stress.scenario.schema import Scenario

__all__ = ["Workers", "chunk_arrays", "open_workers"]

_PATIENCE = 20
"""Seconds until a scheduler that does not answer is given up."""

_LOSSES = 20
"""Workers that a chunk may lose before it is taken to be the chunk's own fault; Dask's own is 3."""


class Workers:
    """Workers that simulate chunks.

    Parameters
    ----------
    client
        A ``distributed.Client``.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def simulate(
        self,
        scenario: Scenario,
        identity: Identity,
        chunks: Sequence[range],
        put: Callable[[str, Arrays], None],
        progress: Silent,
    ) -> None:
        """Have chunks simulated; ``put`` is given each by its name, as they come in.

        Raises
        ------
        InputError
            If a worker would compute something else: another version, another input.
        Interrupted
            If the cluster is lost: what came in before is kept.
        """
        from distributed import CancelledError, KilledWorker, as_completed

        text = resolved_toml(scenario)
        futures = {
            self._client.submit(
                chunk_arrays, text, identity, chunk.start, chunk.stop, retries=3, pure=False
            ): chunk
            for chunk in chunks
        }
        done = scenario.simulation.paths - sum(map(len, chunks))
        progress.skip(done)
        try:
            for future in as_completed(futures):
                put(chunk_name(futures[future]), future.result())
                done += len(futures[future])
                progress.update(done)
        except (CancelledError, KilledWorker, OSError) as error:
            # anything else was raised by the task itself, and is what it is here too
            raise Interrupted(
                f"the cluster failed: {_first_line(error)}; what came in before is kept: go on "
                "with --resume, with or without the cluster"
            ) from None
        finally:
            self._client.cancel(list(futures))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextmanager
def open_workers(address: str | None, local: int | None) -> Iterator[Workers | None]:
    """Return the workers of a cluster, or so many new ones on this machine; None of neither.

    Parameters
    ----------
    address
        Of a scheduler that runs, such as ``tcp://10.0.0.1:8786`` or ``tls://...``.
    local
        How many processes to start here, each with its share of the cores.

    Raises
    ------
    InputError
        If both are asked for, Dask is not installed, or no scheduler answers.
    """
    if address is None and local is None:
        yield None
        return
    if address is not None and local is not None:
        rule = "--cluster and --workers exclude each other"
        raise InputError(rule, remedy="leave one of them out")
    if local is not None and local < 1:
        raise InputError(f"needs one worker or more, got {local}", key="--workers")
    try:
        import distributed
    except ImportError:
        raise InputError(
            "a cluster needs Dask, which is not installed",
            key="--cluster" if address else "--workers",
            remedy='install the extra: pip install "margin-stress[cluster]"',
        ) from None
    with ExitStack() as stack:
        scheduler = address if local is None else stack.enter_context(_local_cluster(local))
        yield Workers(stack.enter_context(_connected(distributed, scheduler)))


@contextmanager
def _connected(distributed: Any, scheduler: Any) -> Iterator[Any]:
    try:
        client = distributed.Client(scheduler, timeout=_PATIENCE)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no scheduler answers: {_first_line(error)}",
            key=f"--cluster {scheduler}",
            remedy="start one with dask-scheduler, or correct the address",
        ) from None
    with client:
        yield client


@contextmanager
def _local_cluster(count: int) -> Iterator[Any]:
    import dask
    from distributed import LocalCluster

    # two devices at least: XLA compiles for one alone otherwise (``runner.plan``)
    devices = max(cores() // count, 2)
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": _LOSSES}),
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            dashboard_address=None,
            memory_limit=None,
            silence_logs=logging.CRITICAL,
            env={"JAX_NUM_CPU_DEVICES": str(devices)},
        ) as cluster,
    ):
        yield cluster


def chunk_arrays(resolved: str, identity: Identity, first: int, stop: int) -> Arrays:
    """Return the measures of the paths from ``first`` to below ``stop``; called on a worker.

    Parameters
    ----------
    resolved
        The scenario as ``resolved_toml`` writes it. Its files must be there under the same paths,
        with the same bytes.
    identity
        Of the run.

    Raises
    ------
    InputError
        If this worker would compute something else.
    """
    job, driver = _ready(resolved, identity["block"], **_device_of(identity))
    changed = differences(identity, identity_of(job.scenario, driver.spread))
    if changed:
        raise InputError(
            f"a worker (process {os.getpid()}) would compute something else: {ending(changed)}",
            remedy="install the same on all machines, and give them the same files",
        )
    ((_, part),) = simulated(job, driver, [range(first, stop)], Silent())
    return arrays_of(part)


def _device_of(identity: Identity) -> dict[str, Any]:
    device = identity["device"]
    return {"kind": device["platform"], "alone": device["alone"], "wide": device["64 bits"]}


@lru_cache(maxsize=1)
def _ready(resolved: str, block: int, *, kind: str, alone: bool, wide: bool) -> tuple[Job, Driver]:
    """Return the job and its compiled kernels, kept for the next chunk.

    Parameters
    ----------
    block
        Paths that a device simulates at a time.
    kind, alone, wide
        The platform, whether one device simulates by itself, and whether JAX knows 64-bit numbers.
    """
    scenario = load_scenario(tomllib.loads(resolved))
    use_all_cores()
    if wide:
        use_precision("float64")
    use_compilation_cache()
    job = prepare(scenario)
    devices = choose_devices(kind)
    count = 1 if alone else device_count(scenario.simulation.paths, block, len(devices))
    return job, driver_over(job, Spread.over(devices[:count], block))
