"""Tables of a comparison of two runs: the report's first page and the comparison's own share them.

The two runs are called as the caller says: "Previous run" and "This run", or "A" and "B".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from stress.report.read import UNNAMED, Estimate
from stress.report.section import Cell, Column, Table
from stress.report.text import MISSING, Kind, Shown, count, joined, level_name, plural, shown
from stress.result.comparison import (
    AccountChange,
    AssetChange,
    BookChange,
    BookRow,
    Bounded,
    Change,
    Difference,
    LimitChange,
    Pairing,
    Tally,
    Unit,
)

__all__ = [
    "Names",
    "account_table",
    "asset_table",
    "book_sentence",
    "book_table",
    "change_table",
    "difference_label",
    "difference_table",
    "limit_table",
    "number_cell",
    "pairing_sentence",
    "signed_cell",
]

_KINDS: dict[Unit, Kind] = {
    "probability": "probability",
    "money": "money",
    "count": "ratio",
    "number": "ratio",
}


class Names(NamedTuple):
    """What the earlier and the later run are called."""

    one: str
    other: str


def number_cell(unit: Unit, number: Bounded) -> Shown:
    """Return a number of one run with its interval."""
    return shown(_KINDS[unit], Estimate(number.estimate, number.lower, number.upper))


def signed_cell(unit: Unit, change: Bounded) -> Shown:
    """Return a difference with its sign and interval: ``+0.3 points (0.1 to 0.5)``."""
    estimate = Estimate(change.estimate, change.lower, change.upper)
    if unit == "probability":
        return shown("difference", estimate)
    text = shown(_KINDS[unit], estimate)
    return replace(text, value=f"+{text.value}") if change.estimate > 0 else text


def difference_label(difference: Difference) -> str:
    """Return what a difference is of, with its level where it has one."""
    if np.isnan(difference.level):
        return difference.label
    return f"{difference.label}, {level_name(difference.level)}"


_DIFFERENCE = (Column("Difference", "number"), Column("In a word"))
"""Before the numbers of the two runs: a phone shows the first columns only."""


def _both(runs: Names) -> tuple[Column, ...]:
    return (Column(runs.one, "number"), Column(runs.other, "number"))


def difference_table(
    caption: str,
    differences: Sequence[Difference],
    runs: Names,
    *,
    heading: str = "What",
    narrower: bool = True,
) -> Table:
    """Return the table of some differences.

    Parameters
    ----------
    narrower
        Whether a column says how much the pairing of paths has narrowed each interval.
    """
    rows = [
        (
            difference_label(of),
            signed_cell(of.unit, of.change),
            of.verdict,
            number_cell(of.unit, of.one),
            number_cell(of.unit, of.other),
            *((_times(of.narrower),) if narrower else ()),
        )
        for of in differences
    ]
    columns = (
        Column(heading),
        *_DIFFERENCE,
        *_both(runs),
        *((Column("Narrower by pairing", "number"),) if narrower else ()),
    )
    return Table(caption, columns, tuple(rows))


def _times(ratio: float) -> Shown:
    if np.isnan(ratio):
        return Shown(MISSING, of=Estimate(ratio))
    text = f"{ratio:,.1f}" if ratio < 9.95 else f"{ratio:,.0f}"
    return Shown(f"{text} times", of=Estimate(ratio))


def change_table(caption: str, changes: Sequence[Change], runs: Names) -> Table:
    """Return the table of what is not the same in what was asked for."""
    rows = tuple((of.key, of.kind, of.one, of.other) for of in changes)
    return Table(caption, (Column("What"), Column("Kind"), *map(Column, runs)), rows)


def account_table(
    caption: str, accounts: Sequence[AccountChange], runs: Names, *, limits: bool
) -> Table:
    """Return the table of some accounts' liquidation probabilities.

    Parameters
    ----------
    limits
        Whether a column says who crossed the limit.
    """
    rows = []
    for of in accounts:
        cells: list[Cell] = [
            of.account,
            of.group or UNNAMED,
            signed_cell("probability", of.change),
            of.verdict,
            number_cell("probability", of.one),
            number_cell("probability", of.other),
        ]
        rows.append((*cells, *((_crossing(of),) if limits else ())))
    columns = (
        Column("Account"),
        Column("Group"),
        *_DIFFERENCE,
        *_both(runs),
        *((Column("Limit"),) if limits else ()),
    )
    return Table(caption, columns, tuple(rows))


def _crossing(of: AccountChange) -> str:
    if not of.crossed:
        return ""
    way = "now over" if of.crossed == "over" else "no longer over"
    return f"{way}, {'both sides resolved' if of.settled else 'not resolved'}"


def limit_table(caption: str, limits: Sequence[LimitChange], runs: Names) -> Table:
    """Return the table of the declared limits."""
    rows = tuple(
        (
            of.name,
            of.verdict_one,
            of.verdict_other,
            number_cell(of.unit, of.one),
            number_cell(of.unit, of.other),
            _thresholds(of),
            signed_cell(of.unit, of.change),
            of.verdict or "",
        )
        for of in limits
    )
    columns = (
        Column("Limit"),
        Column(runs.one),
        Column(runs.other),
        Column(f"Estimate, {runs.one}", "number"),
        Column(f"Estimate, {runs.other}", "number"),
        Column("Threshold"),
        Column("Difference", "number"),
        Column("In a word"),
    )
    return Table(caption, columns, rows)


def _thresholds(of: LimitChange) -> str:
    pair = [
        str(shown(_KINDS[of.unit], threshold))
        for threshold in (of.threshold_one, of.threshold_other)
    ]
    return pair[0] if pair[0] == pair[1] else f"{pair[0]}, then {pair[1]}"


def book_table(caption: str, rows: Sequence[BookRow], runs: Names) -> Table:
    """Return the table of accounts and positions that are not as they were."""
    cells = tuple(
        (of.label, of.kind, of.what, _held(of, of.one), _held(of, of.other), Estimate(of.size))
        for of in rows
    )
    columns = (
        Column("Account or position"),
        Column("Kind"),
        Column("What"),
        *_both(runs),
        Column("By", "money"),
    )
    return Table(caption, columns, cells)


def _held(of: BookRow, number: float) -> Shown:
    """Return equity in dollars, or a signed quantity as the position file writes it."""
    if of.kind == "account":
        return shown("money", number)
    text = MISSING if np.isnan(number) else f"{number:,.6g}".replace("-", "\u2212")
    return Shown(text, of=Estimate(number))


def asset_table(caption: str, assets: Sequence[AssetChange], runs: Names) -> Table:
    """Return the table of assets whose positions are not as they were."""
    rows: list[tuple[Cell, ...]] = [
        (of.asset, of.net_one, of.net_other, of.gross_one, of.gross_other) for of in assets
    ]
    columns = (
        Column("Asset"),
        *(Column(f"{what}, {run}", "money") for what in ("Net", "Gross") for run in runs),
    )
    return Table(caption, columns, tuple(rows))


def book_sentence(book: BookChange) -> str:
    """Return what became of the book, the earlier run's first."""
    parts = [
        f"{_tally(book.accounts, 'account', 'with another equity')}",
        f"{_tally(book.positions, 'position', 'of another size')}",
    ]
    money = [
        f"{what} {shown('money', before)}, then {shown('money', after)}"
        for what, before, after in (
            ("Equity", book.equity_one, book.equity_other),
            ("gross notional", book.gross_one, book.gross_other),
        )
    ]
    return f"{'; '.join(parts)}. {'; '.join(money)}."


def _tally(tally: Tally, one: str, changed: str) -> str:
    moved = [
        f"{count(number)} {what}"
        for number, what in (
            (tally.added, "added"),
            (tally.removed, "removed"),
            (tally.changed, changed),
        )
        if number
    ]
    of = f"{plural(tally.one, one)}, then {count(tally.other)}"
    if tally.one == tally.other:
        of = plural(tally.one, one)
    return f"{of}: {joined(moved)}" if moved else f"{of} as before"


_SHARED = {
    "everything": "Nothing differs that decides what becomes of a path",
    "prices": "Prices without impact are the same on every path",
    "random numbers": "The random numbers of every path are the same, prices are not",
    "seed": "The seed is the same, what is drawn from it is not",
    "nothing": "The two runs share no random numbers",
}


def pairing_sentence(pairing: Pairing) -> str:
    """Return how differences were worked out, and why so."""
    why = f" ({joined(list(pairing.because))})" if pairing.because else ""
    sure = level_name(pairing.confidence)
    how = {
        "paired": "differences are taken path by path, over the first "
        f"{plural(pairing.paths, 'path')} of both",
        "independent": "differences are those of two independent estimates",
        "either": "differences allow for any correlation of the two estimates",
    }[pairing.how]
    return f"{_SHARED[pairing.shared]}{why}: {how}. Intervals at {sure}."
