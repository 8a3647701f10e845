"""The book as loaded: accounts, positions and coins in flat float64 arrays, file order kept."""

from __future__ import annotations

from dataclasses import dataclass

from stress.types import Floats, Integers

__all__ = ["Book"]


@dataclass(frozen=True)
class Book:
    """Accounts, positions and coin collateral. Money in USD, quantities in units of the asset.

    Attributes
    ----------
    accounts
        Account labels in file order, unique.
    cash
        (accounts,) what backs the cross pool; isolated margins are apart from it.
    groups
        Distinct group labels in order of first appearance.
    account_group
        (accounts,) index into ``groups``.
    positions
        Position labels, unique, in file order.
    position_account, position_asset
        (positions,) indices into ``accounts`` and into the market's assets.
    quantity, entry_price
        (positions,) signed units of the asset; USD per unit.
    margin
        (positions,) isolated margin in USD; NaN where the position belongs to the cross pool.
    leverage
        (positions,) stated leverage, used by the isolated counterpart; NaN where none is stated.
    coin_account, coin_asset, coin_quantity
        (coins,) coin collateral of the cross pools, file order.
    """

    accounts: tuple[str, ...]
    cash: Floats
    groups: tuple[str, ...]
    account_group: Integers
    positions: tuple[str, ...]
    position_account: Integers
    position_asset: Integers
    quantity: Floats
    entry_price: Floats
    margin: Floats
    leverage: Floats
    coin_account: Integers
    coin_asset: Integers
    coin_quantity: Floats
