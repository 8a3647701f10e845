"""The exchanges that can be read, one file each."""

from stress.importers.venue import Venue
from stress.importers.venues import binance, bybit, htx, hyperliquid, okx

__all__ = ["VENUES"]

VENUES: dict[str, Venue] = {
    module.VENUE.name: module.VENUE for module in (binance, okx, htx, bybit, hyperliquid)
}
