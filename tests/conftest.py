"""JAX at its strictest for every test, and 64-bit numbers where a test asks for them."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

# before JAX starts: eight host devices, so that nothing quietly depends on there being one
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# each of several workers has a core of its own: threads of one would only wait for another's
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("NPROC", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# a kernel is compiled once for all test modules, workers and commands that run it; the variables
# reach the processes that tests start
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "compiled")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_debug_key_reuse", True)

_MOST_MAPPINGS = 20_000
"""Of the 65,530 memory mappings that Linux allows a process: each compiled kernel keeps some."""


@pytest.fixture(scope="module", autouse=True)
def few_kernels_in_memory() -> Iterator[None]:
    """Forget compiled kernels between modules before XLA runs out of memory mappings and aborts."""
    yield
    mappings = Path("/proc/self/maps")
    if mappings.exists() and len(mappings.read_bytes().splitlines()) > _MOST_MAPPINGS:
        jax.clear_caches()
        gc.collect()
