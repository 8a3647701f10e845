"""Names of contracts become names of assets: BTCUSDT, BTC-USDT-SWAP and BTC/USDT:USDT are BTC."""

from __future__ import annotations

import re

from stress.importers.files.sniffing import label
from stress.importers.statement import DOLLARS

__all__ = ["asset_of", "pair_of"]

_STABLE = tuple(name for name in DOLLARS if name != "USD")

_QUOTES = ("BTC", "ETH", "BNB", "EUR", "GBP", "TRY", "BRL", "JPY", "AUD", "KRW")
"""Quotes that are no dollars: a price or profit in them is of no use here."""

_MAJORS = ("BTC", "ETH", "BNB", "SOL", "XRP", "ADA", "DOGE", "LTC", "LINK", "AVAX", "DOT")

_PERPETUAL = re.compile(r"[-_ ]?(?:PERPETUAL|PERP|SWAP)\Z")
_EXPIRY = re.compile(r"[-_:]?(?:[0-9]{6,8}|[0-9]{1,2}[A-Z]{3}[0-9]{2,4})(?:-|\Z)")


def asset_of(symbol: str) -> str:
    """Return the asset of a linear perpetual's name, or the name itself where it names a coin.

    Raises
    ------
    ValueError
        Its text says why: an inverse or dated contract, a pair without a dollar, no name.
    """
    asset, quote = pair_of(symbol)
    if quote == "USD":
        raise ValueError(
            "can be an inverse contract, whose margin and profit are coins; if it is linear write"
            f" the coin alone, {asset}"
        )
    return asset


def pair_of(symbol: str) -> tuple[str, str]:
    """Return asset and quote of a contract's or pair's name; quote ``""`` where it names a coin.

    Raises
    ------
    ValueError
        Its text says why: a dated contract, a pair without a dollar, no name.
    """
    try:
        name = label(symbol)
    except ValueError:
        raise ValueError("is no name") from None
    upper = name.upper()
    stem = _PERPETUAL.sub("", upper) or upper
    if re.search("[-_/:]", upper) and _EXPIRY.search(stem):
        raise ValueError("is a dated contract; only perpetuals are read from files")
    base, separator, quote = _split(stem)
    if separator:
        if quote not in DOLLARS:
            raise ValueError(f"is not priced in dollars but in {quote}")
        return _known(base), quote
    for quote in _STABLE:
        if stem.endswith(quote) and len(stem) > len(quote):
            return _known(stem.removesuffix(quote)), quote
    if stem.endswith("USD") and (stem != upper or stem.removesuffix("USD") in _MAJORS):
        return _known(stem.removesuffix("USD")), "USD"
    for major in _MAJORS:
        quote = stem.removeprefix(major)
        if stem == major + quote and quote in _QUOTES:
            raise ValueError(f"is not priced in dollars but in {quote}")
    # files and columns are often called in small letters, coins never
    return (name if stem == upper and not name.islower() else _known(stem)), ""


def _split(stem: str) -> tuple[str, str, str]:
    """Split BASE-QUOTE, BASE/QUOTE and BASE/QUOTE:SETTLEMENT, which must settle in the quote."""
    match = re.fullmatch(r"([^-_/:]+)([-_/])([^-_/:]+)(?::([^-_/:]+))?", stem)
    if match is None and re.search(r"[-_/\s]", stem):
        raise ValueError("is no name of a coin, a pair or a perpetual; write the coin alone")
    if match is None:
        return stem, "", ""
    base, separator, quote, settlement = match.groups()
    if settlement is not None and settlement != quote:
        raise ValueError(f"settles in {settlement} and not in its quote")
    return base, separator, quote


def _known(base: str) -> str:
    if not base:
        raise ValueError("names no coin")
    return base
