"""The log density that a model gave to each bar before it came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from stress.calibrate import garch, jump_diffusion, regime, skewed_t, student_t
from stress.calibrate.sample import Parameters, normal_log_density
from stress.types import Floats, ModelName

__all__ = ["SCORED", "log_score"]


class _Score(Protocol):
    def __call__(
        self, returns: Floats, parameters: Parameters, *, going_on: bool = False
    ) -> Floats: ...


def _gbm(returns: Floats, parameters: Parameters, *, going_on: bool = False) -> Floats:
    return normal_log_density(returns - parameters.mean, parameters.covariance)


SCORED: Mapping[ModelName, _Score] = {
    "gbm": _gbm,
    "student-t": student_t.log_score,
    "skewed-t": skewed_t.log_score,
    "jump-diffusion": jump_diffusion.log_score,
    "garch": garch.log_score,
    "regime": regime.log_score,
}
"""The models that have a density. Those that draw from the history have none."""


def log_score(
    model: ModelName, returns: Floats, parameters: Parameters, *, going_on: bool = False
) -> Floats:
    """Return each bar's log density given the bars before it, (bars,).

    Parameters
    ----------
    returns
        (bars, assets) log returns of consecutive bars, without NaN.
    going_on
        Whether they follow on the history of the estimate: a model with a memory then begins where
        that ended, else where it is on average.

    Raises
    ------
    KeyError
        A model that draws from the history.
    """
    return SCORED[model](returns, parameters, going_on=going_on)
