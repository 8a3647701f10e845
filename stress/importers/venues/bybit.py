"""Bybit, unified account: one wallet for all contracts, whose margin mode is the account's.

Fields: bybit-exchange.github.io/docs/v5, account info, wallet balance, position list, risk limit.
A coin's equity holds its unrealised profit; without it the margins of isolated positions are in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from stress.errors import InputError
from stress.importers.exchange import Connection
from stress.importers.statement import DOLLARS, Holding, Statement, Wallet, amount, holding_of
from stress.importers.venue import Ladder, Venue, rung_of

__all__ = ["VENUE"]

_CLASSIC = 1
_ONE_WALLET = 5
"""From this status on inverse contracts are on the unified wallet too."""

_QUESTIONS = (
    {"subType": "linear", "settleCoin": "USDT", "paginate": True},
    {"subType": "linear", "settleCoin": "USDC", "paginate": True},
    {"subType": "inverse", "paginate": True},
    {"type": "option", "paginate": True},
)
"""Positions come by kind and currency, 200 a page."""


def _statement(connection: Connection) -> Statement:
    account = connection.ask("privateGetV5AccountInfo")["result"]
    status = int(account["unifiedMarginStatus"])
    if status == _CLASSIC:
        rule = "this is a classic account, only a unified one can be read"
        raise InputError(rule, key="bybit", remedy="upgrade the account at the venue")
    isolated = account["marginMode"] == "ISOLATED_MARGIN"
    positions = [
        position
        for question in _QUESTIONS
        for position in connection.ask("fetch_positions", None, dict(question))
    ]
    coins = connection.ask("fetch_balance")["info"]["result"]["list"][0]["coin"]
    held = [_holding(connection, position, isolated, status) for position in positions]
    holdings = tuple(holding for holding in held if holding is not None)
    idle = [str(row["coin"]) for row in coins if not isolated and _switched_off(row)]
    notices = [f"{name} is switched off as collateral and is left out" for name in idle]
    if account["marginMode"] == "PORTFOLIO_MARGIN":
        notices.append(
            "portfolio margin: the venue asks for what its scenarios lose, not for tiers"
        )
    balances = {
        name: value for name, value in _balances(coins, holdings).items() if name not in idle
    }
    return Statement((Wallet(balances, holdings, pooled=not isolated),), tuple(notices))


def _balances(coins: Sequence[Mapping[str, Any]], holdings: Sequence[Holding]) -> dict[str, float]:
    """Return what backs cross positions: equity less profit, less isolated margins."""
    balances = {
        str(row["coin"]): amount(row, "equity") - amount(row, "unrealisedPnl") for row in coins
    }
    for holding in holdings:
        if holding.margin:
            balances[holding.settle] = balances.get(holding.settle, 0.0) - holding.margin
    return balances


def _switched_off(row: Mapping[str, Any]) -> bool:
    switches = (row.get("marginCollateral", True), row.get("collateralSwitch", True))
    return row["coin"] not in DOLLARS and not all(switches)


def _holding(
    connection: Connection, position: Mapping[str, Any], isolated: bool, status: int
) -> Holding | None:
    market = connection.markets.get(position["symbol"])
    raw = position["info"]
    unfit = ""
    margin = None
    if isolated:
        # since accounts are unified the venue often leaves this empty
        margin = amount(raw, "positionBalance") or None
        unfit = "" if margin else "is isolated, and the reply does not say its margin"
    holding = holding_of(position, market, amount(raw, "size"), margin, unfit)
    if holding is None or holding.kind != "inverse":
        return holding
    if status < _ONE_WALLET:
        unfit = "is on the inverse wallet, which is not read: upgrade to a unified account 2.0"
    # the venue counts USD; ccxt calls the smallest order a contract
    return replace(holding, contract_size=1.0, unfit=unfit)


def _ladders(
    connection: Connection, markets: Sequence[Mapping[str, Any]]
) -> tuple[tuple[Ladder, ...], tuple[str, ...]]:
    ladders = []
    for market in markets:
        tiers = connection.ask("fetch_market_leverage_tiers", market["symbol"])
        rungs = [rung_of(tier) for tier in tiers]
        ladders.append(Ladder(tuple(rungs)))
    return tuple(ladders), ()


VENUE = Venue(
    name="bybit",
    client="bybit",
    options={
        "defaultType": "swap",
        "defaultSubType": "linear",
        "fetchMarkets": {"types": ["linear", "inverse"]},
        # known already, and the question's reply would hold the key
        "enableUnifiedMargin": False,
        "enableUnifiedAccount": True,
        "unifiedMarginStatus": 6,
    },
    needed=("key", "secret"),
    statement=_statement,
    ladders=_ladders,
    bars=1000,
)
