"""Devices and precision: asked for by name, refused when absent; ``margin-stress info``."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from typing import Any

import jax

from stress import __version__
from stress.errors import InputError
from stress.types import Precision

__all__ = ["choose_device", "info_command", "require_precision", "use_precision"]

_LIBRARIES = ("jax", "jaxlib", "numpy", "scipy", "xarray", "h5netcdf", "plotly", "pydantic")


def choose_device(kind: str | None) -> jax.Device:
    """Return the first device of a kind, or JAX's own choice.

    Parameters
    ----------
    kind
        ``"cpu"``, ``"gpu"`` or None.

    Raises
    ------
    InputError
        If there is no such device.
    """
    if kind is None:
        return jax.devices()[0]
    try:
        return jax.devices(kind)[0]
    except RuntimeError:
        raise InputError(
            f"no {kind} found, JAX sees {', '.join(str(device) for device in jax.devices())}",
            key="--device",
            remedy="leave --device out, or install a JAX built for the device",
        ) from None


def use_precision(precision: Precision) -> None:
    """Switch JAX to 64-bit numbers where asked for; for commands, never for library code."""
    if precision == "float64":
        jax.config.update("jax_enable_x64", True)


def require_precision(precision: Precision) -> None:
    """Refuse float64 where JAX computes in 32 bits.

    Raises
    ------
    InputError
        If ``jax_enable_x64`` is off: it is global, so a library function must not set it.
    """
    if precision == "float64" and not jax.config.read("jax_enable_x64"):
        raise InputError(
            'precision "float64" needs 64-bit numbers in JAX, which are off',
            key="simulation.precision",
            remedy='call jax.config.update("jax_enable_x64", True) first, or use "float32"',
        )


def info_command(*, as_json: bool) -> int:
    """Print versions, devices and memory; return the exit code."""
    facts = _facts()
    if as_json:
        print(json.dumps(facts, indent=2))
        return 0
    print(f"margin-stress {facts['version']} on Python {facts['python']}, {facts['system']}")
    print("  " + ", ".join(f"{name} {version}" for name, version in facts["libraries"].items()))
    print(f"  memory {facts['memory_bytes'] / 2**30:.1f} GiB")
    for device in facts["devices"]:
        memory = device["memory_bytes"]
        size = f", {memory / 2**30:.1f} GiB" if memory else ""
        print(f"  {device['platform']} {device['id']}: {device['kind']}{size}")
    print("  precision: float32, or float64 where a scenario asks for it")
    return 0


def _facts() -> dict[str, Any]:
    return {
        "version": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "devices": [
            {
                "platform": device.platform,
                "id": device.id,
                "kind": device.device_kind,
                "memory_bytes": (device.memory_stats() or {}).get("bytes_limit"),
            }
            for device in jax.devices()
        ],
    }
