"""The book from its tables: accounts, positions and optional coins, checked cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np

from stress.book.book import Book
from stress.data.tables import Table, as_list, as_strings, read_table
from stress.errors import ending
from stress.types import Floats, Integers

__all__ = ["read_book"]

_CONTROLS = ("reserve", "top_up_trigger", "top_up_target")

File = str | PathLike[str]


def read_book(
    accounts: File, positions: File, collateral: File | None, assets: Sequence[str]
) -> tuple[Book, tuple[str, ...]]:
    """Read a book.

    Parameters
    ----------
    accounts
        Table with ``account``, ``cash`` (USD behind the cross pool) [, ``group``, ``reserve``
        (USD), ``top_up_trigger``, ``top_up_target`` (margin ratios)].
    positions
        Table with ``account``, ``asset``, ``quantity`` (signed units), ``entry_price`` (USD per
        unit) [, ``margin`` (USD, makes the position isolated), ``leverage``, ``stop_price`` (USD
        per unit), ``position`` (label)].
    collateral
        Table with ``account``, ``asset``, ``quantity`` (units), or None.
    assets
        The market's assets, in order.

    Returns
    -------
    The book, and notices: sentences about what is allowed and worth knowing.

    Raises
    ------
    MissingInputError
        A table is absent.
    InputError
        A table or cell that cannot be used; the message names file, row and column.
    """
    account_table = read_table(accounts, ("account", "cash"), ("group", *_CONTROLS))
    position_table = read_table(
        positions,
        ("account", "asset", "quantity", "entry_price"),
        ("margin", "leverage", "stop_price", "position"),
    )
    labels = account_table.text("account")
    _check_unique(account_table, "account", labels)
    cash = account_table.numbers("cash")
    groups, account_group = account_table.numbered("group", default="all")
    entries = _positions(position_table, labels, assets)
    coins = _coins(collateral, labels, assets)
    book = Book(
        accounts=tuple(labels),
        cash=cash,
        groups=groups,
        account_group=account_group,
        **_controls(account_table),
        **entries,
        **coins,
    )
    _check_cash(account_table, book)
    return book, _notices(book)


def _controls(table: Table) -> dict[str, Any]:
    reserve, trigger, target = (table.numbers(column, optional=True) for column in _CONTROLS)
    table.check(
        "reserve",
        ~(reserve < 0),
        reserve,
        "must not be negative",
        "give what can be drawn in USD, or leave the cell empty",
    )
    _check_pairs(table, trigger, target)
    table.check(
        "top_up_trigger",
        ~(trigger <= 0),
        trigger,
        "must be above 0",
        "give the margin ratio of a top-up, such as 0.8, or leave the cell empty",
    )
    table.check(
        "top_up_target",
        ~(target <= 0),
        target,
        "must be above 0",
        "give the margin ratio after a top-up, such as 0.5, or leave the cell empty",
    )
    table.check(
        "top_up_target",
        ~(target >= trigger),
        target,
        "must be below top_up_trigger",
        "a top-up lowers the margin ratio: lower the target or raise the trigger",
    )
    return {
        "reserve": np.where(np.isnan(reserve), 0.0, reserve),
        "top_up_trigger": trigger,
        "top_up_target": target,
    }


def _check_pairs(table: Table, trigger: Floats, target: Floats) -> None:
    """Refuse a trigger without a target and the reverse."""
    pair = {"top_up_trigger": trigger, "top_up_target": target}
    for column, other in (("top_up_trigger", "top_up_target"), ("top_up_target", "top_up_trigger")):
        alone = np.flatnonzero(np.isnan(pair[column]) & ~np.isnan(pair[other]))
        if alone.size:
            row = int(alone[0])
            rule = f"the cell is empty, but {other} is {float(pair[other][row]):g}"
            raise table.error(row, column, rule, f"give both {column} and {other}, or neither")


def _positions(table: Table, accounts: Sequence[str], assets: Sequence[str]) -> dict[str, Any]:
    quantity, entry = table.numbers("quantity"), table.numbers("entry_price")
    margin = table.numbers("margin", optional=True)
    leverage = table.numbers("leverage", optional=True)
    stop = table.numbers("stop_price", optional=True)
    table.check(
        "quantity", quantity != 0, quantity, "must not be 0", "remove the row, or give the size"
    )
    table.check("entry_price", entry > 0, entry, "must be above 0", "give the price per unit")
    table.check(
        "margin",
        ~(margin < 0),
        margin,
        "must not be negative",
        "give the isolated margin, or leave the cell empty for cross",
    )
    table.check(
        "leverage",
        ~(leverage <= 0),
        leverage,
        "must be above 0",
        "give the leverage, or leave the cell empty",
    )
    table.check(
        "stop_price",
        ~(stop <= 0),
        stop,
        "must be above 0",
        "give the mark at which it is closed, or leave the cell empty",
    )
    account = table.places("account", accounts, "no such account in accounts")
    asset = table.places("asset", assets, "not an asset of the market")
    return {
        "positions": _position_labels(table, account, asset, assets),
        "position_account": account,
        "position_asset": asset,
        "quantity": quantity,
        "entry_price": entry,
        "margin": margin,
        "leverage": leverage,
        "stop_price": stop,
    }


def _position_labels(
    table: Table, account: Integers, asset: Integers, assets: Sequence[str]
) -> tuple[str, ...]:
    """Return the labels given, else "account/asset", made unique with "#2" and so on."""
    import pyarrow.compute

    names = table.strings("account"), table.strings("asset")
    plain = as_list(pyarrow.compute.binary_join_element_wise(*names, as_strings(["/"])[0]))
    pair = np.sort(account * len(assets) + asset)
    # "a/b" and "c" are written as "a" and "b/c" are
    unlike = (pair[1:] != pair[:-1]).all() and not any("/" in name for name in assets)
    if unlike and not table.has("position"):
        return tuple(plain)
    given = table.text("position", default="")
    _check_unique(table, "position", given)
    return tuple(_distinct(given, plain))


def _distinct(given: Sequence[str], plain: Sequence[str]) -> list[str]:
    """Return the labels given, the plain ones numbered where others have them."""
    taken = set(given)
    seen: dict[str, int] = {}
    labels = []
    for own, name in zip(given, plain, strict=True):
        label = own
        while not own and (not label or label in taken):
            seen[name] = seen.get(name, 0) + 1
            label = name if seen[name] == 1 else f"{name}#{seen[name]}"
        taken.add(label)
        labels.append(label)
    return labels


def _coins(file: File | None, accounts: Sequence[str], assets: Sequence[str]) -> dict[str, Any]:
    if file is None:
        none = np.zeros(0, dtype=np.int64)
        return {"coin_account": none, "coin_asset": none, "coin_quantity": np.zeros(0)}
    table = read_table(file, ("account", "asset", "quantity"))
    quantity = table.numbers("quantity")
    table.check("quantity", quantity > 0, quantity, "must be above 0", "remove the row")
    account = table.places("account", accounts, "no such account in accounts")
    asset = table.places("asset", assets, "not an asset of the market")
    pair = account * len(assets) + asset
    _, first, number = np.unique(pair, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[number] != np.arange(len(pair)))
    if again.size:
        row = int(again[0])
        rule = f'account "{accounts[account[row]]}" has coins of {assets[asset[row]]} above already'
        raise table.error(row, "asset", rule, "add the quantities up in one row")
    return {"coin_account": account, "coin_asset": asset, "coin_quantity": quantity}


def _check_unique(table: Table, column: str, labels: Sequence[str]) -> None:
    """Refuse a label that stands twice; empty ones are none."""
    given = [label for label in labels if label]
    if len(set(given)) == len(given):
        return
    first: dict[str, int] = {}
    for row, label in enumerate(labels):
        if label and first.setdefault(label, row) != row:
            rule = f'"{label}" stands in row {first[label] + 1} already'
            raise table.error(row, column, rule, f"give every {column} a name of its own")


def _check_cash(table: Table, book: Book) -> None:
    """Refuse debt that no cross position explains: such a pool could never be closed."""
    cross = book.position_account[np.isnan(book.margin)]
    has_cross = np.bincount(cross, minlength=len(book.accounts)) > 0
    table.check(
        "cash",
        (book.cash >= 0) | has_cross,
        book.cash,
        "must not be negative in an account without a cross position",
        "set it to 0 or more, or add the position",
    )


def _notices(book: Book) -> tuple[str, ...]:
    held = np.bincount(book.position_account, minlength=len(book.accounts))
    unbacked = ~np.isnan(book.top_up_trigger) & (book.reserve == 0)
    found = (
        (held == 0, "no position and cannot be liquidated"),
        (unbacked, "a top_up_trigger but no reserve to draw from"),
    )
    notices = []
    for which, what in found:
        names = [book.accounts[index] for index in np.flatnonzero(which)]
        if names:
            who = "1 account has" if len(names) == 1 else f"{len(names)} accounts have"
            notices.append(f"{who} {what}: {ending(names)}")
    return tuple(notices)
