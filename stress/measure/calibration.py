"""What other parameters, as likely as those estimated, would have made of the main numbers.

Each draw of the parameters is run on the same normals as the main run, so that draws differ by
their parameters and by nothing else. The spread of their estimates is the *calibration error*,
given the model; how far another set of random paths would move a number is the *sampling error*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stress.measure.kept import Arrays
from stress.measure.moments import Estimate
from stress.measure.pathwise import tail_over_paths
from stress.measure.world import Findings, WorldMeasure
from stress.types import Array, Floats

__all__ = ["CalibrationMeasure", "draws_needed"]

_BOOK = (
    "liquidation_probability",
    "any_liquidation_probability",
    "expected_total_loss",
    "total_loss_value_at_risk",
)


@dataclass(frozen=True)
class _Draw:
    """The estimates of one draw: of the accounts, (accounts,), and of the book by name."""

    accounts: Floats
    book: dict[str, Floats]


def draws_needed(confidence: float) -> int:
    """Return how many draws an interval of this confidence needs.

    A further estimate falls below the least of n with a probability of 1 / (n + 1), and above the
    largest with the same: n reach from ``(1 - confidence) / 2`` to the rest of it only if that is
    no more.
    """
    return int(np.ceil(2 / (1 - confidence) - 1 - 1e-9))


class CalibrationMeasure:
    """The main world's numbers under every draw of the parameters.

    Parameters
    ----------
    confidence
        Of the intervals.
    """

    def __init__(self, confidence: float) -> None:
        self.confidence = confidence
        self._draws: list[_Draw] = []

    @property
    def draws(self) -> int:
        """Number of draws so far."""
        return len(self._draws)

    def update(self, world: WorldMeasure) -> None:
        """Add what was measured of the main world under one draw."""
        loss = world.path_table.finish()["total_loss"]
        at_risk, _ = tail_over_paths(loss, world.request.levels, self.confidence)
        exists = world.grouping.exists
        hit = np.where(exists, world.by_account["liquidation"].mean, np.nan)
        numbers = (world.book["liquidation"].mean, world.book["any"].mean, loss.mean())
        self._draws.append(
            _Draw(hit, dict(zip(_BOOK, (*map(np.asarray, numbers), at_risk.value), strict=True)))
        )

    def newest(self) -> Arrays:
        """Return the numbers of the draw that was added last."""
        draw = self._draws[-1]
        return {"accounts": draw.accounts, **draw.book}

    def restore(self, draw: Arrays) -> None:
        """Add a draw that ``newest`` returned."""
        self._draws.append(_Draw(draw["accounts"], {name: draw[name] for name in _BOOK}))

    def finish(self, main: Findings) -> Findings:
        """Return the calibration intervals and those of both errors together.

        Both: half-widths of independent errors add as squares, on each side of the estimate. The
        calibration's counts as 0 on a side that its interval does not reach.

        Parameters
        ----------
        main
            The main world's estimates, with their sampling intervals.
        """
        found: Findings = {
            "accounts": self._bounds(
                "liquidation_probability",
                np.stack([draw.accounts for draw in self._draws]),
                main["accounts"],
            ),
            "book": {},
        }
        for name in _BOOK:
            estimates = np.stack([draw.book[name] for draw in self._draws])
            found["book"] |= self._bounds(name, estimates, main["book"])
        return found

    def _bounds(
        self, name: str, draws: Floats, main: dict[str, Estimate | Array]
    ) -> dict[str, Estimate | Array]:
        """Return the two intervals of one variable, (..., 2) each, from its (draws, ...)."""
        estimate = main[name]
        assert isinstance(estimate, Estimate)
        calibration = _spread(draws, self.confidence)
        both = _together(estimate, calibration)
        if "probability" in name:
            both = np.clip(both, 0.0, 1.0)
        return {
            f"{name}_calibration_interval": calibration,
            f"{name}_combined_interval": both,
        }


def _spread(draws: Floats, confidence: float) -> Floats:
    """Return (..., 2) the central interval of (draws, ...) estimates.

    The quantile of order statistic r of n is r / (n + 1), so that a further draw falls between the
    bounds with the probability stated whatever the law (Weibull 1939); with fewer draws than
    ``draws_needed`` the bounds are the least and the largest.
    """
    tail = (1 - confidence) / 2
    bounds = np.quantile(draws, [tail, 1 - tail], axis=0, method="weibull")
    return np.moveaxis(bounds, 0, -1)


def _together(estimate: Estimate, calibration: Floats) -> Floats:
    value = np.asarray(estimate.value, np.float64)
    below, above = (
        np.hypot(
            np.maximum(sign * (estimate.interval[..., side] - value), 0.0),
            np.maximum(sign * (calibration[..., side] - value), 0.0),
        )
        for side, sign in enumerate((-1.0, 1.0))
    )
    return np.stack([value - below, value + above], axis=-1)
