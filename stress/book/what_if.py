"""Books that differ from one that was loaded: resized, without some accounts, many times over."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np

from stress.book.book import Book
from stress.types import Array, Floats, Integers

__all__ = ["copies", "only_accounts", "resized"]


def resized(book: Book, factor: Floats, cash_factor: Floats | None = None) -> Book:
    """Return the book with other quantities at the same entry prices.

    Parameters
    ----------
    factor
        (positions,) what each quantity is multiplied with; isolated margins stay.
    cash_factor
        (accounts,) what cash, reserve, coins and the margins of isolated positions are multiplied
        with; they stay without it.
    """
    book = replace(book, quantity=book.quantity * factor)
    if cash_factor is None:
        return book
    return replace(
        book,
        cash=book.cash * cash_factor,
        reserve=book.reserve * cash_factor,
        margin=book.margin * cash_factor[book.position_account],
        coin_quantity=book.coin_quantity * cash_factor[book.coin_account],
    )


def only_accounts(book: Book, kept: Array) -> Book:
    """Return the book of some accounts, in file order; groups keep their numbers.

    Parameters
    ----------
    kept
        (accounts,) whether each stays.
    """
    return copies(book, np.flatnonzero(kept))


def copies(book: Book, account: Integers) -> Book:
    """Return a book of the given accounts, in the order given, each as often as it stands there.

    Positions and coins follow their account in file order. The second copy of an account, and of
    its positions, has the label of the first with " ~2" behind it, and so on.

    Parameters
    ----------
    account
        (new accounts,) indices of accounts of ``book``.
    """
    position, position_account = _rows_of(book.position_account, account, len(book.accounts))
    coin, coin_account = _rows_of(book.coin_account, account, len(book.accounts))
    return Book(
        accounts=_distinct([book.accounts[one] for one in account]),
        cash=book.cash[account],
        groups=book.groups,
        account_group=book.account_group[account],
        reserve=book.reserve[account],
        top_up_trigger=book.top_up_trigger[account],
        top_up_target=book.top_up_target[account],
        positions=_distinct([book.positions[one] for one in position]),
        position_account=position_account,
        position_asset=book.position_asset[position],
        quantity=book.quantity[position],
        entry_price=book.entry_price[position],
        margin=book.margin[position],
        leverage=book.leverage[position],
        stop_price=book.stop_price[position],
        coin_account=coin_account,
        coin_asset=book.coin_asset[coin],
        coin_quantity=book.coin_quantity[coin],
    )


def _rows_of(owner: Integers, account: Integers, accounts: int) -> tuple[Integers, Integers]:
    """Return the rows that belong to each given account, one after the other, and new owners."""
    order = np.argsort(owner, kind="stable")
    counts = np.bincount(owner, minlength=accounts)
    first = np.cumsum(counts) - counts
    size = counts[account]
    new_owner = np.repeat(np.arange(len(account)), size)
    within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
    return order[np.repeat(first[account], size) + within], new_owner


def _distinct(labels: list[str]) -> tuple[str, ...]:
    taken = set(labels)
    seen: set[str] = set()
    distinct = []
    for label in labels:
        name = label
        if name in seen:
            name = next(
                other for number in count(2) if (other := f"{label} ~{number}") not in taken
            )
            taken.add(name)
        seen.add(name)
        distinct.append(name)
    return tuple(distinct)
