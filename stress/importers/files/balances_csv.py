"""Balances of accounts that were exported as CSV: what backs the positions of another export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Literal

from stress.errors import InputError
from stress.importers.files.numerals import decimal_mark, numeral
from stress.importers.files.sniffing import Sheet, counted, fields_of, label, read_sheet, shown
from stress.importers.statement import DOLLARS

__all__ = ["BALANCE_KINDS", "Balance", "read_balances"]

Kind = Literal["cash", "wallet", "equity"]

_FIELDS: Mapping[str, tuple[str, ...]] = {
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
    "currency": ("asset", "coin", "currency", "ccy", "token", "marginasset", "marginccy"),
    "cash": ("cash", "crosswalletbalance"),
    "wallet": ("walletbalance", "cashbalance", "cashbal", "balance", "marginstatic"),
    "equity": ("equity", "accountequity", "accountvalue", "marginbalance", "totalequity", "eq"),
}
"""Field to usual column names. ``cash`` is as in accounts.csv, without isolated margins; ``wallet``
with them and without profit; ``equity`` with both."""

BALANCE_KINDS: tuple[Kind, ...] = ("cash", "wallet", "equity")
"""The fields that are balances: the first that a file has is used."""

_WORDS = {
    "cash": "cash, without isolated margins and profit",
    "wallet": "wallet balance, isolated margins included and profit not",
    "equity": "equity, isolated margins and profit included",
}


@dataclass(frozen=True)
class Balance:
    """What an account has.

    Attributes
    ----------
    kind
        What ``dollars`` include.
    dollars
        USD, stable coins at par.
    coins
        Other coins, by name, in units.
    """

    kind: Kind
    dollars: float
    coins: Mapping[str, float] = field(default_factory=dict)


def read_balances(
    path: str | PathLike[str],
    accounts: Sequence[str],
    *,
    decimal: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> tuple[dict[str, Balance], tuple[str, ...]]:
    """Read balances: one row an account, or one row an account and currency.

    Parameters
    ----------
    path
        The file.
    accounts
        Those that have positions; a file without a column of accounts must belong to one.
    decimal
        Decimal mark, or None to see it.
    columns
        Field to column name, of which those of balances are used.

    Returns
    -------
    Balances by account, and what was understood.

    Raises
    ------
    MissingInputError
        The file is absent.
    InputError
        Something cannot be understood, or a balance is no dollars and not above 0.
    """
    sheet = read_sheet(path)
    fields = fields_of(sheet, _FIELDS, _own(columns or {}))
    kind = next((kind for kind in BALANCE_KINDS if kind in fields), None)
    if kind is None:
        rule = "no column is known as a balance"
        remedy = "name one with --column cash=NAME, wallet=NAME or equity=NAME"
        raise InputError(rule, file=sheet.file, key="header", remedy=remedy)
    mark = decimal_mark(sheet, [fields[kind]], decimal)
    found, currencies = _by_account(sheet, fields, kind, mark, accounts)
    rows = counted(len(sheet.rows), "row")
    notice = f"balances: {rows} read; {sheet.name(fields[kind])} is {_WORDS[kind]}"
    return found, (notice, *_stable(currencies))


def _by_account(
    sheet: Sheet, fields: Mapping[str, int], kind: Kind, mark: str, accounts: Sequence[str]
) -> tuple[dict[str, Balance], set[str]]:
    """Return the balances by account, and the currencies that they are in."""
    dollars: dict[str, float] = {}
    coins: dict[str, dict[str, float]] = {}
    seen: set[tuple[str, str]] = set()
    for row in range(len(sheet.rows)):
        name = _account(sheet, fields, row, accounts)
        currency = _currency(sheet, fields, row)
        if (name, currency) in seen:
            rule = f'"{shown(name)}" has a balance of {shown(currency)} above already'
            raise sheet.error(row, fields[kind], rule, "keep one row, or add them up")
        seen.add((name, currency))
        amount = _amount(sheet, fields[kind], row, mark)
        dollars.setdefault(name, 0.0)
        if currency in DOLLARS:
            dollars[name] += amount
        elif amount:
            _check_coin(sheet, fields, row, kind, amount)
            coins.setdefault(name, {})[currency] = amount
    found = {name: Balance(kind, value, coins.get(name, {})) for name, value in dollars.items()}
    return found, {currency for _, currency in seen}


def _own(columns: Mapping[str, str]) -> dict[str, str]:
    return {name: column for name, column in columns.items() if name in BALANCE_KINDS}


def _account(sheet: Sheet, fields: Mapping[str, int], row: int, accounts: Sequence[str]) -> str:
    if "account" not in fields:
        if len(accounts) == 1:
            return accounts[0]
        rule = f"has no column with the account, and the positions are of {len(accounts)}"
        raise InputError(rule, file=sheet.file, key="header", remedy="add a column account")
    text = sheet.rows[row][fields["account"]]
    try:
        return label(text)
    except ValueError:
        rule = f'"{shown(text)}" cannot be the name of an account'
        raise sheet.error(row, fields["account"], rule, "give the account a name") from None


def _currency(sheet: Sheet, fields: Mapping[str, int], row: int) -> str:
    if "currency" not in fields:
        return "USD"
    text = sheet.rows[row][fields["currency"]]
    try:
        name = label(text)
    except ValueError:
        rule = f'"{shown(text)}" is no currency'
        raise sheet.error(row, fields["currency"], rule, "give its name") from None
    return name.upper() if name.upper() in DOLLARS else name


def _amount(sheet: Sheet, index: int, row: int, mark: str) -> float:
    text = sheet.cell(row, index)
    try:
        found = numeral(text or "0", mark)
    except ValueError:
        rule = f'must be a number, got "{shown(text)}"'
        raise sheet.error(row, index, rule, "write a plain number such as 1234.5") from None
    if found.unit == "%":
        raise sheet.error(row, index, f'"{shown(text)}" is a percentage', "give the balance")
    return found.value


def _check_coin(
    sheet: Sheet, fields: Mapping[str, int], row: int, kind: Kind, amount: float
) -> None:
    if kind == "equity":
        rule = "a coin's equity can include profit of contracts that settle in it"
        raise sheet.error(row, fields[kind], rule, "give its wallet balance")
    if amount < 0:
        rule = f"a coin is owed, got {amount:g}; only dollars can be"
        raise sheet.error(row, fields[kind], rule, "add the debt to the dollars by hand")


def _stable(currencies: set[str]) -> tuple[str, ...]:
    names = sorted(name for name in currencies if name in DOLLARS and name != "USD")
    return (f"{', '.join(names)} counted as dollars at par",) if names else ()
