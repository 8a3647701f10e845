"""Every kernel lowers for a CUDA GPU on a machine without one, and calls nothing on the host.

``jax.export`` runs the compiler's front half for another platform: it proves that a kernel can run
there, not how fast. A new kernel registers in ``KERNELS``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from stress.engine.passage import first_passage
from stress.engine.paths import price_paths
from stress.engine.ratios import margin_ratios
from stress.runner.prepare import Job, prepare
from stress.scenario.load import load_scenario

PATHS = 64
Kernel = tuple[Callable[..., Any], tuple[Any, ...]]


def _prices(job: Job, seed: jax.Array, paths: jax.Array) -> Kernel:
    return price_paths, (job.model, job.price, seed, paths)


def _passage(job: Job, seed: jax.Array, paths: jax.Array) -> Kernel:
    worlds = tuple(world.world for world in job.worlds.values())
    return first_passage, (job.model, job.price, worlds, job.rules, seed, paths)


def _ratios(job: Job, seed: jax.Array, paths: jax.Array) -> Kernel:
    return margin_ratios, (job.model, job.price, job.main.world, seed, paths)


KERNELS = {"price_paths": _prices, "first_passage": _passage, "margin_ratios": _ratios}


def _job(folder: Path, monitoring: str, precision: str, *, detail: bool) -> Job:
    (folder / "accounts.csv").write_text("account,cash\na,5000\nb,900\n", encoding="utf-8")
    (folder / "positions.csv").write_text(
        "account,asset,quantity,entry_price,margin\n"
        "a,BTC,0.5,60000,\na,ETH,-10,2500,\nb,ETH,3,2500,700\n",
        encoding="utf-8",
    )
    (folder / "coins.csv").write_text("account,asset,quantity\na,BTC,0.01\n", encoding="utf-8")
    scenario = {
        "name": "lowering",
        "simulation": {
            "paths": PATHS,
            "horizon": "1d",
            "step": "1h",
            "monitoring": monitoring,
            "precision": precision,
            "detail": detail,
        },
        "market": {
            "assets": ["BTC", "ETH"],
            "price": {"BTC": 60_000.0, "ETH": 2_500.0},
            "volatility": {"BTC": 0.6, "ETH": 0.8},
            "correlation": [[1.0, 0.8], [0.8, 1.0]],
        },
        "book": {
            "accounts": "accounts.csv",
            "positions": "positions.csv",
            "collateral": "coins.csv",
            "compare": ["cross", "isolated"],
        },
        "venue": {"tiers": {"default": [{"floor": 0, "rate": 0.01}]}},
    }
    return prepare(load_scenario(scenario, base=folder))


@pytest.mark.parametrize("detail", [False, True], ids=["screened", "detail"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("monitoring", ["step", "bridge"])
@pytest.mark.parametrize("name", KERNELS)
def test_kernel_lowers_for_cuda(
    name: str, monitoring: str, precision: str, detail: bool, tmp_path: Path
) -> None:
    job = _job(tmp_path, monitoring, precision, detail=detail)
    paths = np.arange(PATHS, dtype=np.uint32)
    kernel, arguments = KERNELS[name](job, jnp.uint32(1), jnp.asarray(paths))
    lowered = export.export(
        jax.jit(lambda *args: kernel(*args, schedule=job.schedule)), platforms=["cuda"]
    )(*arguments)
    assert lowered.platforms == ("cuda",)
    assert "callback" not in lowered.mlir_module()


def test_a_host_callback_would_be_found() -> None:
    """The check above must be able to fail."""

    def calls_the_host(x: jax.Array) -> jax.Array:
        return jax.pure_callback(lambda value: value, jax.ShapeDtypeStruct((), x.dtype), x)

    lowered = jax.jit(calls_the_host).lower(jnp.float32(1.0)).as_text()
    assert "callback" in lowered
    with pytest.raises(ValueError, match="lowering platform cuda"):
        export.export(jax.jit(calls_the_host), platforms=["cuda"])(jnp.float32(1.0))
