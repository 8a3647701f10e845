"""Accounts of an exchange as one book."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from stress.importers.assemble import Choice, rows_of
from stress.importers.exchange import Connection
from stress.importers.rows import ImportedBook
from stress.importers.statement import Statement
from stress.importers.venue import Venue

__all__ = ["import_accounts"]


def import_accounts(
    venue: Venue,
    connections: Sequence[tuple[str, Connection]],
    choice: Choice,
    version: str,
) -> ImportedBook:
    """Read accounts, one after the other.

    Parameters
    ----------
    connections
        Label of each account, and its connection.
    version
        Of the software that read them, for the source.

    Raises
    ------
    InputError, MissingInputError
        An account holds what no book can; or as ``Connection.ask`` does.
    """
    # before the first question: a book must not look younger than its oldest part
    as_of = datetime.fromtimestamp(connections[0][1].now_ms / 1000, UTC)
    read = [
        rows_of(label, _statement(venue, connection), choice) for label, connection in connections
    ]
    owners = ", ".join(label for label, _ in connections)
    return ImportedBook(
        accounts=tuple(row for rows in read for row in rows.accounts),
        positions=tuple(row for rows in read for row in rows.positions),
        collateral=tuple(row for rows in read for row in rows.collateral),
        as_of=as_of,
        source=f"{venue.name} {owners} by {version}",
        notices=tuple(notice for rows in read for notice in rows.notices),
    )


def _statement(venue: Venue, connection: Connection) -> Statement:
    return connection.reading(lambda: venue.statement(connection))
