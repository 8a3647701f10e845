"""The calibration page: every model simulated as long as the history, and held against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

import stress
from stress.calibrate.fit import MODELS, Fitted, fit
from stress.calibrate.gbm import YEAR, common_returns, one_bar_returns, say
from stress.calibrate.scores import SCORED, log_score
from stress.data.prices import PriceHistory
from stress.engine.block import Schedule
from stress.engine.paths import price_paths
from stress.errors import InputError
from stress.measure.choice import Candidate, Score, chosen, judged_confidence, missed, scores
from stress.report.calibration.findings import (
    CalibrationFindings,
    Likelihood,
    ModelFindings,
    Parameter,
    Spread,
)
from stress.report.calibration.page import write_calibration_page
from stress.report.text import joined, plural
from stress.runner.clock import Clock
from stress.runner.market import market_source
from stress.runner.plan import time_block
from stress.scenario.market import complete_market
from stress.scenario.schema import Calibration, Market
from stress.stats.facts import JUDGED, Facts, facts, history_samples, percentiles
from stress.types import Floats, ModelName

__all__ = [
    "OutOfSample",
    "calibration_findings",
    "out_of_sample",
    "simulated_returns",
    "write_page",
]

CONFIDENCE = 0.95
_REPLICAS, _FEWEST_REPLICAS = 200, 40
"""Simulated histories a model, most and fewest: the 2.5 percent quantile of 200 is known to a
standard error of 1.1 percent of them."""
_BOOTSTRAPS, _FEWEST_BOOTSTRAPS = 1_000, 200
_MOST_BARS = 4_000_000
"""Bars of all replicas, or bootstraps, of a history of many bars: more take long."""
_SEED = 20_170_817
_CHUNK = 50
"""Simulated histories measured together, so that memory stays small."""

_LEARNT = 0.7
"""Share of the bars that the scored parameters are estimated from."""


def write_page(
    fitted: Fitted, history: PriceHistory, path: Path, *, replicas: int | None = None
) -> Path:
    """Simulate, compare, write the page and return its path; parameters as below."""
    return write_calibration_page(calibration_findings(fitted, history, replicas=replicas), path)


def calibration_findings(
    fitted: Fitted, history: PriceHistory, *, replicas: int | None = None
) -> CalibrationFindings:
    """Return what the page shows.

    Parameters
    ----------
    fitted
        The estimates.
    history
        What they are from, as it was read.
    replicas
        Simulated histories a model; 200, and fewer of a very long history, if not given.
    """
    cleaned = fitted.base.history
    returns = common_returns(cleaned, one_bar_returns(cleaned, fitted.bar)[0])
    scale = returns.std(axis=0, ddof=1)
    own = facts(returns, scale)
    if replicas is None:
        replicas = _affordable(len(returns), _FEWEST_REPLICAS, _REPLICAS)
    bootstraps = _affordable(len(returns), _FEWEST_BOOTSTRAPS, _BOOTSTRAPS)
    samples = history_samples(returns, scale, bootstraps, _SEED)
    judged_facts = int(np.isfinite(own.judged).sum())
    strict = judged_confidence(CONFIDENCE, judged_facts)
    judged = Spread(own, *percentiles(samples, strict))
    tested = out_of_sample(fitted, history)
    scored = scores(tested.log_scores, CONFIDENCE)
    models = tuple(
        _model(
            fitted,
            name,
            _spread(simulated_returns(fitted, name, len(returns), replicas), scale),
            judged,
            scored.get(name),
        )
        for name in _models(fitted)
    )
    best = _chosen(models)
    assets = fitted.assets
    named = ", ".join(assets) if len(assets) < 5 else f"{len(assets)} assets"
    return CalibrationFindings(
        title=f"Calibration of {named}",
        source=f"margin-stress {stress.__version__}",
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        as_of=_day(fitted.base.last.max()),
        assets=assets,
        bar=say(fitted.bar),
        bars=len(returns),
        first=_day(cleaned.timestamps[0]),
        last=_day(cleaned.timestamps[-1]),
        confidence=CONFIDENCE,
        judged_confidence=strict,
        history=Spread(own, *percentiles(samples, CONFIDENCE)),
        judged=judged,
        models=models,
        recommended=best.name,
        because=_because(best, models, judged_facts),
        left_out=(*_LEFT_OUT, *_skipped(fitted, tested)),
        not_identified=_notes(fitted),
        cleaned=_cleaned(fitted),
        parameters=_parameters(fitted),
        replicas=replicas,
        bootstraps=bootstraps,
        tested_from=tested.first,
    )


def _affordable(bars: int, fewest: int, most: int) -> int:
    return int(np.clip(_MOST_BARS // bars, fewest, most))


@dataclass(frozen=True)
class OutOfSample:
    """Scores of bars that the parameters were not estimated from.

    Attributes
    ----------
    log_scores
        By model, (bars,) log densities of the same bars.
    first
        First day of them; empty without any.
    skipped
        By model: why it has none.
    """

    log_scores: Mapping[ModelName, Floats]
    first: str
    skipped: Mapping[ModelName, str]


def out_of_sample(fitted: Fitted, history: PriceHistory) -> OutOfSample:
    """Estimate the fitted models that have a density on the first 70 %, score the rest."""
    names = [name for name in SCORED if name in fitted.fits]
    cleaned = fitted.base.history
    returns, _ = one_bar_returns(cleaned, fitted.bar)
    rows = np.flatnonzero(np.isfinite(returns).all(axis=1))
    test = rows[round(_LEARNT * len(rows)) :]
    learnt = history.choose(until=cleaned.timestamps[test[0] - 1])
    scored: dict[ModelName, Floats] = {}
    skipped: dict[ModelName, str] = {}
    for name in names:
        try:
            # wicks are looked for again: what came later must not say what one was
            once = fit(learnt, [name], remove_wicks=bool(fitted.cleaning.wicks))
        except InputError as error:
            skipped[name] = str(error)
        else:
            scored[name] = log_score(name, returns[test], once.parameters[name], going_on=True)
    return OutOfSample(scored, _day(cleaned.timestamps[test[0]]), skipped)


_LEFT_OUT = (
    "historical is not held against the history: its paths are windows of it, so it has every one "
    "of these facts by construction, and nothing that did not happen.",
)


def _models(fitted: Fitted) -> tuple[ModelName, ...]:
    """Return the models that are compared: everything that was fitted, and the bootstrap."""
    return tuple(name for name in MODELS if name in fitted.fits)


def simulated_returns(fitted: Fitted, name: ModelName, bars: int, replicas: int) -> Floats:
    """Return (replicas, bars, assets) log returns of one bar under a fitted model."""
    clock = Clock(float(fitted.bar / YEAR), bars, replicas, "float32")
    source = market_source(_market(fitted, name), clock, fitted.base.history)
    numbers = np.arange(replicas, dtype=np.uint32)
    schedule = Schedule(
        steps=bars, block=time_block(bars), monitoring="step", precision=clock.precision
    )
    prices = price_paths(
        source.block(numbers),
        jnp.ones(len(fitted.assets), jnp.float32),
        jnp.asarray(_SEED, jnp.uint32),
        numbers,
        schedule=schedule,
    )
    return np.diff(np.log(np.asarray(prices, np.float64)), axis=1)


def _market(fitted: Fitted, name: ModelName) -> Market:
    """Return the complete market of one model, in its long-run state at the start.

    What a calibration says of the state at the end of the history is left out: the simulations are
    to be like the whole of it.
    """
    volatility = dict(zip(fitted.assets, map(float, fitted.volatility), strict=True))
    table = {
        key: value
        for key, value in fitted.models.get(name, {}).items()
        if key not in ("initial", "initial_volatility")
    }
    if name == "filtered-historical":
        table["initial_volatility"] = volatility
    lasting = Calibration(
        assets=fitted.assets,
        price=dict.fromkeys(fitted.assets, 1.0),
        volatility=volatility,
        correlation=tuple(tuple(map(float, row)) for row in fitted.correlation),
        models={name: table},
    )
    return complete_market(Market(model=name, assets=fitted.assets), lasting, None)


def _spread(returns: Floats, scale: Floats) -> Spread:
    """Return the median and range of the facts of simulated histories."""
    parts = [
        facts(returns[first : first + _CHUNK], scale) for first in range(0, len(returns), _CHUNK)
    ]
    whole = Facts(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in Facts.__annotations__)
    )
    return Spread(
        whole.through(lambda drawn: np.quantile(drawn, 0.5, axis=0)),
        *percentiles(whole, CONFIDENCE),
    )


def _model(
    fitted: Fitted, name: str, spread: Spread, judged: Spread, score: Score | None
) -> ModelFindings:
    fit_ = fitted.fits[name]
    likelihood = None
    if "log_likelihood" in fit_:
        numbers = (float(fit_[key]) for key in ("log_likelihood", "aic", "bic"))
        log_likelihood, aic, bic = numbers
        likelihood = Likelihood(
            log_likelihood, int(fit_["parameters"]), aic, bic, int(fit_["observations"])
        )
    return ModelFindings(
        name=name,
        facts=spread,
        missed=missed(spread.value.judged, judged.lower.judged, judged.upper.judged),
        likelihood=likelihood,
        score=score,
    )


def _chosen(models: Sequence[ModelFindings]) -> ModelFindings:
    candidates = [
        Candidate(
            model.name,
            _misses(model),
            None if model.score is None else model.score.mean,
        )
        for model in models
    ]
    name = chosen(candidates).name
    return next(model for model in models if model.name == name)


def _because(best: ModelFindings, models: Sequence[ModelFindings], judged: int) -> str:
    """Return why the rule recommends a model, and what the models that draw from rows do."""
    scored = [model for model in models if model.score is not None]
    equal = [model for model in scored if _misses(model) == _misses(best)]
    if not scored:
        return "No model with a density could be scored; it misses fewest facts."
    if _misses(best):
        names = joined([JUDGED[place] for place in np.flatnonzero(best.missed)])
        first = f"It misses {plural(_misses(best), 'fact')} of {judged}: {names}. "
        first += "No model with a density misses fewer."
    else:
        first = f"It has all {judged} facts of the history."
    if len(equal) > 1:
        first += f" Of the {len(equal)} with as many it has the highest score out of sample."
    drawn = [model for model in models if model.score is None and _misses(model) < _misses(best)]
    if not drawn:
        return first
    names = joined([f"{model.name} ({_misses(model)})" for model in drawn])
    return f"{first} Fewer are missed by what draws from the history, {names}: run it too."


def _misses(model: ModelFindings) -> int:
    return int(np.sum(model.missed))


def _day(moment: np.datetime64) -> str:
    return str(moment.astype("datetime64[D]"))


def _skipped(fitted: Fitted, tested: OutOfSample) -> tuple[str, ...]:
    return (
        *(f"{name} is not here: {why}." for name, why in fitted.skipped.items()),
        *(f"{name} has no score out of sample: {why}." for name, why in tested.skipped.items()),
    )


def _notes(fitted: Fitted) -> tuple[str, ...]:
    """Return what the history does not say, model by model."""
    return tuple(
        f"{name}: {note}."
        for name in _models(fitted)
        for note in fitted.fits[name].get("notes", ())
    )


def _cleaned(fitted: Fitted) -> tuple[str, ...]:
    cleaning = fitted.cleaning
    found = []
    for asset, gaps, duplicates in zip(
        cleaning.assets, cleaning.gaps, cleaning.duplicates, strict=True
    ):
        if gaps:
            found.append(f"{asset}: {plural(gaps, 'gap')}; returns across them are not used.")
        if duplicates:
            found.append(f"{asset}: {plural(duplicates, 'repeated row')} dropped.")
    if cleaning.out_of_order:
        found.append(f"{plural(cleaning.out_of_order, 'row')} out of order, sorted.")
    for wick in cleaning.wicks:
        done = "the bar was left out" if np.isnan(wick.kept) else f"clipped to {wick.kept:,.6g}"
        moment = str(wick.timestamp.astype("datetime64[m]"))
        found.append(f"{wick.asset}, {moment}: {wick.column} {wick.found:,.6g}, {done} as a wick.")
    return tuple(found)


def _parameters(fitted: Fitted) -> tuple[Parameter, ...]:
    """Return every number of every model's table in one list."""
    shared = [
        Parameter("all models", f"volatility.{asset}", float(value), float(error))
        for asset, value, error in zip(
            fitted.assets, fitted.volatility, fitted.standard_error, strict=True
        )
    ]
    for name in _models(fitted):
        errors = dict(_leaves(fitted.standard_errors.get(name, {})))
        shared += [
            Parameter(name, key, value, errors.get(key, float("nan")))
            for key, value in _leaves(fitted.models.get(name, {}))
        ]
    return tuple(shared)


def _leaves(table: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers of nested tables with their dotted keys; text is left out."""
    if isinstance(table, Mapping):
        for name, value in table.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    elif isinstance(table, (list, tuple)):
        for place, value in enumerate(table):
            yield from _leaves(value, f"{key}[{place}]")
    elif isinstance(table, (int, float)) and not isinstance(table, bool):
        yield key, float(table)
