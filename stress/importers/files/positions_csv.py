"""Positions that were exported as CSV: from Binance, OKX, Bybit, HTX, or with usual column names.

Exports differ in names and habits and change without notice, so no exchange has its own parser.
Columns are known by their usual names (``position_table``), and what a name leaves open, contracts
or coins, margin with or without profit, is checked against the other columns of the row
(``position_rows``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from math import fsum
from os import PathLike

from stress.errors import InputError, ending
from stress.importers.files.balances_csv import Balance, read_balances
from stress.importers.files.moments import read_moments
from stress.importers.files.position_rows import Leg, leg_of, side_of
from stress.importers.files.position_table import PositionTable, Stated, read_position_table
from stress.importers.files.sniffing import counted, shown
from stress.importers.rows import AccountRow, CollateralRow, ImportedBook, PositionRow

__all__ = ["read_positions"]


def read_positions(path: str | PathLike[str], stated: Stated) -> ImportedBook:
    """Read a table of open positions, one row each.

    Needed are the contract, the size and the entry price. The sign of the size or a column with
    the side says long or short; both directions of one contract (hedge mode) stay two positions.
    Rows of size 0 are left out. Cash comes from ``stated.cash`` or ``stated.balances``.

    Parameters
    ----------
    path
        The file; see ``sniffing.read_sheet`` for what it may be.
    stated
        What the file itself does not say.

    Raises
    ------
    MissingInputError
        A file is absent.
    InputError
        Something cannot be understood: the message names file, row and column, and the way out.
    """
    table = read_position_table(path, stated)
    sheet = table.sheet
    legs = [leg for row in range(len(sheet.rows)) if (leg := leg_of(table, row)) is not None]
    if not legs:
        rule = "holds no open position"
        raise InputError(rule, file=sheet.file, remedy="there is nothing to stress")
    as_of, time_notices = _as_of(table)
    accounts, collateral, cash_notices = _accounts(table, legs)
    owner = f"account {accounts[0].account}" if len(accounts) == 1 else "accounts"
    return ImportedBook(
        accounts=accounts,
        positions=_labelled([leg.row for leg in legs]),
        collateral=collateral,
        as_of=as_of,
        source=f"{owner} by the file {shown(sheet.file.name)}",
        notices=(*_notices(table, legs), *time_notices, *cash_notices),
    )


def _as_of(table: PositionTable) -> tuple[datetime, tuple[str, ...]]:
    if table.stated.as_of is not None:
        return table.stated.as_of, ()
    if "as_of" not in table.fields:
        rule = "does not say of when the positions are"
        remedy = "add --as-of with the moment of the export, such as 2026-11-22T01:00:00Z"
        raise InputError(rule, file=table.sheet.file, remedy=remedy)
    index = table.fields["as_of"]
    moments = read_moments(table.sheet, index, None, table.stated.date_order)
    other = next((row for row, at in enumerate(moments.values) if at != moments.values[0]), None)
    if other is not None:
        rule = f"is of {moments.values[other]}, row 1 of {moments.values[0]}"
        raise table.error(other, "as_of", rule, "keep the rows of one moment, or say --as-of")
    return moments.values[0], moments.notices


def _accounts(
    table: PositionTable, legs: Sequence[Leg]
) -> tuple[tuple[AccountRow, ...], tuple[CollateralRow, ...], tuple[str, ...]]:
    """Return the accounts with their cash, their coins, and what was taken for granted."""
    stated = table.stated
    names = list(dict.fromkeys(leg.row.account for leg in legs))
    balances: Mapping[str, Balance] = {}
    notices: tuple[str, ...] = ()
    if stated.balances is not None:
        balances, notices = read_balances(
            stated.balances, names, decimal=stated.decimal, columns=stated.columns
        )
    given = _given_cash(stated.cash, [*names, *(set(balances) - set(names))])
    rows, coins = [], []
    for name in dict.fromkeys((*names, *balances)):
        own = [leg for leg in legs if leg.row.account == name]
        if name in given:
            rows.append(AccountRow(name, given[name]))
        elif name in balances:
            rows.append(AccountRow(name, _cash(table, name, balances[name], own)))
        else:
            rows.append(AccountRow(name, _no_cash(table, name, own)))
            notices += (f"{shown(name)}: cash 0, as each of its positions has a margin of its own",)
        held = balances[name].coins if name in balances else {}
        coins += [CollateralRow(name, asset, quantity) for asset, quantity in held.items()]
    return tuple(rows), tuple(coins), notices


def _given_cash(cash: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """Return the cash of ``--cash``; a number without a name is that of the only account."""
    given = {}
    for name, value in cash.items():
        if name == "" and len(names) != 1:
            rule = f"the file has {len(names)} accounts: {ending([shown(n) for n in names])}"
            raise InputError(rule, key="--cash", remedy="write --cash ACCOUNT=USD for each")
        if name and name not in names:
            rule = f'the file has no account "{shown(name)}"'
            remedy = "its accounts: " + ending([shown(n) for n in names])
            raise InputError(rule, key="--cash", remedy=remedy)
        given[name or names[0]] = value
    return given


def _cash(table: PositionTable, name: str, balance: Balance, legs: Sequence[Leg]) -> float:
    """Return an account's cash: its balance without isolated margins, and without profit."""
    cash = balance.dollars
    if balance.kind != "cash":
        cash -= fsum(leg.row.margin or 0.0 for leg in legs)
    if balance.kind == "equity":
        for leg in legs:
            if leg.profit is None:
                rule = f"the equity of {shown(name)} includes a profit that the file does not say"
                remedy = "add a column with the mark price, or give balances without profit"
                raise table.error(leg.place, "symbol", rule, remedy)
            cash -= leg.profit
    return cash


def _no_cash(table: PositionTable, name: str, legs: Sequence[Leg]) -> float:
    cross = next((leg for leg in legs if leg.row.margin is None), None)
    if cross is None:
        return 0.0
    rule = f"nothing says what cash backs the cross positions of {shown(name)}"
    remedy = "add --cash USD (or ACCOUNT=USD), or --balances FILE"
    raise table.error(cross.place, "symbol", rule, remedy)


def _labelled(rows: Sequence[PositionRow]) -> tuple[PositionRow, ...]:
    """Label the two directions of one contract; anything else is numbered by the reader."""
    plain = Counter((row.account, row.asset) for row in rows)
    sided = Counter((row.account, row.asset, row.quantity > 0) for row in rows)
    return tuple(
        replace(
            row, position=f"{row.account}/{row.asset} {'long' if row.quantity > 0 else 'short'}"
        )
        if plain[row.account, row.asset] == 2
        and sided[row.account, row.asset, row.quantity > 0] == 1
        else row
        for row in rows
    )


def _notices(table: PositionTable, legs: Sequence[Leg]) -> tuple[str, ...]:
    sheet = table.sheet
    rows, left = len(sheet.rows), len(sheet.rows) - len(legs)
    used = [f"{shown(sheet.header[index])} as {name}" for name, index in table.fields.items()]
    unused = [shown(n) for i, n in enumerate(sheet.header) if i not in table.fields.values()]
    found = [f"{counted(rows, 'row')} read; columns used: {', '.join(used)}"]
    if unused:
        found.append(f"columns not used: {ending(unused, 12)}")
    asked = [symbol for symbol in table.stated.without if symbol in _symbols(table)]
    if asked:
        found.append(f"left out as asked: {ending([shown(symbol) for symbol in asked])}")
    if left:
        which = "of size 0 or left out as asked" if asked else "of size 0 left out"
        found.append(f"rows {which}: {left:,}")
    if table.decimal == ",":
        found.append("numbers read with a decimal comma")
    return (*found, *_taken(table, legs))


def _symbols(table: PositionTable) -> set[str]:
    return set(table.sheet.column(table.fields["symbol"]))


def _taken(table: PositionTable, legs: Sequence[Leg]) -> tuple[str, ...]:
    """Return what was taken for granted about sides and modes."""
    found = []
    sided = any(side_of(table, leg.place) for leg in legs)
    if not sided and all(leg.row.quantity > 0 for leg in legs):
        found.append("no side is said and no size is negative: every position is long")
    if "margin_mode" not in table.fields and table.stated.margin_mode is None:
        found.append("no column says cross or isolated: every position is cross")
    pairs: dict[tuple[str, str], set[bool]] = {}
    for leg in legs:
        key = (leg.row.account, leg.row.asset)
        pairs.setdefault(key, set()).add(leg.row.quantity > 0)
    if hedged := [asset for (_, asset), sides in pairs.items() if len(sides) == 2]:
        found.append(f"both directions are held of {ending(hedged)}; they stay two positions")
    return tuple(found)
