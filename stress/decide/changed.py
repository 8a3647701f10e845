"""Books as they would be after trades at the starting marks, and how risky each looks at a glance.

A trade at the mark changes no equity: what is sold realises its profit, what is bought averages the
entry price. So an account keeps its equity at any size, and its effective leverage is proportional
to the size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import ndtr, ndtri

from stress.book.book import Book
from stress.book.display import pool_margins
from stress.book.pools import Pools, account_pools
from stress.book.setting import Setting
from stress.margin import unrealised_profit
from stress.types import Array, Floats, Integers, Mode

__all__ = [
    "as_world",
    "fresh_book",
    "joined",
    "looks",
    "net_exposure",
    "one_sided",
    "traded",
    "with_cash",
    "with_positions",
]


def traded(book: Book, price: Floats, factor: Floats) -> Book:
    """Return the book after trades at the marks that multiply each quantity.

    A position that shrinks realises the profit of what is sold, into its isolated margin or the
    cash of its account; one that grows averages its entry price. A factor of 1 changes no digit.

    Parameters
    ----------
    price
        (assets,) marks, USD.
    factor
        (positions,) at least 0.
    """
    mark = price[book.position_asset]
    profit = unrealised_profit(book.quantity, book.entry_price, mark)
    realised = np.where(factor < 1, (1 - factor) * profit, 0.0)
    averaged = mark + (book.entry_price - mark) / np.maximum(factor, 1.0)
    crossed = np.isnan(book.margin)
    to_cash = np.where(crossed, realised, 0.0)
    return replace(
        book,
        quantity=book.quantity * factor,
        entry_price=np.where(factor > 1, averaged, book.entry_price),
        cash=book.cash + np.bincount(book.position_account, to_cash, len(book.accounts)),
        margin=book.margin + realised,
    )


def with_cash(book: Book, more: Floats) -> Book:
    """Return the book with (accounts,) more cash, USD."""
    return replace(book, cash=book.cash + more)


def with_positions(book: Book, account: Integers, asset: Integers, price: Floats) -> Book:
    """Return the book with further cross positions of quantity 0, entered at the marks.

    Parameters
    ----------
    account, asset
        (new positions,) indices. They stand behind all others, so an account's positions are not
        together any more: no engine minds.
    price
        (assets,) marks, USD.
    """
    count = len(account)
    taken, labels = set(book.positions), []
    for number in range(len(book.positions), len(book.positions) + count):
        label = f"new {number}"
        while label in taken:
            label += "+"
        labels.append(label)
    nothing, unknown = np.zeros(count), np.full(count, np.nan)
    return replace(
        book,
        positions=(*book.positions, *labels),
        position_account=np.concatenate([book.position_account, account]),
        position_asset=np.concatenate([book.position_asset, asset]),
        quantity=np.concatenate([book.quantity, nothing]),
        entry_price=np.concatenate([book.entry_price, price[asset]]),
        margin=np.concatenate([book.margin, unknown]),
        leverage=np.concatenate([book.leverage, unknown]),
        stop_price=np.concatenate([book.stop_price, unknown]),
    )


def fresh_book(
    names: Sequence[str],
    cash: Floats,
    owner: Sequence[int] | Integers,
    asset: Sequence[int] | Integers,
    quantity: Sequence[float] | Floats,
    setting: Setting,
) -> Book:
    """Return a book of accounts that enter positions at the starting marks.

    Parameters
    ----------
    names, cash
        (accounts,) labels; USD.
    owner, asset, quantity
        (positions,) index of the account, index of the asset, signed units.
    """
    held = np.array(asset, np.int64)
    accounts, positions = len(names), len(held)
    unknown, without = np.full(accounts, np.nan), np.full(positions, np.nan)
    nothing = np.zeros(0, np.int64)
    return Book(
        accounts=tuple(names),
        cash=cash,
        groups=("fresh",),
        account_group=np.zeros(accounts, np.int64),
        reserve=np.zeros(accounts),
        top_up_trigger=unknown,
        top_up_target=unknown,
        positions=tuple(f"{names[number]}/{row}" for row, number in enumerate(owner)),
        position_account=np.array(owner, np.int64),
        position_asset=held,
        quantity=np.array(quantity, float),
        entry_price=setting.price[held],
        margin=without,
        leverage=without,
        stop_price=without,
        coin_account=nothing,
        coin_asset=nothing,
        coin_quantity=np.zeros(0),
    )


def joined(book: Book, other: Book) -> Book:
    """Return both books as one; the groups of the other are further groups, labels may repeat."""

    def both(name: str) -> Array:
        return np.concatenate([getattr(book, name), getattr(other, name)])

    accounts, groups = len(book.accounts), len(book.groups)
    plain = ("cash", "reserve", "top_up_trigger", "top_up_target", "position_asset", "quantity")
    rest = ("entry_price", "margin", "leverage", "stop_price", "coin_asset", "coin_quantity")
    owners = ("position_account", "coin_account")
    return Book(
        accounts=book.accounts + other.accounts,
        groups=book.groups + other.groups,
        positions=book.positions + other.positions,
        account_group=np.concatenate([book.account_group, other.account_group + groups]),
        **{name: both(name) for name in plain + rest},
        **{
            name: np.concatenate([getattr(book, name), getattr(other, name) + accounts])
            for name in owners
        },
    )


def as_world(book: Book, setting: Setting, mode: Mode) -> Book:
    """Return the book which, as booked, is the given world: its margins and coins written down."""
    if mode == "as-booked":
        return book
    pools = account_pools(book, mode, setting.price, setting.haircut)
    cash = pools.cash[pools.is_cross]
    if mode == "cross":
        return replace(book, cash=cash, margin=np.full_like(book.margin, np.nan))
    alone = pools.pool_of_position
    nothing = np.zeros(0, np.int64)
    return replace(
        book,
        cash=cash,
        margin=np.where(alone >= 0, pools.cash[alone], np.nan),
        quantity=np.where(alone >= 0, book.quantity, 0.0),
        coin_account=nothing,
        coin_asset=nothing,
        coin_quantity=np.zeros(0),
    )


def net_exposure(book: Book, pools: Pools, setting: Setting) -> Floats:
    """Return (pools, assets) net value that moves with each asset, coins after haircut, USD."""
    assets, count = len(setting.assets), len(pools.cash)
    value = book.quantity * setting.price[book.position_asset]
    coins = book.coin_quantity * (setting.price * (1 - setting.haircut))[book.coin_asset]
    net = np.zeros((count, assets))
    held, kept = pools.pool_of_position >= 0, pools.pool_of_coin >= 0
    np.add.at(net, (pools.pool_of_position[held], book.position_asset[held]), value[held])
    np.add.at(net, (pools.pool_of_coin[kept], book.coin_asset[kept]), coins[kept])
    return net


def looks(book: Book, setting: Setting, mode: Mode) -> Floats:
    """Return (accounts,) about how probable a liquidation is: a first guess, never an answer.

    The excess of a pool is taken for a Brownian motion with the variance that it has at the start,
    which touches 0 with probability ``2 Phi(-excess / deviation)``; an account's pools are added up
    as if they never fell together.
    """
    pools = account_pools(book, mode, setting.price, setting.haircut)
    at = pool_margins(book, pools, setting, setting.price)
    net = net_exposure(book, pools, setting)
    scale = setting.volatility * np.sqrt(setting.horizon_years)
    covariance = setting.correlation * np.outer(scale, scale)
    deviation = np.sqrt(np.maximum(np.einsum("pa,ab,pb->p", net, covariance, net), 0.0))
    excess = at.equity - at.required
    # nothing moves it: liquidated now, or never
    distance = np.where(deviation > 0, excess / np.where(deviation > 0, deviation, 1.0), np.inf)
    distance = np.where(excess < 0, 0.0, np.where(at.notional > 0, distance, np.inf))
    touched = np.bincount(pools.account, 2 * ndtr(-distance), len(book.accounts))
    return np.minimum(touched, 1.0)


def one_sided(probability: Floats) -> Floats:
    """Return the normal quantile of half a probability: nearly linear in one over the size."""
    quantile: Floats = ndtri(np.clip(probability, 1e-12, 1.0) / 2)
    return quantile
