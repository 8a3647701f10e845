"""Devices and precision: asked for by name, refused when absent; ``margin-stress info``."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
from typing import Any

import jax

from stress import __version__
from stress.errors import InputError
from stress.types import Precision

__all__ = [
    "choose_devices",
    "cores",
    "device_memory",
    "info_command",
    "require_precision",
    "use_all_cores",
    "use_precision",
]

_LIBRARIES = ("jax", "jaxlib", "numpy", "scipy", "xarray", "h5netcdf", "plotly", "pydantic")


def choose_devices(kind: str | None) -> tuple[jax.Device, ...]:
    """Return all devices of this process of a kind, or of JAX's own choice.

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
        return tuple(jax.local_devices())
    try:
        return tuple(jax.local_devices(backend=kind))
    except RuntimeError:
        raise InputError(
            f"no {kind} found, JAX sees {', '.join(str(device) for device in jax.devices())}",
            key="--device",
            remedy="leave --device out, or install a JAX built for the device",
        ) from None


def use_all_cores() -> None:
    """Make a device of every core that the process may use; for commands, never for library code.

    XLA runs what it is given on one CPU device one after the other and leaves most of the other
    cores idle. One core is two devices, because XLA compiles for one device otherwise than for
    several: so results do not depend on the number of cores. Does nothing once JAX has started, and
    where the user has chosen a number.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "host_platform_device_count" in flags or "JAX_NUM_CPU_DEVICES" in os.environ:
        return
    with contextlib.suppress(RuntimeError):
        # refused once JAX has started
        jax.config.update("jax_num_cpu_devices", max(cores(), 2))


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device_memory(device: jax.Device) -> int:
    """Return how many bytes a device may use: its own, or those of the machine."""
    own = (device.memory_stats() or {}).get("bytes_limit")
    return int(own) if own else _machine_memory()


def _machine_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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
    use_all_cores()
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
        "memory_bytes": _machine_memory(),
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
