"""What an exchange must say about itself so that its accounts, tiers and prices can be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

from stress.errors import InputError
from stress.importers.exchange import Connection
from stress.importers.statement import Statement

__all__ = ["Ladder", "Rung", "Venue", "rung_of"]


@dataclass(frozen=True)
class Rung:
    """One tier as an exchange writes it.

    Attributes
    ----------
    floor, cap
        Notional in USD above which it holds, and up to which; the last one's cap may be infinite.
    rate
        Maintenance margin rate.
    """

    floor: float
    cap: float
    rate: float


@dataclass(frozen=True)
class Ladder:
    """The tiers of one contract.

    Attributes
    ----------
    rungs
        In order.
    whole
        Whether a tier's rate holds for the whole position, or only for what is above its floor.
    """

    rungs: tuple[Rung, ...]
    whole: bool = False


@dataclass(frozen=True)
class Venue:
    """How an exchange is read.

    Attributes
    ----------
    name
        As on the command line.
    client, options
        Its class in ccxt, and what that is told.
    needed
        Which keys its accounts ask for.
    statement
        Reads an account.
    ladders
        Reads the tiers of markets (as ccxt gives them): one ladder a market, and notices.
    tiers_need_keys
        Whether tiers are told to an account only.
    bars
        How many bars one request gives.
    bars_limit
        Whether a request says how many bars it wants; HTX then ignores from when.
    volume_share
        What of a bar's volume is one side of each trade: 0.5 where both sides are counted.
    """

    name: str
    client: str
    options: Mapping[str, Any]
    needed: tuple[str, ...]
    statement: Callable[[Connection], Statement]
    ladders: Callable[
        [Connection, Sequence[Mapping[str, Any]]], tuple[tuple[Ladder, ...], tuple[str, ...]]
    ]
    bars: int
    tiers_need_keys: bool = False
    bars_limit: bool = True
    volume_share: float = 1.0


def rung_of(tier: Mapping[str, Any], worth: float = 1.0) -> Rung:
    """Return a tier as ccxt gives it as a rung.

    Parameters
    ----------
    worth
        USD of one unit that its sizes are counted in.

    Raises
    ------
    InputError
        One of its numbers is absent; but a tier without a cap has none.
    """
    keys = ("minNotional", "maintenanceMarginRate", "maxNotional")
    numbers = [tier[key] for key in keys[: 2 if tier["maxNotional"] is None else 3]]
    if not all(isinstance(number, (int, float)) and isfinite(number) for number in numbers):
        rule = f"the reply gives no numbers for a tier of {tier['symbol']}"
        raise InputError(rule, remedy="try a newer ccxt")
    floor, rate, cap = (*numbers, inf)[:3]
    return Rung(floor * worth, cap * worth, rate)
