"""OKX: one account whose mode says which currencies back each other; sizes are in contracts.

Fields: okx.com/docs-v5, account configuration, balance, positions and position tiers. The cash
balance leaves out unrealised profit and isolated margins; a position's margin leaves out profit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stress.importers.exchange import Connection
from stress.importers.statement import DOLLARS, Holding, Statement, Wallet, amount, holding_of
from stress.importers.venue import Ladder, Venue, rung_of

__all__ = ["VENUE"]

_POOLED = ("3", "4")
"""Account levels multi-currency and portfolio margin; 1 is spot, 2 single-currency."""

_PORTFOLIO = "4"


def _statement(connection: Connection) -> Statement:
    level = str(connection.ask("privateGetAccountConfig")["data"][0]["acctLv"])
    positions = connection.ask("fetch_positions")
    details = connection.ask("fetch_balance")["info"]["data"][0]["details"]
    holdings = [_holding(connection, position) for position in positions]
    idle = [str(row["ccy"]) for row in details if level in _POOLED and _switched_off(row)]
    notices = [f"{name} is switched off as collateral and is left out" for name in idle]
    if level == _PORTFOLIO:
        notices.append(
            "portfolio margin: the venue asks for what its scenarios lose, not for tiers"
        )
    balances = {str(row["ccy"]): amount(row, "cashBal") for row in details}
    wallet = Wallet(
        {name: value for name, value in balances.items() if name not in idle},
        tuple(holding for holding in holdings if holding is not None),
        level in _POOLED,
    )
    return Statement((wallet,), tuple(notices))


def _switched_off(row: Mapping[str, Any]) -> bool:
    return row.get("collateralEnabled") is False and row["ccy"] not in DOLLARS


def _holding(connection: Connection, position: Mapping[str, Any]) -> Holding | None:
    isolated = position["marginMode"] == "isolated"
    margin = amount(position["info"], "margin") if isolated else None
    size = amount(position["info"], "pos")
    return holding_of(position, connection.markets.get(position["symbol"]), size, margin)


def _ladders(
    connection: Connection, markets: Sequence[Mapping[str, Any]]
) -> tuple[tuple[Ladder, ...], tuple[str, ...]]:
    ladders = []
    notices = []
    for market in markets:
        price = float(connection.ask("fetch_ticker", market["symbol"])["last"])
        worth = float(market["contractSize"]) * price
        tiers = connection.ask("fetch_market_leverage_tiers", market["symbol"])
        rungs = [rung_of(tier, worth) for tier in tiers]
        ladders.append(Ladder(tuple(rungs), whole=True))
        notices.append(f"{market['base']}: sizes in contracts are converted at {price:g} USD")
    return tuple(ladders), tuple(notices)


VENUE = Venue(
    name="okx",
    client="okx",
    options={"defaultType": "swap", "fetchMarkets": {"types": ["swap", "future"]}},
    needed=("key", "secret", "password"),
    statement=_statement,
    ladders=_ladders,
    # older bars come by the hundred only, and a longer window would lose its beginning unseen
    bars=100,
)
