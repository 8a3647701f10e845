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
    "Estimator",
    "MODES",
    "REPORT_FORMATS",
    "RESAMPLING",
    "TOLERANCE",
    "Floats",
    "ImpactKind",
    "Integers",
    "JumpSizes",
    "Mode",
    "ModelName",
    "Monitoring",
    "Order",
    "Precision",
    "ReportFormat",
    "World",
]

Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.floating[Any]]
Integers: TypeAlias = NDArray[np.integer[Any]]

Mode: TypeAlias = Literal["as-booked", "cross", "isolated"]
World: TypeAlias = Mode
Monitoring: TypeAlias = Literal["step", "bridge", "extremes"]
Precision: TypeAlias = Literal["float32", "float64"]
ModelName: TypeAlias = Literal[
    "gbm",
    "student-t",
    "skewed-t",
    "jump-diffusion",
    "garch",
    "regime",
    "bootstrap",
    "filtered-historical",
    "historical",
    "given",
]
JumpSizes: TypeAlias = Literal["merton", "kou"]

Order: TypeAlias = Literal["largest-loss", "largest-margin", "largest-notional", "pro-rata"]
Amount: TypeAlias = Literal["restore", "step", "tier", "position", "all"]
ImpactKind: TypeAlias = Literal["none", "linear", "square-root"]
Deleveraging: TypeAlias = Literal["none", "socialised", "auto-deleverage"]
DecisionKind: TypeAlias = Literal["leader", "sharded"]
Estimator: TypeAlias = Literal["plain", "importance", "splitting", "quasi"]

ReportFormat: TypeAlias = Literal["html", "json", "md", "csv"]

REPORT_FORMATS: tuple[ReportFormat, ...] = ("html", "json", "md", "csv")
"""In what a report can be written; ``csv`` is a file for each of its tables."""

RESAMPLING: tuple[ModelName, ...] = ("bootstrap", "filtered-historical", "historical")
"""The models that draw from a price history."""

MODES: tuple[Mode, ...] = ("as-booked", "cross", "isolated")

TOLERANCE: dict[str, float] = {"float32": 1e-6, "float64": 1e-9}
"""Relative tolerance against rounding of a strict inequality, by precision: a pool is in breach
when ``equity < maintenance - TOLERANCE * notional``, so one exactly at its requirement is safe."""
