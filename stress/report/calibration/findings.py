"""What the calibration page shows: the history's facts, and each model's beside them."""

from __future__ import annotations

from dataclasses import dataclass

from stress.measure.choice import Score
from stress.stats.facts import Facts
from stress.types import Array

__all__ = ["CalibrationFindings", "Likelihood", "ModelFindings", "Parameter", "Spread"]


@dataclass(frozen=True)
class Spread:
    """Facts with the bounds of an interval."""

    value: Facts
    lower: Facts
    upper: Facts


@dataclass(frozen=True)
class Likelihood:
    """How well a model's likelihood fits, and what its parameters cost."""

    log_likelihood: float
    parameters: int
    aic: float
    bic: float
    observations: int


@dataclass(frozen=True)
class Parameter:
    """An estimate of a model's own parameter with its standard error, NaN where it has none."""

    model: str
    name: str
    estimate: float
    standard_error: float


@dataclass(frozen=True)
class ModelFindings:
    """One model.

    Attributes
    ----------
    name
        As ``market.model`` names it.
    facts
        Medians over simulated histories as long as the history, and the interval over them.
    missed
        (judged facts,) whether the median lies outside of the history's interval.
    likelihood, score
        None where the model has none.
    """

    name: str
    facts: Spread
    missed: Array
    likelihood: Likelihood | None
    score: Score | None


@dataclass(frozen=True)
class CalibrationFindings:
    """The whole page.

    Attributes
    ----------
    title, source, created, as_of
        Head of the page.
    assets, bar, bars, first, last
        The history: names, length of a bar, bars on which all assets have a return, first and last
        day.
    history
        The history's facts with bootstrap intervals at ``confidence``; worst falls have none.
    judged
        The same with the wider intervals that models are judged by, at ``judged_confidence``.
    models
        In the order of the page.
    recommended, because
        The model that the rule recommends, and a sentence that says why.
    left_out, not_identified, cleaned
        Sentences.
    parameters
        Estimates of all models.
    replicas, bootstraps
        Simulated histories a model; bootstraps of the history.
    tested_from
        First day of the out-of-sample bars; empty without scores.
    """

    title: str
    source: str
    created: str
    as_of: str
    assets: tuple[str, ...]
    bar: str
    bars: int
    first: str
    last: str
    confidence: float
    judged_confidence: float
    history: Spread
    judged: Spread
    models: tuple[ModelFindings, ...]
    recommended: str
    because: str
    left_out: tuple[str, ...]
    not_identified: tuple[str, ...]
    cleaned: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    replicas: int
    bootstraps: int
    tested_from: str
