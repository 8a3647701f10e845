"""The sections of the calibration page, in their order; each takes the findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np

from stress.report.calibration import figures
from stress.report.calibration.findings import CalibrationFindings, ModelFindings, Spread
from stress.report.read import Estimate
from stress.report.section import Cell, Column, Content, Drawing, Table
from stress.report.text import Kind, Shown, count, joined, level_name, plural, shown
from stress.stats.facts import JUDGED, LEVELS, ROLLING, ROLLING_LEVELS, TAIL, WINDOWS

__all__ = ["SECTIONS", "Part"]

_MINUS = "\u2212"

RULE = (
    "The rule, fixed before anything is looked at: of the models with a density that miss fewest "
    "of the facts below, the one with the highest log score out of sample. A model misses a fact "
    "where the median over its simulated histories lies outside of the history's interval. Models "
    "that draw from the history have no density, hence no score, and most of the facts by "
    "construction; they know no bar that has not happened. They stand beside the others as a check."
)


@dataclass(frozen=True)
class Part:
    """A section of the page: its anchor, its heading, and what makes its content."""

    name: str
    title: str
    content: Callable[[CalibrationFindings], Content]


def _recommended(found: CalibrationFindings) -> Content:
    each, all_ = level_name(found.judged_confidence), level_name(found.confidence)
    kept = len(_judged(found))
    return Content(
        lead=(f"Recommended: {found.recommended}. {found.because}",),
        tables=(_facts_table(found),),
        notes=(
            RULE,
            f"History: {each} intervals of a block bootstrap, so that the {kept} of them hold "
            f"together with {all_}. Models: median and {all_} range over "
            f"{plural(found.replicas, 'simulated history', 'simulated histories')} of "
            f"{plural(found.bars, 'bar')} each; parameters as estimated, so their error is not in "
            "the range. Returns are around their mean and in the asset's own standard deviation "
            f"in the history. Co-exceedance: the probability that an asset is in its own tail of "
            f"{level_name(TAIL)} of bars given that another one is, mean over pairs; "
            f"{level_name(TAIL)} if assets were independent. An asset's number is averaged over "
            "assets.",
        ),
        items=found.left_out,
    )


def _judged(found: CalibrationFindings) -> list[int]:
    """Return the positions of the facts that the history has."""
    return [place for place in range(len(JUDGED)) if not isnan(found.judged.value.judged[place])]


def _facts_table(found: CalibrationFindings) -> Table:
    kinds: tuple[Kind, ...] = ("ratio", "ratio", "ratio", "probability", "difference")
    places = _judged(found)
    columns = (
        Column("Model"),
        *(Column(_short(JUDGED[place]), kinds[place]) for place in places),
        Column("Facts missed", "number"),
    )
    rows: list[tuple[Cell, ...]] = [
        ("history", *(_at(found.judged, "judged", place) for place in places), float("nan"))
    ]
    for model in found.models:
        cells = [
            _marked(_at(model.facts, "judged", place), kinds[place], bool(model.missed[place]))
            for place in places
        ]
        rows.append((model.name, *cells, float(np.sum(model.missed))))
    return Table(
        "What the models are judged by; a number in square brackets misses the history's interval",
        columns,
        tuple(rows),
    )


def _short(fact: str) -> str:
    return fact[0].upper() + fact[1:].replace(" of returns", "")


def _marked(estimate: Estimate, kind: Kind, missed: bool) -> Cell:
    if not missed:
        return estimate
    text = shown(kind, estimate)
    return Shown(f"[{text.value}]", text.interval, estimate)


def _at(spread: Spread, fact: str, place: int) -> Estimate:
    return Estimate(
        *(float(getattr(part, fact)[place]) for part in (spread.value, spread.lower, spread.upper))
    )


def _returns(found: CalibrationFindings) -> Content:
    return Content(
        lead=(
            f"Quantiles of returns over one bar of {found.bar}, history against models; a normal "
            "law is a straight line, and tails that are heavier bend away from it.",
        ),
        figures=(Drawing("quantiles", figures.return_quantiles(found), _caption(found)),),
        tables=(
            _table(
                found,
                "Quantiles of one-bar returns, in standard deviations",
                "quantiles",
                [level_name(level) for level in LEVELS],
                "ratio",
            ),
        ),
    )


def _caption(found: CalibrationFindings) -> str:
    return (
        f"Black: the history with its {level_name(found.confidence)} bootstrap band. Coloured: the "
        "median over simulated histories; a click on a name in the legend hides its line."
    )


def _table(
    found: CalibrationFindings,
    caption: str,
    fact: str,
    names: Sequence[str],
    kind: Kind,
    places: Sequence[int] | None = None,
) -> Table:
    """Return a table of one fact, the history above the models; ``places`` chooses its numbers."""
    chosen = range(len(names)) if places is None else places
    named = [("history", found.history), *((model.name, model.facts) for model in found.models)]
    rows: list[tuple[Cell, ...]] = [
        (name, *(_at(spread, fact, place) for place in chosen)) for name, spread in named
    ]
    return Table(caption, (Column("Model"), *(Column(name, kind) for name in names)), tuple(rows))


def _spells(found: CalibrationFindings) -> Content:
    lags = (1, 5, 10, 20, 30)
    return Content(
        lead=(
            "Where wild bars follow wild bars, absolute returns are correlated over many bars, and "
            f"the volatility of {ROLLING} bars wanders far from that of the whole history.",
        ),
        figures=(
            Drawing("autocorrelation", figures.autocorrelation(found), _caption(found)),
            Drawing(
                "rolling-volatility",
                figures.rolling_volatility(found),
                f"Quantiles over time of the volatility of {ROLLING} bars, relative to that of the "
                "whole history. " + _caption(found),
            ),
        ),
        tables=(
            _table(
                found,
                "Autocorrelation of absolute returns",
                "autocorrelation",
                [f"Lag {lag}" for lag in lags],
                "ratio",
                places=[lag - 1 for lag in lags],
            ),
            _table(
                found,
                f"Volatility of {ROLLING} bars over that of the whole history, by level of the "
                "quantile over time",
                "rolling",
                [level_name(level) for level in ROLLING_LEVELS],
                "ratio",
            ),
        ),
    )


def _together(found: CalibrationFindings) -> Content:
    if len(found.assets) < 2:
        return Content(lead=("There is one asset, so nothing falls together with it.",))
    return Content(
        lead=(
            "Where falls come together more than rises do, the lower-tail co-exceedance is above "
            "the upper-tail one, which no model with symmetric shocks can give.",
        ),
        figures=(
            Drawing(
                "co-exceedance",
                figures.co_exceedance(found),
                f"Probability that an asset is in its own tail of {level_name(TAIL)} given that "
                "another one is, mean over pairs. Lines: the history's bootstrap interval, the "
                "models' range over simulated histories.",
            ),
        ),
        tables=(
            _table(
                found,
                f"Co-exceedance at {level_name(TAIL)}",
                "co_exceedance",
                ["Lower tail", "Upper tail"],
                "probability",
            ),
        ),
    )


def _worst(found: CalibrationFindings) -> Content:
    return Content(
        lead=(
            "The worst fall in a history of this length, around the mean return: what happened, "
            "and how it is distributed under each model.",
        ),
        figures=(
            Drawing(
                "worst-falls",
                figures.worst_falls(found),
                "Mean over assets of each asset's worst fall. Lines: the range over simulated "
                "histories. The history has no interval: an extreme cannot be bootstrapped.",
            ),
        ),
        tables=(
            _table(
                found,
                "Worst fall over a window, mean over assets",
                "worst",
                [plural(bars, "bar") for bars in WINDOWS],
                "probability",
            ),
        ),
    )


def _likelihoods(found: CalibrationFindings) -> Content:
    without = [model.name for model in found.models if model.likelihood is None]
    notes = [
        "AIC = 2 k " + _MINUS + " 2 log L, BIC = k log n " + _MINUS + " 2 log L with k parameters "
        "and n bars; lower is better. They are numbers of the one history, not estimates, and have "
        "no interval; what their differences are worth the scores out of sample tell.",
    ]
    if without:
        notes.append(f"Without a likelihood: {joined(without)}. They are judged on facts only.")
    fitted = [model for model in found.models if model.likelihood is not None]
    scored = [model for model in found.models if model.score is not None]
    tables = (
        *((_criteria(fitted),) if fitted else ()),
        *((_scores(found, scored),) if scored else ()),
    )
    return Content(tables=tables, notes=tuple(notes))


def _criteria(models: list[ModelFindings]) -> Table:
    rows = []
    for model in models:
        fit = model.likelihood
        assert fit is not None
        numbers = (fit.log_likelihood, fit.aic, fit.bic)
        log_likelihood, aic, bic = (
            Shown(_fixed(number, 1), of=Estimate(number)) for number in numbers
        )
        size = (_counted(fit.parameters), _counted(fit.observations))
        rows.append((model.name, log_likelihood, *size, aic, bic))
    columns = ("Log likelihood", "Parameters", "Bars", "AIC", "BIC")
    return Table(
        "Information criteria, whole history",
        (Column("Model"), *(Column(name, "number") for name in columns)),
        tuple(rows),
    )


def _scores(found: CalibrationFindings, models: list[ModelFindings]) -> Table:
    rows = []
    for model in models:
        score = model.score
        assert score is not None
        rows.append(
            (
                model.name,
                _number(score.mean, score.interval[0], score.interval[1]),
                _number(score.behind, *score.behind_interval)
                if score.behind < 0
                else Shown("the best"),
            )
        )
    bars = models[0].score.bars if models[0].score else 0
    return Table(
        f"Log score out of sample: estimated on the bars before {found.tested_from}, scored on the "
        f"{count(bars)} from there; mean per bar",
        (Column("Model"), Column("Log score", "number"), Column("Behind the best", "number")),
        tuple(rows),
    )


def _number(value: float, lower: float, upper: float) -> Shown:
    interval = f"{_fixed(lower, 3)} to {_fixed(upper, 3)}"
    return Shown(_fixed(value, 3), interval, Estimate(value, lower, upper))


def _counted(number: int) -> Shown:
    return Shown(count(number), of=Estimate(float(number)))


def _fixed(number: float, places: int) -> str:
    return f"{round(number, places) + 0.0:,.{places}f}".replace("-", _MINUS)


def _parameters(found: CalibrationFindings) -> Content:
    columns = (
        Column("Parameter"),
        Column("Estimate", "number"),
        Column("Standard error", "number"),
    )
    tables = tuple(
        Table(
            model,
            columns,
            tuple(
                (row.name, row.estimate, row.standard_error)
                for row in found.parameters
                if row.model == model
            ),
        )
        for model in dict.fromkeys(row.model for row in found.parameters)
    )
    return Content(
        lead=("As the calibration file holds them; volatility and correlation are those of all.",),
        warnings=found.not_identified,
        tables=tables,
        notes=("A dash: no standard error, or one that the history does not give.",),
    )


def _history(found: CalibrationFindings) -> Content:
    return Content(
        lead=(
            f"{count(found.bars)} bars of {found.bar} on which all of "
            f"{plural(len(found.assets), 'asset')} have a return, {found.first} to {found.last}: "
            f"{', '.join(found.assets)}.",
        ),
        items=found.cleaned or ("Nothing was left out or changed.",),
        notes=(
            f"Intervals of the history: circular block bootstrap, {found.bootstraps} draws, blocks "
            "of whole rows as long as the root of the number of bars and no shorter than "
            f"{2 * ROLLING} bars. Entries of an autocorrelation or of a rolling volatility are "
            "resampled, not returns, so that none spans two blocks.",
        ),
    )


SECTIONS = (
    Part("recommended", "Which model", _recommended),
    Part("returns", "Returns of one bar", _returns),
    Part("spells", "Calm and wild spells", _spells),
    Part("together", "Falling together", _together),
    Part("worst", "Worst falls", _worst),
    Part("likelihood", "Likelihood and scores", _likelihoods),
    Part("parameters", "Parameters", _parameters),
    Part("history", "History and cleaning", _history),
)
