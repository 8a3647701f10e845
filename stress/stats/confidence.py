"""Confidence of intervals over paths that are not independent.

A design effect is the variance of a mean over the paths over that of a mean over as many
independent ones (Kish 1965): n paths are worth ``n / design_effect``. Windows of a history that
overlap have one (the windows' own module says which); simulated paths have 1, and every number of
theirs keeps its digits.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Confidence", "design_effect", "independent", "shared"]

N = TypeVar("N", float, NDArray[np.float64])


class Confidence(float):
    """A confidence, above 0 and below 1, which knows what the paths are worth.

    Parameters
    ----------
    value
        The confidence.
    design_effect
        Paths that are worth one independent path, at least 1.
    """

    design_effect: float

    def __new__(cls, value: float, design_effect: float = 1.0) -> Confidence:
        """Return the confidence with its design effect."""
        one = super().__new__(cls, value)
        one.design_effect = float(design_effect)
        return one

    def __reduce__(self) -> tuple[type[Confidence], tuple[float, float]]:
        """Copy and pickle with the design effect."""
        return type(self), (float(self), self.design_effect)


def design_effect(confidence: float) -> float:
    """Return the design effect of a confidence; 1 of a plain number."""
    return confidence.design_effect if isinstance(confidence, Confidence) else 1.0


def independent(trials: N, confidence: float) -> N:
    """Return how many independent trials so many are worth."""
    return trials / design_effect(confidence)


def shared(confidence: float, statements: int) -> float:
    """Return the confidence of each of several statements that shall hold together (Bonferroni)."""
    each = 1 - (1 - confidence) / max(statements, 1)
    return (
        Confidence(each, confidence.design_effect) if isinstance(confidence, Confidence) else each
    )
