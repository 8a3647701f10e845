"""Which price model a history speaks for, by a rule that is stated before anything is looked at.

The rule: every model's facts are taken from simulations as long as the history, and their medians
are held against the history's bootstrap intervals. Of the models with a density that miss fewest
facts the one with the highest out-of-sample log score is recommended. Facts come first, because a
log score is decided by the many calm days, and a stress test by the few wild ones. Models that draw
from the history have no density and so no score, and most of the facts by construction: they are
named beside, and recommended only where nothing else could be estimated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stress.stats.probability import normal_quantile
from stress.types import Array, Floats, ModelName

__all__ = ["Candidate", "Score", "chosen", "judged_confidence", "missed", "scores"]


@dataclass(frozen=True)
class Score:
    """A model's mean log score per bar out of sample, and its gap to the best.

    Attributes
    ----------
    mean, interval
        Mean over the scored bars of the log density of a bar's returns, natural logarithm; its
        interval, (2,).
    behind, behind_interval
        The same of the paired difference to the best model, at most 0; 0 and NaN for the best.
    bars
        Number of scored bars.
    """

    mean: float
    interval: Floats
    behind: float
    behind_interval: Floats
    bars: int


@dataclass(frozen=True)
class Candidate:
    """A model as the rule sees it: how many facts it misses, its score if it has one."""

    name: str
    misses: int
    score: float | None


def judged_confidence(confidence: float, count: int) -> float:
    """Return the confidence of each of ``count`` intervals that hold jointly (Bonferroni)."""
    return 1 - (1 - confidence) / max(count, 1)


def missed(value: Floats, lower: Floats, upper: Floats) -> Array:
    """Return (facts,) whether a model's value lies outside of the history's interval.

    A fact that the history does not have, NaN, is not missed.
    """
    return (value < lower) | (value > upper)


def chosen(candidates: Sequence[Candidate]) -> Candidate:
    """Return the candidate that the rule of this module recommends; the first of equals."""

    def rank(candidate: Candidate) -> tuple[bool, int, float]:
        score = candidate.score
        return score is None, candidate.misses, 0.0 if score is None else -score

    return min(candidates, key=rank)


def scores(by_model: Mapping[ModelName, Floats], confidence: float) -> dict[ModelName, Score]:
    """Return the scores of models from their (bars,) log scores of the same bars.

    The standard error of a mean is that of Newey and West (1987) with the cube root of the number
    of bars as largest lag, because scores of one wild spell hang together; with it the difference
    to the best is the test of Diebold and Mariano (1995).
    """
    if not by_model:
        return {}
    best = max(by_model, key=lambda name: float(by_model[name].mean()))
    found: dict[ModelName, Score] = {}
    for name, logs in by_model.items():
        behind = logs - by_model[best]
        nothing = np.full(2, np.nan)
        found[name] = Score(
            float(logs.mean()),
            _interval(logs, confidence),
            float(behind.mean()),
            nothing if name == best else _interval(behind, confidence),
            len(logs),
        )
    return found


def _interval(numbers: Floats, confidence: float) -> Floats:
    half = normal_quantile(confidence) * _standard_error(numbers)
    mean = float(numbers.mean())
    return np.array([mean - half, mean + half])


def _standard_error(numbers: Floats) -> float:
    """Return the standard error of the mean of a correlated series."""
    count = len(numbers)
    centred = numbers - numbers.mean()
    lags = int(np.ceil(np.cbrt(count)))
    variance = float(centred @ centred) / count
    for lag in range(1, min(lags, count - 1) + 1):
        weight = 1 - lag / (lags + 1)
        variance += 2 * weight * float(centred[lag:] @ centred[:-lag]) / count
    return float(np.sqrt(max(variance, 0.0) / count))
