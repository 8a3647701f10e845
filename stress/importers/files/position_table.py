"""Which column of an export holds what of a position, and what the user says because none does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from os import PathLike
from typing import Literal

from stress.errors import InputError
from stress.importers.files.balances_csv import BALANCE_KINDS
from stress.importers.files.numerals import Numeral, decimal_mark, numeral
from stress.importers.files.sniffing import Sheet, fields_of, read_sheet, shown, squeezed
from stress.importers.statement import DOLLARS

__all__ = ["FIELDS", "PositionTable", "Stated", "read_position_table"]

FIELDS: Mapping[str, tuple[str, ...]] = {
    "account": (
        "account",
        "accountname",
        "accountid",
        "subaccount",
        "subaccountname",
        "user",
        "uid",
        "address",
        "wallet",
    ),
    "symbol": (
        # before "symbol", which can be the coin alone beside one of these
        "instid",
        "contractcode",
        "instrumentid",
        "instrumentname",
        "instrument",
        "contractname",
        "contract",
        "symbol",
        "market",
        "pair",
        "futures",
        "ticker",
        "asset",
        "coin",
        "underlying",
    ),
    "quantity": (
        "quantity",
        "qty",
        "positionquantity",
        "positionqty",
        "positionamt",
        "positionamount",
        "positionsize",
        "size",
        "amount",
        "szi",
    ),
    "contracts": ("contracts", "numberofcontracts", "pos", "volume"),
    "side": ("side", "positionside", "posside", "direction", "longshort", "buysell"),
    "entry_price": (
        "entryprice",
        "entrypx",
        "avgentryprice",
        "averageentryprice",
        "avgprice",
        "avgpx",
        "averageprice",
        "avgopenprice",
        "averageopenprice",
        "openaverageprice",
        "avgopen",
        "costopen",
        "openprice",
        "entry",
    ),
    "mark_price": ("markprice", "markpx", "mark", "lastprice", "currentprice"),
    "value": ("positionvalue", "notional", "notionalvalue", "notionalusd", "notionalusdt", "value"),
    "profit": (
        "unrealizedpnl",
        "unrealisedpnl",
        "unrealizedprofit",
        "unrealisedprofit",
        "unrealizedpl",
        "unrealisedpl",
        "upl",
        "upnl",
        "floatingpnl",
        "profitunreal",
    ),
    "margin_mode": ("marginmode", "margintype", "mgnmode", "trademode"),
    "margin": ("isolatedwallet", "marginstatic", "positionbalance", "margin"),
    "margin_with_profit": ("isolatedmargin", "marginused", "marginbalance"),
    "leverage": ("leverage", "lever", "leverrate", "leveragesetting", "leveragex"),
    "contract_size": ("contractsize", "ctval", "contractmultiplier", "multiplier", "facevalue"),
    "settle": ("marginasset", "settlecoin", "settle", "settlementcurrency", "marginccy", "ccy"),
    "as_of": ("asof", "snapshot", "snapshottime", "exporttime", "exportedat"),
}
"""Field to the names under which exchanges and people export it, squeezed, the best first."""

_NUMBERS = (
    "quantity",
    "contracts",
    "entry_price",
    "mark_price",
    "value",
    "profit",
    "margin",
    "margin_with_profit",
    "leverage",
    "contract_size",
)

_CLOSED = ("closedvol", "avgcloseprice", "closingpnl", "avgexitprice", "exitprice")
"""Columns of what was once open: a history of positions is no book."""


@dataclass(frozen=True)
class Stated:
    """What the user says of a file, because the file does not.

    Attributes
    ----------
    account
        Label of the account where the file has no column of it; None takes the file's name.
    as_of
        Moment of the book; wins over a column.
    margin_mode
        Mode of every position where the file has no column of it.
    cash
        USD by account, as in ``AccountRow``.
    balances
        File of the accounts' balances.
    contract_size
        Coins in a contract, by asset or by symbol as written.
    decimal, date_order
        How the file writes numbers and dates.
    columns
        Field to column name.
    without
        Symbols, as written in the file, whose positions are left out.
    """

    account: str | None = None
    as_of: datetime | None = None
    margin_mode: Literal["cross", "isolated"] | None = None
    cash: Mapping[str, float] = field(default_factory=dict)
    balances: str | PathLike[str] | None = None
    contract_size: Mapping[str, float] = field(default_factory=dict)
    decimal: Literal[".", ","] | None = None
    date_order: Literal["DMY", "MDY"] | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class PositionTable:
    """The table, which column is which field, and how it writes numbers."""

    sheet: Sheet
    fields: Mapping[str, int]
    decimal: str
    stated: Stated

    def text(self, row: int, name: str) -> str:
        """Return a cell, "" where it is empty or there is no such column."""
        if name not in self.fields:
            return ""
        return self.sheet.cell(row, self.fields[name])

    def numeral(self, row: int, name: str) -> Numeral | None:
        """Return a cell as a number, None where there is nothing."""
        text = self.text(row, name)
        if not text:
            return None
        try:
            found = numeral(text, self.decimal)
        except ValueError:
            rule = f'must be a number, got "{shown(text)}"'
            remedy = "write a plain number such as 1234.5, or say --decimal"
            raise self.error(row, name, rule, remedy) from None
        if found.unit == "%":
            rule = f'"{shown(text)}" is a percentage'
            remedy = f"name the right column with --column {name}=NAME"
            raise self.error(row, name, rule, remedy)
        return found

    def dollars(self, row: int, name: str) -> float | None:
        """Return a cell as a number of dollars, None where there is nothing."""
        found = self.numeral(row, name)
        if found is None:
            return None
        if found.unit and found.unit.upper() not in DOLLARS:
            rule = f'"{shown(self.text(row, name))}" is not in dollars'
            raise self.error(row, name, rule, "only linear contracts are simulated")
        return found.value

    def error(self, row: int, name: str, rule: str, remedy: str) -> InputError:
        """Return an error at a cell."""
        return self.sheet.error(row, self.fields[name], rule, remedy)


def read_position_table(path: str | PathLike[str], stated: Stated) -> PositionTable:
    """Read a table of open positions, and say which column is which.

    Raises
    ------
    MissingInputError
        The file is absent.
    InputError
        It is no table, a history of closed positions, or lacks a column that is needed.
    """
    sheet = read_sheet(path)
    _refuse_history(sheet)
    fields = _fields(sheet, stated)
    numbers = [fields[name] for name in _NUMBERS if name in fields]
    return PositionTable(sheet, fields, decimal_mark(sheet, numbers, stated.decimal), stated)


def _refuse_history(sheet: Sheet) -> None:
    for name in sheet.header:
        if squeezed(name) in _CLOSED:
            rule = f'column "{shown(name)}" belongs to a history of closed positions'
            remedy = "export the open positions"
            raise InputError(rule, file=sheet.file, key="header", remedy=remedy)


def _fields(sheet: Sheet, stated: Stated) -> dict[str, int]:
    """Return which column is which field, and refuse a table that lacks what is needed."""
    own = {name: column for name, column in stated.columns.items() if name not in BALANCE_KINDS}
    fields = fields_of(sheet, FIELDS, own)
    fields = _contracts_or_symbol(sheet, fields)
    if "quantity" in fields and "contracts" in fields and "contracts" not in stated.columns:
        # coins say more than contracts
        del fields["contracts"]
    for needed in ("symbol", "entry_price"):
        if needed not in fields:
            raise _missing(sheet, needed)
    if "quantity" not in fields and "contracts" not in fields:
        raise _missing(sheet, "quantity")
    return fields


def _contracts_or_symbol(sheet: Sheet, fields: dict[str, int]) -> dict[str, int]:
    """Bybit calls the column with the contracts' names "Contracts"; others count them in it."""
    index = fields.get("contracts")
    if index is None or "symbol" in fields or squeezed(sheet.header[index]) != "contracts":
        return fields
    if any(cell[:1].isalpha() for cell in sheet.column(index)):
        return {**{k: v for k, v in fields.items() if k != "contracts"}, "symbol": index}
    return fields


def _missing(sheet: Sheet, name: str) -> InputError:
    names = ", ".join(shown(column) for column in sheet.header[:12])
    rule = f"no column is known as the {name} of a position; the file has: {names}"
    remedy = f"name the column with --column {name}=NAME"
    return InputError(rule, file=sheet.file, key="header", remedy=remedy)
