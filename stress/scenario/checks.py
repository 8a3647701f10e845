"""Rules between keys, and between the scenario and its book."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import floor
from os import PathLike

import numpy as np

from stress.book.book import Book
from stress.data.tables import suggestion
from stress.errors import InputError, ending
from stress.scenario.durations import duration_seconds
from stress.scenario.schema import Calibration, MarginLevel, Market, Scenario, Venue
from stress.types import Floats

__all__ = ["check_book", "check_calibration", "check_known", "check_scenario", "steps"]

_SLACK = 1e-9
"""What the printing of a matrix in a file may cost an entry."""

_LEAST_EIGENVALUE = -1e-8
"""What it may cost the least eigenvalue: entries off by 1e-9 in a matrix of some ten assets."""

_MOST_STEPS = 10_000_000
"""A century of five-minute steps: more is a slip of the unit."""

File = str | PathLike[str] | None


def steps(scenario: Scenario) -> int:
    """Return the number of steps of the horizon.

    Raises
    ------
    InputError
        It is not whole, or beyond ten million.
    """
    simulation = scenario.simulation
    horizon, step = duration_seconds(simulation.horizon), duration_seconds(simulation.step)
    count = horizon / step
    if count > _MOST_STEPS:
        raise InputError(
            f"a horizon must have at most {_MOST_STEPS:,} steps, got more",
            file=scenario.source,
            key="simulation.step",
            remedy="lengthen the step or shorten the horizon",
        )
    if count.denominator == 1:
        return int(count)
    whole = max(1, round(count)) * step
    raise InputError(
        f'step "{simulation.step}" must divide horizon "{simulation.horizon}", '
        f"which is {float(count):.6g} steps",
        file=scenario.source,
        key="simulation.step",
        remedy=f"change one of them, for instance to a horizon of {_seconds_text(whole)}",
    )


def _seconds_text(seconds: object) -> str:
    return f'"{float(seconds):.12g}s"'  # type: ignore[arg-type]


def check_known(market: Market, venue: Venue, file: File) -> None:
    """Refuse a table that names an asset the market does not have."""
    tables = {
        "market.price": market.price,
        "market.volatility": market.volatility,
        "market.drift": market.drift,
        "venue.haircut": venue.haircut,
        "venue.tiers": [asset for asset in venue.tiers if asset != "default"],
    }
    for key, names in tables.items():
        _check_names(names, market.assets, file, key)


def _check_names(names: Iterable[str], assets: Sequence[str], file: File, key: str) -> None:
    for name in names:
        if name not in assets:
            hint = suggestion(name, assets)
            remedy = f"{hint} (or add it to the assets)"
            raise InputError("unknown asset", file=file, key=f"{key}.{name}", remedy=remedy)


def check_calibration(calibration: Calibration, file: File) -> None:
    """Refuse a calibration that names an unknown asset or whose correlation is none."""
    for key in ("price", "volatility", "drift"):
        _check_names(getattr(calibration, key), calibration.assets, file, key)
    if calibration.correlation:
        _check_correlation(calibration.correlation, calibration.assets, file, "correlation")


def check_scenario(scenario: Scenario) -> None:
    """Check a scenario whose calibration is merged.

    Raises
    ------
    InputError
        The horizon is not a whole number of steps, a price, volatility or the correlation is
        missing, the correlation is none, a world is compared with itself, or a liquidation would
        come before its margin call.
    """
    steps(scenario)
    market = scenario.market
    for key in ("price", "volatility"):
        _check_complete(scenario, key, getattr(market, key))
    if not market.correlation:
        raise InputError(
            "is missing",
            file=scenario.source,
            key="market.correlation",
            remedy="give the correlation of all assets, or a market.calibration that has them all",
        )
    _check_correlation(market.correlation, market.assets, scenario.source, "market.correlation")
    _check_worlds(scenario)
    _check_warning(scenario)


def _check_complete(scenario: Scenario, key: str, given: dict[str, float]) -> None:
    absent = [asset for asset in scenario.market.assets if asset not in given]
    if absent:
        raise InputError(
            f"no {key} of {ending(absent)}",
            file=scenario.source,
            key=f"market.{key}",
            remedy=f"add {absent[0]} to market.{key}, or name a market.calibration that has it",
        )


def _check_worlds(scenario: Scenario) -> None:
    if scenario.book.mode in scenario.book.compare:
        raise InputError(
            f'"{scenario.book.mode}" is the main world already (book.mode)',
            file=scenario.source,
            key="book.compare",
            remedy=f'remove "{scenario.book.mode}" from book.compare',
        )


def _check_warning(scenario: Scenario) -> None:
    venue = scenario.venue
    if isinstance(venue.trigger, MarginLevel):
        rates = {"venue.trigger.margin_level": venue.trigger.margin_level}
    else:
        rates = {f"venue.tiers.{asset}": table[-1].rate for asset, table in venue.tiers.items()}
    for key, rate in rates.items():
        if rate >= venue.warning:
            raise InputError(
                f"{rate:g} must be below venue.warning, {venue.warning:g}: a margin call comes "
                "before a liquidation",
                file=scenario.source,
                key=key,
                remedy="lower it or raise venue.warning",
            )


def _check_correlation(
    rows: Sequence[Sequence[float]], assets: Sequence[str], file: File, key: str
) -> None:
    size = len(assets)
    lengths = [len(row) for row in rows]
    if lengths != [size] * size:
        wrong = next((length for length in lengths if length != size), size)
        rule = f"must be {size} x {size}, got {len(rows)} rows, one of them {wrong} long"
        remedy = "give one row and one column an asset, in the order of assets"
        raise InputError(rule, file=file, key=key, remedy=remedy)
    matrix = np.array(rows, dtype=np.float64)
    _check_entries(matrix, assets, file, key)
    _check_semidefinite(matrix, file, key)


def _check_entries(matrix: Floats, assets: Sequence[str], file: File, key: str) -> None:
    faults = (
        (abs(matrix) > 1 + _SLACK, "must be from -1 to 1", "correct the entry"),
        (
            (abs(matrix - 1) > _SLACK) & np.eye(len(matrix), dtype=bool),
            "must be 1 on the diagonal",
            "set it to 1.0",
        ),
        (
            abs(matrix - matrix.T) > _SLACK,
            "must be symmetric",
            "make both entries of the pair equal",
        ),
    )
    for wrong, rule, remedy in faults:
        if wrong.any():
            i, j = (int(index) for index in np.argwhere(wrong)[0])
            got = f"got {matrix[i, j]:g} for {assets[i]} and {assets[j]}"
            if rule == "must be symmetric":
                got += f", {matrix[j, i]:g} for {assets[j]} and {assets[i]}"
            place = f"{key}[{i}][{j}]"
            raise InputError(f"{rule}, {got}", file=file, key=place, remedy=remedy)


def _check_semidefinite(matrix: Floats, file: File, key: str) -> None:
    least = float(np.linalg.eigvalsh(matrix)[0])
    if least >= _LEAST_EIGENVALUE:
        return
    # off-diagonals times s is s C + (1 - s) I with least eigenvalue 1 - s (1 - least): s at which
    # it is 0, rounded down so that the printed factor is enough
    factor = floor(1e4 / (1 - least)) / 1e4
    raise InputError(
        f"must be positive semi-definite, its least eigenvalue is {least:.6g}",
        file=file,
        key=key,
        remedy=f"multiply the off-diagonal entries by at most {factor:g}",
    )


def check_book(scenario: Scenario, book: Book) -> None:
    """Check what the scenario says about the book that it names.

    Raises
    ------
    InputError
        A limit of a group that the book does not have, or a position in an asset without tiers.
    """
    for group in scenario.limits.max_group_any_liquidation_probability:
        if group not in book.groups:
            raise InputError(
                "no account of the book is in this group",
                file=scenario.source,
                key=f"limits.max_group_any_liquidation_probability.{group}",
                remedy=suggestion(group, book.groups),
            )
    tiers = scenario.venue.tiers
    if isinstance(scenario.venue.trigger, MarginLevel) or "default" in tiers:
        return
    held = [scenario.market.assets[index] for index in np.unique(book.position_asset)]
    absent = [asset for asset in held if asset not in tiers]
    if absent:
        raise InputError(
            f"no tiers for {ending(absent)}, in which there are positions",
            file=scenario.source,
            key="venue.tiers",
            remedy=f"add {absent[0]} = [ {{ floor = 0, rate = 0.02 }} ], or the same for default",
        )
