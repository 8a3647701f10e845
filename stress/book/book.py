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
    reserve
        (accounts,) USD kept apart from every pool, from which top-ups are drawn; 0 where none.
    top_up_trigger, top_up_target
        (accounts,) margin ratio at or above which a pool of the account draws from the reserve, and
        the ratio that it is brought to, the lower of the two; NaN where there is no top-up.
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
    stop_price
        (positions,) mark at or below which a long, at or above which a short is closed, USD per
        unit; NaN where there is no stop.
    coin_account, coin_asset, coin_quantity
        (coins,) coin collateral of the cross pools, file order.
    """

    accounts: tuple[str, ...]
    cash: Floats
    groups: tuple[str, ...]
    account_group: Integers
    reserve: Floats
    top_up_trigger: Floats
    top_up_target: Floats
    positions: tuple[str, ...]
    position_account: Integers
    position_asset: Integers
    quantity: Floats
    entry_price: Floats
    margin: Floats
    leverage: Floats
    stop_price: Floats
    coin_account: Integers
    coin_asset: Integers
    coin_quantity: Floats
