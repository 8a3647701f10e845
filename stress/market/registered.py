"""What a registered price model is built from: numbers only, in the order of the assets.

A distribution registers a model by an entry point of the group ``margin_stress.markets`` that names
a callable ``build(numbers: Numbers)``. It returns a ``PriceModel``, or a ``ModelSource`` where each
block of paths has its own; a ``ValueError`` that it raises is told the user as a fault of
``market.parameters``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stress.types import Floats, Precision

__all__ = ["Numbers"]


@dataclass(frozen=True)
class Numbers:
    """The market of a scenario as arrays; a year has 365 days.

    Attributes
    ----------
    assets
        Their names, which order every array.
    price
        (assets,) at the start, USD.
    volatility, drift
        (assets,) annual; the volatility is the total one of the log returns.
    correlation
        (assets, assets) of the log returns, positive semi-definite.
    step_years, steps
        Length of a step in years, and the number of steps.
    precision
        Floating point type that the model must compute in.
    parameters
        The table ``market.parameters`` as it stands in the scenario.
    """

    assets: tuple[str, ...]
    price: Floats
    volatility: Floats
    drift: Floats
    correlation: Floats
    step_years: float
    steps: int
    precision: Precision
    parameters: Mapping[str, Any]
