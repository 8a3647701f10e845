"""Hyperliquid: an account is an address, margin is USDC, and what it holds is public.

Fields: hyperliquid.gitbook.io, info endpoint, clearinghouseState and meta; margin tiers page. A
maintenance rate is half of the initial margin rate at the tier's highest leverage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

from stress.errors import InputError
from stress.importers.exchange import Connection
from stress.importers.statement import Holding, Statement, Wallet, amount, holding_of
from stress.importers.venue import Ladder, Rung, Venue

__all__ = ["VENUE"]

_UNIFIED = ("unifiedAccount", "portfolioMargin")
"""States of an account whose spot balances back its contracts."""

_SPOT = "balances of the spot market and contracts of other deployers are not read"


def _statement(connection: Connection) -> Statement:
    user = connection.wallet
    # a reply that is no object reaches us as it is written, in quotes
    state = str(connection.ask("publicPostInfo", {"type": "userAbstraction", "user": user}))
    state = state.strip('"')
    if state in _UNIFIED:
        rule = f"this account is a {state}: spot balances back its contracts, and they are not read"
        remedy = "import an account that keeps spot and contracts apart"
        raise InputError(rule, key="hyperliquid", remedy=remedy)
    reply = connection.ask("publicPostInfo", {"type": "clearinghouseState", "user": user})
    held = [_holding(connection, raw) for raw in reply["assetPositions"]]
    holdings = tuple(holding for holding in held if holding is not None)
    # what was paid for the positions is back in it; equity at the mark is then the venue's own,
    # however it rounded the entry prices
    paid = sum(h.contracts * h.entry_price for h in holdings if h.margin is None)
    cash = amount(reply["crossMarginSummary"], "totalRawUsd") + paid
    return Statement((Wallet({"USDC": cash}, holdings, pooled=True),), (_SPOT,))


def _holding(connection: Connection, raw: Mapping[str, Any]) -> Holding | None:
    position = connection.parsed_position(raw)
    market = connection.markets.get(position["symbol"])
    holding = holding_of(position, market, amount(raw["position"], "szi"))
    if holding is None or position["marginMode"] != "isolated":
        return holding
    margin = amount(raw["position"]["leverage"], "rawUsd") + holding.contracts * holding.entry_price
    return replace(holding, margin=margin)


def _ladders(
    connection: Connection, markets: Sequence[Mapping[str, Any]]
) -> tuple[tuple[Ladder, ...], tuple[str, ...]]:
    meta = connection.ask("publicPostInfo", {"type": "meta"})
    tables = {int(number): table["marginTiers"] for number, table in meta["marginTables"]}
    contracts = {contract["name"]: contract for contract in meta["universe"]}
    ladders = [_ladder(contracts[market["baseName"]], tables) for market in markets]
    return tuple(ladders), ()


def _ladder(
    contract: Mapping[str, Any], tables: Mapping[int, Sequence[Mapping[str, Any]]]
) -> Ladder:
    # a contract without a table of its own has one leverage for all sizes
    one = [{"lowerBound": "0", "maxLeverage": contract["maxLeverage"]}]
    tiers = tables.get(int(contract.get("marginTableId") or 0), one)
    floors = [float(tier["lowerBound"]) for tier in tiers]
    rates = [1.0 / (2.0 * float(tier["maxLeverage"])) for tier in tiers]
    caps = [*floors[1:], inf]
    return Ladder(tuple(map(Rung, floors, caps, rates)))


VENUE = Venue(
    name="hyperliquid",
    client="hyperliquid",
    options={"fetchMarkets": {"types": ["swap"]}},
    needed=("wallet",),
    statement=_statement,
    ladders=_ladders,
    bars=500,
)
