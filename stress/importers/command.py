"""``margin-stress import --exchange``: a book, tiers or prices become files of a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from stress.data.timestamps import parse_moment
from stress.errors import InputError, closest
from stress.importers.assemble import Choice
from stress.importers.exchange import Connection, connect
from stress.importers.finish import Imported, finish
from stress.importers.keys import Keys, keys_of
from stress.importers.rows import ImportedBook
from stress.importers.venue import Venue
from stress.importers.venues import VENUES

__all__ = ["KINDS", "Request", "import_command"]

KINDS = ("positions", "tiers", "prices")

_MAIN = "main"
"""Label of the one account of those who name none."""


@dataclass(frozen=True)
class Request:
    """What is asked of an exchange.

    Attributes
    ----------
    exchange
        Its name.
    accounts
        Labels of the accounts; none: one, called "main".
    assets
        Names of assets: of the tiers or prices; of a book, the only ones in it.
    without
        Symbols of contracts that are left out of a book.
    bar, since
        Length and first moment of the bars.
    """

    exchange: str
    accounts: tuple[str, ...] = ()
    assets: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    bar: str = "1h"
    since: str | None = None


def import_command(kind: str, folder: str, request: Request, *, as_json: bool) -> int:
    """Import, write the files, print what was written and return the exit code.

    Parameters
    ----------
    kind
        One of ``KINDS``.
    folder
        Where the files go.

    Raises
    ------
    InputError, MissingInputError
        As the importers do; nothing is written then.
    """
    return finish(_from_exchange(kind, request, os.environ), folder, as_json=as_json)


def _from_exchange(kind: str, request: Request, environment: Mapping[str, str]) -> Imported:
    if request.exchange not in VENUES:
        rule = f'"{request.exchange}" is no exchange that is read'
        raise InputError(rule, key="--exchange", remedy=closest(request.exchange, list(VENUES)))
    venue = VENUES[request.exchange]
    _refuse_idle(kind, request)
    if kind == "positions":
        return _book(venue, request, environment)
    if not request.assets:
        rule = "no asset is named"
        raise InputError(rule, key="--assets", remedy="write them with commas, such as BTC,ETH")
    if kind == "tiers":
        from stress.importers.tiers import import_tiers

        keys = keys_of(environment, venue.name, venue.needed) if venue.tiers_need_keys else None
        return import_tiers(venue, _open(venue, keys), request.assets, _version())
    from stress.importers.bars import import_bars

    since = _moment(request.since)
    opened = _open(venue, None)
    return import_bars(
        venue, opened, request.assets, bar=request.bar, since=since, version=_version()
    )


def _refuse_idle(kind: str, request: Request) -> None:
    """Refuse an option that would do nothing."""
    idle = {
        "--account": bool(request.accounts) and kind != "positions",
        "--without": bool(request.without) and kind != "positions",
        "--since": request.since is not None and kind != "prices",
    }
    for option, given in idle.items():
        if given:
            raise InputError(f"has no meaning for {kind}", key=option, remedy="leave it out")


def _book(venue: Venue, request: Request, environment: Mapping[str, str]) -> ImportedBook:
    from stress.importers.accounts import import_accounts

    labels = request.accounts or (_MAIN,)
    if len(set(labels)) < len(labels):
        rule = "an account is named twice"
        raise InputError(rule, key="--account", remedy="name each once")
    several = len(labels) > 1
    keys = [
        keys_of(environment, venue.name, venue.needed, label if several else None)
        for label in labels
    ]
    connections = [(label, _open(venue, each)) for label, each in zip(labels, keys, strict=True)]
    choice = Choice(request.assets, request.without)
    return import_accounts(venue, connections, choice, _version())


def _open(venue: Venue, keys: Keys | None) -> Connection:
    return connect(venue.name, venue.client, venue.options, keys)


def _version() -> str:
    import ccxt

    return f"ccxt {ccxt.__version__}"


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment, _ = parse_moment(text)
    except ValueError:
        remedy = "write 2024-01-31 or 2024-01-31T08:00:00Z"
        raise InputError(f'"{text}" is not a timestamp', key="--since", remedy=remedy) from None
    return datetime.fromtimestamp(moment.astype("datetime64[ms]").astype(np.int64) / 1000, UTC)
