"""What an exchange says of one account, in its own terms: wallets, and the contracts on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

from stress.errors import InputError

__all__ = ["DOLLARS", "Holding", "Statement", "Wallet", "amount", "asset_of", "holding_of"]

DOLLARS = ("USD", "USDT", "USDC", "FDUSD", "BUSD")
"""Currencies that count as one dollar each."""


@dataclass(frozen=True)
class Holding:
    """One open contract.

    Attributes
    ----------
    symbol
        As ccxt writes it, such as "BTC/USDT:USDT", or the exchange's own name if ccxt does not
        know the contract.
    base, quote, settle
        What is traded, what its price is in, what margin and profit are in; "" if unknown.
    contracts
        How many, above 0 long and below 0 short.
    contract_size
        Of one contract: coins, or units of the quote if it is inverse.
    entry_price
        Mean price of entry, in the quote.
    kind
        "linear", "inverse" or "" for anything else.
    margin
        What is put behind it alone, in ``settle``, without its profit; None: cross.
    leverage
        As set at the exchange, or None.
    expiry
        Day on which it is delivered, such as "2026-12-25"; "" for a perpetual.
    unfit
        Why the exchange's reply is not enough to hold it in a book; "" if it is.
    """

    symbol: str
    base: str
    quote: str
    settle: str
    contracts: float
    contract_size: float
    entry_price: float
    kind: str
    margin: float | None = None
    leverage: float | None = None
    expiry: str = ""
    unfit: str = ""


@dataclass(frozen=True)
class Wallet:
    """Balances, and the contracts that they back.

    Attributes
    ----------
    balances
        By currency, without unrealised profit and without what backs isolated positions; below 0
        is debt.
    pooled
        Whether every balance backs every cross position, or each currency only those that settle
        in it.
    """

    balances: Mapping[str, float]
    holdings: tuple[Holding, ...]
    pooled: bool


@dataclass(frozen=True)
class Statement:
    """The wallets of one account, and sentences about what they do not say."""

    wallets: tuple[Wallet, ...]
    notices: tuple[str, ...] = ()


def amount(row: Mapping[str, Any], key: str) -> float:
    """Return a number that an exchange writes as text; an empty one is 0.

    Raises
    ------
    InputError
        The reply has no such field or no number in it: a balance must not be guessed.
    """
    try:
        number = float(row[key] or 0.0)
    except (KeyError, TypeError, ValueError):
        number = nan
    if not isfinite(number):
        raise InputError(f'the reply has no number "{key}"', remedy="try a newer ccxt")
    return number


def asset_of(market: Mapping[str, Any]) -> str:
    """Return the asset of a ccxt market as the exchange writes it; ccxt makes kPEPE KPEPE."""
    return str(market.get("baseName") or market.get("base") or "")


def holding_of(
    position: Mapping[str, Any],
    market: Mapping[str, Any] | None,
    size: float,
    margin: float | None = None,
    unfit: str = "",
) -> Holding | None:
    """Return a position as ccxt gives it as a holding; None if nothing is open.

    Parameters
    ----------
    position
        A ccxt position: ``contracts`` are counted without a sign, ``side`` is "long" or "short".
    market
        The ccxt market of its symbol, or None if there is none.
    size
        The exchange's own number: ccxt reads an absent one as nothing held.
    margin, unfit
        As in ``Holding``: each exchange says them in another place.
    """
    if size == 0:
        return None
    contracts = position["contracts"]
    if not contracts or position["side"] not in ("long", "short"):
        rule = f"the reply does not say how much of {position['symbol']} is held, long or short"
        raise InputError(rule, remedy="try a newer ccxt")
    market = market or {}
    return Holding(
        symbol=position["symbol"],
        base=asset_of(market),
        quote=market.get("quote") or "",
        settle=market.get("settle") or "",
        contracts=-contracts if position["side"] == "short" else contracts,
        contract_size=float(market.get("contractSize") or 1.0),
        entry_price=float(position["entryPrice"] or 0.0),
        kind=_kind(market),
        margin=margin,
        leverage=position.get("leverage") or None,
        expiry=str(market.get("expiryDatetime") or "")[:10],
        unfit=unfit,
    )


def _kind(market: Mapping[str, Any]) -> str:
    # by what it settles in: ccxt's own flags are unset where a reply says less than usual
    settle = market.get("settle")
    if not settle or not (market.get("swap") or market.get("future")):
        return ""
    return "inverse" if settle == market["base"] else "linear"
