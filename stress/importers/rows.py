"""What an importer hands over: rows of the tables, not yet written, in the units of the tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

__all__ = [
    "AccountRow",
    "CollateralRow",
    "ImportedBook",
    "ImportedPrices",
    "ImportedTiers",
    "PositionRow",
    "PriceRow",
    "TierRow",
]


@dataclass(frozen=True)
class AccountRow:
    """One account.

    Attributes
    ----------
    account
        Its label, unique in the book.
    cash
        USD behind the cross pool, without unrealised profit and without what backs isolated
        positions; negative is debt.
    group
        Label of its group, or None.
    """

    account: str
    cash: float
    group: str | None = None


@dataclass(frozen=True)
class PositionRow:
    """One position.

    Attributes
    ----------
    account
        Label of an account of the book.
    asset
        Name of the asset.
    quantity
        Coins, above 0 long and below 0 short.
    entry_price
        USD per coin, above 0.
    margin
        USD put behind an isolated position, without its unrealised profit; None: cross.
    leverage
        As set at the venue, or None.
    position
        Label, unique in the book, or None: the reader then calls it "account/asset".
    """

    account: str
    asset: str
    quantity: float
    entry_price: float
    margin: float | None = None
    leverage: float | None = None
    position: str | None = None


@dataclass(frozen=True)
class CollateralRow:
    """Coins that back the cross pool of an account: one row an account and asset, quantity > 0."""

    account: str
    asset: str
    quantity: float


@dataclass(frozen=True)
class TierRow:
    """One tier of an asset: ``rate`` is the maintenance margin rate above ``floor`` USD."""

    asset: str
    floor: float
    rate: float


@dataclass(frozen=True)
class PriceRow:
    """One bar of an asset.

    Attributes
    ----------
    timestamp
        With a time zone; of the beginning of the bar, as exchanges stamp them.
    asset
        Name of the asset.
    close, open, high, low
        USD per coin, above 0; None where unknown.
    volume
        Coins traded in the bar, or None.
    """

    timestamp: datetime
    asset: str
    close: float
    open: float | None = None
    high: float | None = None
    low: float | None = None
    volume: float | None = None


@dataclass(frozen=True)
class ImportedBook:
    """A book at one moment.

    Attributes
    ----------
    accounts, positions, collateral
        The rows of the three tables; at least one account and one position.
    as_of
        Moment that the book is of, with a time zone.
    source
        Whose book it is and how it was read, with " by " between the two, such as
        "binance main by ccxt 4.5.90". A book replaces another one in a folder only if what stands
        before " by " is the same.
    notices
        Sentences about what was changed, left out or taken as something else.
    """

    accounts: tuple[AccountRow, ...]
    positions: tuple[PositionRow, ...]
    collateral: tuple[CollateralRow, ...]
    as_of: datetime
    source: str
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportedTiers:
    """Maintenance margin tiers: rows by asset, floors ascending from 0, rates never falling."""

    tiers: tuple[TierRow, ...]
    as_of: datetime
    source: str
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportedPrices:
    """Bars of some assets, in any order, each (timestamp, asset) once."""

    bars: tuple[PriceRow, ...]
    source: str
    notices: tuple[str, ...] = ()
