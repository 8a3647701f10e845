"""An exchange's statement of an account becomes rows of the book's tables.

An inverse contract pays coins, and coins are worth what the mark says. So many contracts of so many
USD entered at ``e`` gain ``USD (1/e - 1/m)`` coins at a mark ``m``, which are worth
``USD/e (m - e)``: exactly what ``USD/e`` coins of a linear contract gain. It is held as that, with
its margin coins as collateral.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from stress.errors import InputError, ending
from stress.importers.rows import AccountRow, CollateralRow, PositionRow
from stress.importers.statement import DOLLARS, Holding, Statement, Wallet

__all__ = ["Choice", "Rows", "rows_of"]

_MAIN = "USDT"
"""The currency whose pool has the account's own name where pools are apart."""

_OTHER = {"long": "short", "short": "long"}

_MULTIPLE = re.compile(r"(?:10{3,}|1M|k)(?=[A-Z]{3})")
"""How venues name a unit of many coins: 1000PEPE, 1MBABYDOGE, kPEPE. "1000X" is a coin."""


@dataclass(frozen=True)
class Choice:
    """What of an account is wanted.

    Attributes
    ----------
    assets
        Names of the market's assets: coins of other assets are left out, positions in them are
        refused. None: all.
    without
        Symbols of contracts that are left out.
    """

    assets: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rows:
    """Rows of one account, which may be several where its currencies do not back each other."""

    accounts: tuple[AccountRow, ...]
    positions: tuple[PositionRow, ...]
    collateral: tuple[CollateralRow, ...]
    notices: tuple[str, ...]


@dataclass(frozen=True)
class _Pool:
    """Balances that back each other and the holdings on them."""

    account: str
    balances: dict[str, float]
    holdings: tuple[Holding, ...]


def rows_of(account: str, statement: Statement, choice: Choice) -> Rows:
    """Return the rows of an account.

    Parameters
    ----------
    account
        Its label. Where currencies do not back each other, the pool of USDT has this label, and
        that of another currency has it too with the currency behind it.

    Raises
    ------
    InputError
        A position that no table can hold, or debt in coins; the message names all such positions.
    """
    kept, notices = _kept(account, statement, choice)
    _refuse_unfit(account, [holding for wallet in kept for holding in wallet.holdings], choice)
    pools = [pool for wallet in kept for pool in _pools(account, wallet, notices)]
    collateral = [row for pool in pools for row in _coins(pool, choice, notices)]
    positions = _labelled([(pool.account, holding) for pool in pools for holding in pool.holdings])
    notices += _words(account, pools)
    return Rows(
        tuple(AccountRow(pool.account, _cash(pool)) for pool in pools),
        tuple(positions),
        tuple(collateral),
        tuple(notices),
    )


def _kept(account: str, statement: Statement, choice: Choice) -> tuple[list[Wallet], list[str]]:
    notices = [f"{account}: {notice}" for notice in statement.notices]
    held = {holding.symbol for wallet in statement.wallets for holding in wallet.holdings}
    left = [symbol for symbol in choice.without if symbol in held]
    if left:
        notices.append(f"{account}: left out as asked: {ending(left)}")
    wallets = [
        replace(wallet, holdings=tuple(h for h in wallet.holdings if h.symbol not in left))
        for wallet in statement.wallets
    ]
    return wallets, notices


def _refuse_unfit(account: str, holdings: Iterable[Holding], choice: Choice) -> None:
    unfit = {holding.symbol: why for holding in holdings if (why := _unfit(holding, choice))}
    if unfit:
        rule = ending([f"{symbol} {why}" for symbol, why in unfit.items()])
        remedy = "leave out with " + " ".join(f'--without "{symbol}"' for symbol in unfit)
        raise InputError(rule, key=account, remedy=remedy)


def _unfit(holding: Holding, choice: Choice) -> str:
    """Return why a holding cannot be a row; "" if it can."""
    if holding.unfit:
        return holding.unfit
    if not holding.kind:
        return "is neither a perpetual nor a dated future in USD or its own coin"
    if holding.quote not in DOLLARS:
        return f"is priced in {holding.quote}"
    if holding.kind == "linear" and holding.settle not in DOLLARS:
        return f"settles in {holding.settle}"
    if holding.kind == "inverse" and holding.margin is not None:
        return "is isolated with a margin in coins, whose worth in USD moves"
    if holding.margin is not None and holding.margin < 0:
        return f"has an isolated margin of {holding.margin:g}"
    if not holding.entry_price > 0:
        return f"has an entry price of {holding.entry_price:g}"
    if choice.assets is not None and holding.base not in choice.assets:
        return f"is of {holding.base}, which --assets does not name"
    return ""


def _pools(account: str, wallet: Wallet, notices: list[str]) -> list[_Pool]:
    """Split a wallet into what backs each other; balances that back nothing are left out."""
    balances = {currency: amount for currency, amount in wallet.balances.items() if amount}
    if not wallet.holdings:
        if balances:
            backing = "back no position and are left out"
            notices.append(f"{account}: balances of {ending(sorted(balances))} {backing}")
        return []
    if wallet.pooled:
        return [_Pool(account, balances, wallet.holdings)]
    settled = {holding.settle for holding in wallet.holdings}
    idle = [currency for currency in sorted(balances) if currency not in settled]
    if idle:
        reason = "back no position in this mode of the account and are left out"
        notices.append(f"{account}: balances of {ending(idle)} {reason}")
    return [
        _Pool(
            account if currency == _MAIN else f"{account} {currency}",
            {currency: balances.get(currency, 0.0)},
            tuple(holding for holding in wallet.holdings if holding.settle == currency),
        )
        for currency in sorted(settled, key=lambda name: (name != _MAIN, name))
    ]


def _cash(pool: _Pool) -> float:
    return sum(amount for currency, amount in pool.balances.items() if currency in DOLLARS)


def _coins(pool: _Pool, choice: Choice, notices: list[str]) -> list[CollateralRow]:
    coins = {name: amount for name, amount in pool.balances.items() if name not in DOLLARS}
    owed = [f"{-amount:g} {name}" for name, amount in coins.items() if amount < 0]
    if owed:
        remedy = "repay it first: a book holds coins, and debt in USD only"
        raise InputError(f"owes {ending(owed)}", key=pool.account, remedy=remedy)
    strange = sorted(name for name in coins if choice.assets and name not in choice.assets)
    if strange:
        reason = "is not collateral here: --assets does not name it"
        notices += [f"{pool.account}: {coins[name]:g} {name} {reason}" for name in strange]
    return [
        CollateralRow(pool.account, name, amount)
        for name, amount in sorted(coins.items())
        if name not in strange
    ]


def _labelled(held: Sequence[tuple[str, Holding]]) -> list[PositionRow]:
    """Return the rows; those of one account and asset are told apart by a label."""
    plain = Counter((account, holding.base) for account, holding in held)
    sided = Counter((account, holding.base, _side(holding)) for account, holding in held)
    rows = []
    for account, holding in held:
        label = None
        if plain[account, holding.base] > 1:
            alone = sided[account, holding.base, _side(holding)] == 1
            name = holding.base if alone else holding.symbol
            # cross and isolated positions of one contract and side can stand side by side
            mode = "" if alone or holding.margin is None else " isolated"
            label = f"{account}/{name} {_side(holding)}{mode}"
        rows.append(_row(account, holding, label))
    return rows


def _row(account: str, holding: Holding, label: str | None) -> PositionRow:
    units = holding.contracts * holding.contract_size
    return PositionRow(
        account=account,
        asset=holding.base,
        quantity=units / holding.entry_price if holding.kind == "inverse" else units,
        entry_price=holding.entry_price,
        margin=holding.margin,
        leverage=holding.leverage,
        position=label,
    )


def _side(holding: Holding) -> str:
    return "long" if holding.contracts > 0 else "short"


def _words(account: str, pools: Sequence[_Pool]) -> list[str]:
    """Return what a reader should know about how the rows stand for the contracts."""
    holdings = [holding for pool in pools for holding in pool.holdings]
    dollars = sorted(
        {name for pool in pools for name in pool.balances if name in DOLLARS and name != "USD"}
        | {holding.settle for holding in holdings if holding.kind == "linear"}
    )
    inverse = [holding.symbol for holding in holdings if holding.kind == "inverse"]
    dated = [f"{holding.symbol} ({holding.expiry})" for holding in holdings if holding.expiry]
    sides = {(pool.account, h.base, _side(h)) for pool in pools for h in pool.holdings}
    both = sorted({base for owner, base, side in sides if (owner, base, _OTHER[side]) in sides})
    multiples = sorted({h.base for h in holdings if _MULTIPLE.match(h.base)})
    names = [pool.account for pool in pools if pool.account != account]
    found = (
        (dollars, "counted as one USD each"),
        (names, "apart: their currencies do not back each other"),
        (
            inverse,
            "inverse, held as their worth in coins at entry with margin coins as collateral: the"
            " same gains, but maintenance margin on those coins at the mark, not on a fixed sum",
        ),
        (dated, "delivered on that day, held as the asset itself: the basis does not move"),
        (both, "held long and short, kept as two positions"),
        (multiples, "the venue's unit of many coins: quantities and prices are of that unit"),
    )
    return [f"{account}: {ending(items)}: {what}" for items, what in found if items]
