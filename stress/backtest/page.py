"""The page of a back-test, made of the report's parts: it reads the tree and computes nothing."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
import xarray as xr

from stress.backtest.figures import exceedance_ratio, joint_tails, reliability_diagram
from stress.backtest.judge import PASSES
from stress.report.page import Heading, page_of, write_page
from stress.report.read import (
    Estimate,
    attribute,
    dataset,
    estimates,
    labels,
    numbers,
    sentences,
)
from stress.report.section import Cell, Column, Content, Drawing, Section, Table
from stress.report.text import Shown, level_name, plural

__all__ = ["SECTIONS", "render_backtest", "write_backtest_page"]


def render_backtest(tree: xr.DataTree) -> str:
    """Return the page; it needs nothing from outside, as the report of a run."""
    heading = Heading(
        title=f"Back-test: {attribute(tree, 'title')}",
        created=attribute(tree, "created_at"),
        source=attribute(tree, "source"),
        as_of=attribute(tree, "last"),
    )
    return page_of(heading, [(part, part.content(tree)) for part in SECTIONS if part.applies(tree)])


def write_backtest_page(tree: xr.DataTree, path: str | PathLike[str]) -> Path:
    """Write the page to ``path``, whole or not at all, and return the path."""
    return write_page(render_backtest(tree), path)


def _always(tree: xr.DataTree) -> bool:
    return True


def _several(tree: xr.DataTree) -> bool:
    return bool(np.isfinite(numbers(dataset(tree, "joint_tails"), "realised")).all())


def _confidence(tree: xr.DataTree) -> str:
    return level_name(float(attribute(tree, "confidence")))


def _verdicts(tree: xr.DataTree) -> Content:
    data = dataset(tree, "verdicts")
    tests = numbers(data, "coverage_tests")
    cells = numbers(data, "liquidation_tests")
    counts = {
        name: numbers(data, f"{name}_failures")
        for name in ("coverage", "independence", "shortfall", "liquidation")
    }
    brier = estimates(data, "brier")
    lower, upper = labels(data, "lower_tail"), labels(data, "upper_tail")
    rows: list[tuple[Cell, ...]] = []
    for row, model in enumerate(labels(data, "model")):
        rows.append(
            (
                model,
                _of(counts["coverage"][row], tests[row]),
                _of(counts["independence"][row], tests[row]),
                _of(counts["shortfall"][row], tests[row]),
                lower[row],
                upper[row],
                _of(counts["liquidation"][row], cells[row]),
                _score(brier.at(row)),
            )
        )
    columns = (
        Column("Model"),
        Column("Value at risk fails"),
        Column("Clustered"),
        Column("Shortfall fails"),
        Column("Lower joint tail"),
        Column("Upper joint tail"),
        Column("Liquidations fail"),
        Column("Brier score", "number"),
    )
    chosen = attribute(tree, "model")
    return Content(
        lead=(
            f"{plural(attribute(tree, 'windows'), 'window')} of {attribute(tree, 'window')} from "
            f"{attribute(tree, 'first')} to {attribute(tree, 'last')}, "
            f"{plural(attribute(tree, 'refits'), 'estimate')}, each from what was known then. The "
            f"scenario's own model is {chosen}.",
        ),
        warnings=sentences(tree, "notices"),
        tables=(Table("What fails, model by model", columns, tuple(rows)),),
        notes=(
            "Counts are of assets, sides (longs lose in the left tail, shorts in the right one) "
            "and levels that fail; of groups of books and leverages for liquidations. A test fails "
            f"below 1 - {_confidence(tree)} after Holm's correction over the assets, or over the "
            "groups and leverages. Joint tails are held against the interval of what happened.",
        ),
    )


def _p_value(value: float) -> Shown:
    return Shown("<\u00a00.001" if value < 0.0005 else f"{value:.3f}")


def _score(score: Estimate) -> Shown:
    return Shown(f"{score.value:.4f}", f"{score.lower:.4f} to {score.upper:.4f}")


def _of(failing: float, tests: float) -> str:
    return f"{int(failing)} of {int(tests)}"


def _coverage(tree: xr.DataTree) -> Content:
    data = dataset(tree, "coverage")
    levels = numbers(data, "level")
    figures = tuple(
        Drawing(
            f"exceedances-{row}",
            exceedance_ratio(tree, row),
            f"Losses beyond the value at risk at {level_name(level)}, over their expected number; "
            "a dot an asset or the portfolio.",
        )
        for row, level in enumerate(levels)
    )
    return Content(
        figures=figures,
        tables=tuple(
            _coverage_table(tree, side, row)
            for row in range(len(levels))
            for side in range(data.sizes["side"])
        ),
        notes=(
            "Kupiec: whether exceedances are as many as they should be, by the chi-squared law and "
            "exactly. Christoffersen: whether one makes the next likelier, by simulation. Z2: "
            "Acerbi and Szekely's second test of expected shortfall, 0 if right, negative if "
            "losses are worse than forecast, by simulation of the test period. All "
            "p-values are two-sided; the verdict uses the exact one of Kupiec's.",
        ),
    )


def _coverage_table(tree: xr.DataTree, side: int, level: int) -> Table:
    data = dataset(tree, "coverage")
    names = ("kupiec_p_value", "exact_p_value", "independence_simulated_p_value")
    columns = {name: numbers(data, name)[:, side, level] for name in names}
    z2, z2_p = (numbers(data, name)[:, side, level] for name in _SHORTFALL)
    count, expected = numbers(data, "exceedances")[:, side, level], numbers(data, "expected")[level]
    words = {name: data[name].values[:, side, level] for name in (*_WORDS, "zone")}
    rows: list[tuple[Cell, ...]] = []
    for row, model in enumerate(labels(data, "model")):
        for column, series in enumerate(labels(data, "series")):
            found = [str(words[name][row, column]) for name in _WORDS]
            wrong = ", ".join(
                word if name != "shortfall_verdict" else f"shortfall {word}"
                for name, word in zip(_WORDS, found, strict=True)
                if word != PASSES
            )
            rows.append(
                (
                    f"{model}, {series}",
                    "fails" if wrong else "passes",
                    wrong,
                    f"{int(count[row, column])} of {expected:.1f}",
                    *(_p_value(columns[name][row, column]) for name in names),
                    Shown(f"{z2[row, column]:+.2f}".replace("-", "\u2212")),
                    _p_value(z2_p[row, column]),
                    str(words["zone"][row, column]),
                )
            )
    side_name = labels(data, "side")[side]
    return Table(
        f"{side_name} positions, value at risk at {level_name(numbers(data, 'level')[level])}",
        (
            Column("Model, series"),
            Column("Verdict", "verdict"),
            Column("What is wrong"),
            Column("Exceedances"),
            Column("Kupiec p", "number"),
            Column("exact p", "number"),
            Column("Christoffersen p", "number"),
            Column("Z2", "number"),
            Column("Z2 p", "number"),
            Column("Basel zone"),
        ),
        tuple(rows),
    )


_SHORTFALL = ("shortfall_statistic", "shortfall_p_value")
_WORDS = ("coverage_verdict", "independence_verdict", "shortfall_verdict")


def _joint(tree: xr.DataTree) -> Content:
    data = dataset(tree, "joint_tails")
    realised, bounds = numbers(data, "realised"), numbers(data, "realised_interval")
    forecast, words = numbers(data, "forecast"), data["verdict"].values
    rows: list[tuple[Cell, ...]] = [
        (
            "what happened",
            *(
                part
                for tail in range(len(realised))
                for part in (Estimate(realised[tail], *bounds[tail]), "")
            ),
        )
    ]
    rows += [
        (
            model,
            *(
                part
                for tail in range(len(realised))
                for part in (float(forecast[row, tail]), str(words[row, tail]))
            ),
        )
        for row, model in enumerate(labels(data, "model"))
    ]
    return Content(
        figures=(
            Drawing(
                "joint-tails",
                joint_tails(tree),
                "How often another asset is in its worst (best) twentieth when one is, mean over "
                "pairs; the shaded bands hold what happened.",
            ),
        ),
        tables=(
            Table(
                "Co-exceedance at 5 %",
                (
                    Column("Model"),
                    Column("Lower tail", "probability"),
                    Column("Verdict"),
                    Column("Upper tail", "probability"),
                    Column("Verdict"),
                ),
                tuple(rows),
            ),
        ),
        notes=(
            "Each asset's own quantile over the whole test period is the threshold, in the history "
            "and in the simulated returns of all windows together, so that only the dependence "
            "counts, of assets and of the times that are wild. Intervals by a block bootstrap.",
        ),
    )


def _liquidations(tree: xr.DataTree) -> Content:
    data = dataset(tree, "liquidations")
    names = ("mean_forecast", "frequency", "frequency_bound", "expected", "count_p_value")
    values = {name: numbers(data, name) for name in names}
    count, words, brier = numbers(data, "count"), data["verdict"].values, estimates(data, "brier")
    rows: list[tuple[Cell, ...]] = []
    for row, model in enumerate(labels(data, "model")):
        for group, name in enumerate(labels(data, "book_group")):
            for column, leverage in enumerate(numbers(data, "leverage")):
                at = (row, group, column)
                rows.append(
                    (
                        f"{model}, {name}, {leverage:g}x",
                        "passes" if words[at] == PASSES else "fails",
                        "" if words[at] == PASSES else str(words[at]),
                        float(values["mean_forecast"][at]),
                        float(values["frequency"][at]),
                        float(values["frequency_bound"][at]),
                        f"{int(count[at])} of {values['expected'][at]:.1f}",
                        _p_value(values["count_p_value"][at]),
                        _score(brier.at(*at)),
                    )
                )
    return Content(
        lead=(
            f"Probability of being liquidated within {attribute(tree, 'liquidation_window')}, "
            f"forecast at {attribute(tree, 'liquidation_windows')} moments, of which "
            f"{attribute(tree, 'liquidation_windows_apart')} are so far apart that their windows "
            "do not overlap.",
        ),
        figures=(
            Drawing(
                "reliability",
                reliability_diagram(tree),
                "Forecasts of about the same probability against how many came true; intervals by "
                "a block bootstrap of the windows, no narrower than Wilson's of those apart.",
            ),
        ),
        tables=(
            Table(
                "Books of the templates",
                (
                    Column("Model, books, leverage"),
                    Column("Verdict", "verdict"),
                    Column("What is wrong"),
                    Column("Forecast", "probability"),
                    Column("Came true at closes", "probability"),
                    Column("at most, by highs and lows", "probability"),
                    Column("Liquidated, of windows apart"),
                    Column("p", "number"),
                    Column("Brier", "number"),
                ),
                tuple(rows),
            ),
        ),
        notes=(
            "A book is liquidated when its equity is below its maintenance margin at a close, "
            "under isolated margin when any leg is. Forecast and what came true look at closes "
            "only. Counts are tested against simulated test periods, which hold that books of one "
            "week fall together.",
        ),
    )


def _method(tree: xr.DataTree) -> Content:
    names = (
        "history",
        "history_sha256",
        "learned_from",
        "bar",
        "refit",
        "lookback",
        "paths",
        "seed",
        "precision",
    )
    return Content(
        lead=(
            "At every origin parameters are those of the last estimate; the volatility of garch "
            "and filtered-historical and the probabilities of regime are those of the origin.",
        ),
        items=tuple(f"{name.replace('_', ' ')}: {attribute(tree, name)}" for name in names),
    )


SECTIONS: tuple[Section, ...] = (
    Section("verdicts", "Verdicts", _always, _verdicts),
    Section("coverage", "Value at risk and expected shortfall", _always, _coverage),
    Section("joint-tails", "Joint tails", _several, _joint),
    Section("liquidations", "Liquidations", _always, _liquidations),
    Section("method", "How it was done", _always, _method),
)
