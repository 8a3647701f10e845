"""Names of choices, array aliases and tolerances. Imports nothing of the project but ``errors``."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Amount",
    "Array",
    "DecisionKind",
    "Deleveraging",
    "MODES",
    "TOLERANCE",
    "Floats",
    "ImpactKind",
    "Integers",
    "Mode",
    "Monitoring",
    "Order",
    "Precision",
    "World",
]

Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.floating[Any]]
Integers: TypeAlias = NDArray[np.integer[Any]]

Mode: TypeAlias = Literal["as-booked", "cross", "isolated"]
World: TypeAlias = Mode
Monitoring: TypeAlias = Literal["step", "bridge"]
Precision: TypeAlias = Literal["float32", "float64"]

Order: TypeAlias = Literal["largest-loss", "largest-margin", "largest-notional", "pro-rata"]
Amount: TypeAlias = Literal["restore", "step", "tier", "position", "all"]
ImpactKind: TypeAlias = Literal["none", "linear", "square-root"]
Deleveraging: TypeAlias = Literal["none", "socialised", "auto-deleverage"]
DecisionKind: TypeAlias = Literal["leader", "sharded"]

MODES: tuple[Mode, ...] = ("as-booked", "cross", "isolated")

TOLERANCE: dict[str, float] = {"float32": 1e-6, "float64": 1e-9}
"""Relative tolerance against rounding of a strict inequality, by precision: a pool is in breach
when ``equity < maintenance - TOLERANCE * notional``, so one exactly at its requirement is safe."""
