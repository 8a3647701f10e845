"""How forced sales add up over the horizon."""

from __future__ import annotations

import numpy as np

from stress.measure.kept import merge
from stress.measure.moments import Moments
from stress.measure.pathwise import Sample
from stress.measure.world import Findings
from stress.types import Array, Floats

__all__ = ["CourseMeasure"]

_SHOWN = 64
"""Most times that are kept: every path has a number at each."""


class CourseMeasure:
    """Mean and quantiles over paths of the notional closed so far, at the ends of time blocks.

    Parameters
    ----------
    steps
        Steps of the horizon.
    block
        Nodes that the kernel takes together; the first block begins at the start itself.
    """

    KEPT = ("moments", "sample")

    def __init__(self, steps: int, block: int) -> None:
        blocks = -(-(steps + 1) // block)
        ends = np.minimum(np.arange(1, blocks + 1) * block - 1, steps)
        shown = np.linspace(0, blocks - 1, min(blocks, _SHOWN))
        self._rows = np.unique(np.round(shown).astype(int))
        self.steps = ends[self._rows]
        self.moments = Moments.init(len(self._rows))
        self.sample = Sample(len(self._rows), "float32")

    def update(self, course: Array, paths: int) -> None:
        """Add (blocks, columns) notional closed, USD; the first ``paths`` columns are kept."""
        closed: Floats = np.asarray(course)[self._rows, :paths].astype(np.float64)
        self.moments.update(closed)
        self.sample.update(closed)

    def merge(self, other: CourseMeasure) -> None:
        """Add the numbers of later paths."""
        merge(self, other)

    def finish(self, quantiles: tuple[float, ...], confidence: float) -> Findings:
        """Return the mean and (times, quantiles), at ``steps``."""
        return {
            "course": {
                "liquidated_notional_mean": self.moments.finish_mean(confidence),
                "liquidated_notional_quantile": self.sample.finish(quantiles),
            }
        }
