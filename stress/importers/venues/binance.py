"""Binance futures: USD-M, whose currencies may back each other, and COIN-M, a wallet a coin.

Fields: developers.binance.com, USD-M and COIN-M account and position endpoints. The cross wallet
balance leaves out unrealised profit and isolated wallets; an isolated wallet leaves out profit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stress.errors import MissingInputError
from stress.importers.exchange import Connection
from stress.importers.statement import DOLLARS, Holding, Statement, Wallet, amount, holding_of
from stress.importers.venue import Ladder, Venue, rung_of

__all__ = ["VENUE"]

_KINDS = ("linear", "inverse")


def _statement(connection: Connection) -> Statement:
    mode = connection.ask("fapiPrivateGetMultiAssetsMargin")["multiAssetsMargin"]
    pooled = {"linear": str(mode).lower() == "true", "inverse": False}
    wallets = []
    notices: list[str] = []
    for kind in _KINDS:
        positions = connection.ask("fetch_positions", None, {"subType": kind})
        balance = connection.ask("fetch_balance", {"type": "swap", "subType": kind})
        holdings = [_holding(connection, position) for position in positions]
        assets, idle = _backing(balance["info"]["assets"], pooled[kind])
        notices += [f"{name} is not margin here and is left out" for name in idle]
        held = tuple(holding for holding in holdings if holding is not None)
        _refuse_fewer(held, balance["info"])
        wallets.append(Wallet(assets, held, pooled[kind]))
    return Statement(tuple(wallets), tuple(notices))


def _refuse_fewer(held: Sequence[Holding], account: Mapping[str, Any]) -> None:
    """Refuse positions that are not as many as the account's own list has.

    Trading goes on between two questions; and ccxt drops a position whose reply it cannot read.
    """
    listed = [row for row in account.get("positions", ()) if amount(row, "positionAmt")]
    if len(listed) != len(held):
        rule = f"the account lists {len(listed)} open positions, {len(held)} were read"
        remedy = "they may have changed in between: import again"
        raise MissingInputError(rule, key="binance", remedy=remedy)


def _backing(
    assets: Sequence[Mapping[str, Any]], pooled: bool
) -> tuple[dict[str, float], list[str]]:
    """Return balances by currency, and names of those that back nothing in multi-assets mode."""
    balances = {str(row["asset"]): amount(row, "crossWalletBalance") for row in assets}
    idle = [
        str(row["asset"])
        for row in assets
        if pooled
        and str(row.get("marginAvailable", True)).lower() == "false"
        and row["asset"] not in DOLLARS
        and balances[str(row["asset"])]
    ]
    return {name: value for name, value in balances.items() if name not in idle}, idle


def _holding(connection: Connection, position: Mapping[str, Any]) -> Holding | None:
    isolated = position["marginMode"] == "isolated"
    margin = amount(position["info"], "isolatedWallet") if isolated else None
    size = amount(position["info"], "positionAmt")
    return holding_of(position, connection.markets.get(position["symbol"]), size, margin)


def _ladders(
    connection: Connection, markets: Sequence[Mapping[str, Any]]
) -> tuple[tuple[Ladder, ...], tuple[str, ...]]:
    symbols = [market["symbol"] for market in markets]
    tiers = connection.ask("fetch_leverage_tiers", symbols)
    rungs = [tuple(rung_of(tier) for tier in tiers.get(symbol, ())) for symbol in symbols]
    return tuple(Ladder(each) for each in rungs), ()


VENUE = Venue(
    name="binance",
    client="binance",
    options={"defaultType": "swap", "fetchMarkets": {"types": list(_KINDS)}},
    needed=("key", "secret"),
    statement=_statement,
    ladders=_ladders,
    tiers_need_keys=True,
    bars=1000,
)
