"""What the parameters' own error does to the numbers, beside the error of finitely many paths."""

from __future__ import annotations

import xarray as xr

from stress.report import figures
from stress.report.read import (
    Array,
    Estimate,
    attribute,
    dataset,
    estimates,
    has,
    labels,
    largest,
    numbers,
)
from stress.report.section import Cell, Column, Content, Drawing, Section, Table
from stress.report.text import Kind, level_name, plural, shown

__all__ = ["SECTION"]

_MOST = 30

_BOOK: tuple[tuple[str, Kind, str], ...] = (
    ("Liquidation probability, mean over accounts", "probability", "liquidation_probability"),
    ("At least one liquidation", "probability", "any_liquidation_probability"),
    ("Expected total loss", "money", "expected_total_loss"),
    ("Total loss, value at risk", "money", "total_loss_value_at_risk"),
)


def _applies(tree: xr.DataTree) -> bool:
    return has(tree, "book", "liquidation_probability_calibration_interval")


def _cells(data: xr.Dataset, name: str, kind: Kind, place: tuple[int, ...]) -> tuple[Cell, ...]:
    """Return a number with its sampling, its calibration and its combined interval."""
    sampling = estimates(data, name).at(*place)
    return (
        shown(kind, sampling),
        *(
            shown(kind, Estimate(sampling.value, *bounds[place].tolist()))
            for bounds in (_bounds(data, name, "calibration"), _bounds(data, name, "combined"))
        ),
    )


def _bounds(data: xr.Dataset, name: str, error: str) -> Array:
    return numbers(data, f"{name}_{error}_interval")


def _book(tree: xr.DataTree) -> Table:
    book = dataset(tree, "book")
    rows: list[tuple[Cell, ...]] = []
    for title, kind, name in _BOOK:
        place: tuple[int, ...] = ()
        if "level" in book[name].dims:
            last = int(numbers(book, "level").argmax())
            title = f"{title}, {level_name(float(numbers(book, 'level')[last]))}"
            place = (last,)
        rows.append((title, *_cells(book, name, kind, place)))
    return Table("The book", _columns("Number"), tuple(rows))


def _columns(first: str) -> tuple[Column, ...]:
    errors = ("Sampling error", "Calibration error", "Both")
    # the cells are written already: numbers of several kinds stand in a column
    return (Column(first), *(Column(title, "number") for title in errors))


def _accounts(tree: xr.DataTree) -> Table:
    data = dataset(tree, "accounts")
    name = "liquidation_probability"
    order = largest(estimates(data, name).value, _MOST)
    names = labels(data, "account")
    rows = tuple(
        (names[account], *_cells(data, name, "probability", (account,)))
        for account in order.tolist()
    )
    riskiest = f"The {_MOST} riskiest accounts" if len(names) > _MOST else "Accounts"
    return Table(f"{riskiest}, probability of liquidation", _columns("Account"), rows)


def _wider(tree: xr.DataTree) -> str:
    """Say how the two errors of the mean liquidation probability compare."""
    book, name = dataset(tree, "book"), "liquidation_probability"
    sampling = estimates(book, name).at()
    low, high = _bounds(book, name, "calibration")
    ratio = (high - low) / max(sampling.upper - sampling.lower, 1e-300)
    if ratio < 1:
        return "The paths are the larger error of the mean liquidation probability: more help."
    return (
        f"The parameters move the mean liquidation probability {shown('ratio', ratio)} times as "
        "far as the paths do: a longer or closer history helps, more paths do not."
    )


def _content(tree: xr.DataTree) -> Content:
    draws = plural(attribute(tree, "calibration_draws"), "draw")
    by_account = has(tree, "accounts", "liquidation_probability_calibration_interval")
    sure = level_name(float(attribute(tree, "confidence", "nan")))
    return Content(
        lead=(
            "How far other parameters, as likely as those estimated, would move the numbers.",
            _wider(tree),
        ),
        figures=(
            Drawing(
                "calibration-uncertainty",
                figures.calibration_uncertainty(tree),
                f"The {_MOST} riskiest accounts at most, riskiest on top: {sure} intervals of "
                "sampling and of calibration error.",
            ),
        )
        if by_account
        else (),
        tables=(_book(tree), *((_accounts(tree),) if by_account else ())),
        notes=(
            f"Calibration error: {draws} of the market's parameters from their standard errors, or "
            "of the history's rows where a model draws from it, each run on the same normals; "
            f"shown is the interval that holds {sure} of their estimates. The number itself is "
            "that of the parameters as estimated. It is the error given the model: that the model "
            "is wrong is in neither interval.",
            "Both: the two half-widths as the sides of a right angle, on each side of the number.",
        ),
    )


SECTION = Section("calibration-uncertainty", "Calibration error", _applies, _content)
