"""HTX: USDT-margined contracts, read through the venue's fifth interface.

Fields: htx.com/en-us/opend, account balance, positions, tiered adjustment factors. A currency's
equity holds the unrealised profit of cross positions. The older interfaces, which said what backs
each isolated position, ended on 13 July 2026.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stress.importers.exchange import Connection
from stress.importers.statement import Holding, Statement, Wallet, amount, holding_of
from stress.importers.venue import Ladder, Venue, rung_of

__all__ = ["VENUE"]

_COIN_MARGINED = "is coin-margined, which is not read from HTX"
_ISOLATED = "is isolated, and HTX does not say what backs it and what backs the rest"


def _statement(connection: Connection) -> Statement:
    positions = connection.ask("fetch_positions", None, {"subType": "linear"})
    balance = connection.ask("fetch_balance", {"type": "swap", "subType": "linear"})
    balances = {
        str(row["currency"]): amount(row, "equity") - amount(row, "profit_unreal")
        for row in balance["info"]["data"]["details"]
    }
    linear = _held(
        _holding(connection, position, _ISOLATED if position["marginMode"] == "isolated" else "")
        for position in positions
    )
    inverse = _held(
        _holding(connection, position, _COIN_MARGINED)
        for kind in ("swap", "future")
        for position in connection.ask(
            "fetch_positions", None, {"subType": "inverse", "type": kind}
        )
    )
    several = [name for name, value in balances.items() if value]
    notices = (
        ("all currencies of the account are taken to back its contracts",)
        if len(several) > 1
        else ()
    )
    return Statement((Wallet(balances, (*linear, *inverse), pooled=True),), notices)


def _holding(connection: Connection, position: Mapping[str, Any], unfit: str) -> Holding | None:
    size = amount(position["info"], "volume")
    return holding_of(position, connection.markets.get(position["symbol"]), size, unfit=unfit)


def _held(holdings: Iterable[Holding | None]) -> tuple[Holding, ...]:
    return tuple(holding for holding in holdings if holding is not None)


def _ladders(
    connection: Connection, markets: Sequence[Mapping[str, Any]]
) -> tuple[tuple[Ladder, ...], tuple[str, ...]]:
    read = "contractPublicGetLinearSwapApiV1SwapCrossAdjustfactor"
    ladders = []
    notices = []
    for market in markets:
        symbol = market["symbol"]
        tables = connection.ask(read, {"contract_code": market["id"]})["data"]
        tiers = connection.parsed_tiers(tables, [symbol], "contract_code").get(symbol, [])
        price = float(connection.ask("fetch_ticker", symbol)["last"])
        leverage = _strictest(tiers)
        worth = float(market["contractSize"]) * price
        rungs = [rung_of(tier, worth) for tier in tiers if tier["maxLeverage"] == leverage]
        # sizes are whole contracts: one tier ends where the next begins
        rungs = [replace(rung, cap=rung.cap + worth) for rung in rungs]
        ladders.append(Ladder(tuple(rungs), whole=True))
        notices.append(
            f"{market['base']}: rates depend on the leverage that an account chose; these are of"
            f" leverage {leverage:g}, which asks for most; contracts are converted at {price:g} USD"
        )
    return tuple(ladders), tuple(notices)


def _strictest(tiers: Sequence[Mapping[str, Any]]) -> float:
    """Return the leverage whose first rate is the highest; 0 where there are no tiers."""
    first = [tier for tier in tiers if tier["minNotional"] == 0]
    if not first:
        return 0.0
    return float(max(first, key=lambda tier: rung_of(tier).rate)["maxLeverage"])


VENUE = Venue(
    name="htx",
    client="htx",
    options={
        "defaultType": "swap",
        "defaultSubType": "linear",
        "fetchMarkets": {"types": {"spot": False, "linear": True, "inverse": True}},
    },
    needed=("key", "secret"),
    statement=_statement,
    ladders=_ladders,
    bars=2000,
    bars_limit=False,
    volume_share=0.5,
)
