"""Which contract of an exchange stands for an asset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stress.data.tables import suggestion
from stress.errors import InputError
from stress.importers.exchange import Connection
from stress.importers.statement import DOLLARS, asset_of

__all__ = ["contracts_of"]

_QUOTES = ("USDT", "USDC", *DOLLARS)
"""In this order: where an exchange has two, the first has by far the larger volume."""


def contracts_of(connection: Connection, assets: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the linear perpetual of each asset, as ccxt gives markets.

    Raises
    ------
    InputError
        The exchange has none of an asset; the message names the nearest that it has.
    """
    by_base: dict[str, list[Mapping[str, Any]]] = {}
    for market in connection.markets.values():
        if market["swap"] and market["quote"] in DOLLARS and market["settle"] in DOLLARS:
            by_base.setdefault(asset_of(market), []).append(market)
    for asset in assets:
        if asset not in by_base:
            rule = f"{connection.name} has no linear perpetual of {asset}"
            raise InputError(rule, key="--assets", remedy=suggestion(asset, list(by_base)))
    return [min(by_base[asset], key=_rank) for asset in assets]


def _rank(market: Mapping[str, Any]) -> tuple[bool, int]:
    return market["active"] is False, _QUOTES.index(market["settle"])
