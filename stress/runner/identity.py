"""What the digits of a run depend on, in words that can be compared."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

import stress
from stress.runner.spread import Spread
from stress.scenario.registered import registered_model
from stress.scenario.resolve import input_hashes
from stress.scenario.schema import Scenario

__all__ = ["Identity", "differences", "identity_of"]

Identity = Mapping[str, Any]
"""What the digits of a run depend on, but for the number of paths; JSON."""

_LIBRARIES = ("jax", "jaxlib", "numpy", "scipy")


def identity_of(scenario: Scenario, spread: Spread) -> Identity:
    """Return what the measures of a chunk depend on: JSON, without the number of paths.

    That is the scenario with its inputs, this package and the libraries that round, the kind of
    device, and how many paths a device takes at a time. How many devices there are is left out: two
    or more of one kind give the same digits.
    """
    content = scenario.model_dump(mode="json", exclude_none=True)
    content["simulation"].pop("paths")
    # of a resolved scenario: they are compared below
    content.pop("inputs", None)
    device = spread.mesh.devices.flat[0]
    return {
        "scenario": content,
        "inputs": input_hashes(scenario),
        "margin-stress": {"version": stress.__version__, "source": _source()},
        "libraries": {name: version(name) for name in _LIBRARIES} | _model_by(scenario),
        "device": {
            "platform": device.platform,
            "kind": device.device_kind,
            "machine": platform.machine(),
            "alone": spread.devices == 1,
            "64 bits": bool(jax.config.read("jax_enable_x64")),
        },
        "block": spread.block,
    }


def _model_by(scenario: Scenario) -> dict[str, str]:
    """Return the distribution that registers the price model, and its version; none of ours."""
    point = registered_model(scenario.market.model)
    if point is None or point.dist is None:
        return {}
    return {point.dist.name: point.dist.version}


@cache
def _source() -> str:
    """Return a hash of the package's own files: a version may be worked on."""
    root = Path(stress.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def differences(before: Any, now: Any, key: str = "") -> list[str]:
    """Return what differs between two JSON values, a phrase each, with dotted keys."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            phrase
            for name in dict.fromkeys([*before, *now])
            for phrase in differences(
                before.get(name), now.get(name), f"{key}.{name}" if key else name
            )
        ]
    if before == now:
        return []
    return [f"{key} was {_short(before)}, is {_short(now)}"]


def _short(value: Any) -> str:
    """Return a value on one line, not too long."""
    if value is None:
        return "absent"
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
