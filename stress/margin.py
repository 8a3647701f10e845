"""The margin arithmetic of linear perpetuals, written once for the array API.

Every function takes NumPy or JAX arrays (or anything else with ``__array_namespace__``) and
broadcasts, so that the margin display, the checks of a scenario and the jitted kernels compute the
same numbers. Money is in USD, marks in USD per unit, quantities are signed (long positive).

A tier table gives a position of notional ``n`` the maintenance margin ``max_k(rate_k n -
amount_k)``. With amounts that make it continuous (``tier_amounts``) that maximum is the tier of
``n``: the table is convex, so no search is needed (Binance, "How to calculate the liquidation price
of USD-M futures contracts", maintenance amounts).
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "in_breach",
    "liquidation_price",
    "maintenance",
    "margin_call",
    "margin_level",
    "margin_ratio",
    "tier_amounts",
    "unrealised_profit",
]

Array = Any


def tier_amounts(floors: Array, rates: Array) -> Array:
    """Return the maintenance amounts that make a tier table continuous.

    ``amount_0 = 0`` and ``amount_k = amount_{k-1} + floor_k (rate_k - rate_{k-1})``.

    Parameters
    ----------
    floors, rates
        (..., tiers) notional in USD from which a tier holds, ascending from 0; its rate.

    Returns
    -------
    (..., tiers) amounts in USD.
    """
    xp = floors.__array_namespace__()
    jumps = xp.concat([xp.zeros_like(rates[..., :1]), rates[..., 1:] - rates[..., :-1]], axis=-1)
    # a padded table repeats its last tier with an infinite floor and no jump: 0 * inf must be 0
    used = xp.where(jumps == 0, xp.zeros_like(floors), floors)
    return xp.cumulative_sum(used * jumps, axis=-1)


def unrealised_profit(quantity: Array, entry: Array, mark: Array) -> Array:
    """Return ``q (M - e)`` in USD, positive for a gain."""
    return quantity * (mark - entry)


def maintenance(notional: Array, rate: Array, amount: Array) -> Array:
    """Return the maintenance margin of positions in USD.

    Parameters
    ----------
    notional
        (...) absolute quantity times mark, USD.
    rate, amount
        (..., tiers) tier rates and maintenance amounts; the tier axis is last.
    """
    xp = notional.__array_namespace__()
    required = rate[..., 0] * notional - amount[..., 0]
    # a Python loop over a handful of tiers: reductions over a short last axis are slow everywhere
    for tier in range(1, rate.shape[-1]):
        required = xp.maximum(required, rate[..., tier] * notional - amount[..., tier])
    return required


def margin_ratio(equity: Array, required: Array, notional: Array) -> Array:
    """Return maintenance margin over equity: above 1 is a breach.

    +inf where equity is not positive with positions open, 0 without positions.
    """
    xp = equity.__array_namespace__()
    positive = equity > 0
    ratio = xp.where(positive, required / xp.where(positive, equity, 1.0), xp.inf)
    return xp.where(notional > 0, ratio, 0.0)


def margin_level(equity: Array, notional: Array) -> Array:
    """Return equity over total notional; NaN without positions."""
    xp = equity.__array_namespace__()
    is_open = notional > 0
    return xp.where(is_open, equity / xp.where(is_open, notional, 1.0), xp.nan)


def in_breach(equity: Array, required: Array, notional: Array, tolerance: float) -> Array:
    """Return whether a pool with positions has ``equity < maintenance - tolerance * notional``."""
    return (notional > 0) & (equity - required < -tolerance * notional)


def margin_call(equity: Array, required: Array, notional: Array, warning: Array | float) -> Array:
    """Return whether a pool with positions has a margin ratio at or above ``warning``."""
    return (notional > 0) & (warning * equity <= required)


def liquidation_price(
    cash: Array, quantity: Array, entry: Array, rate: Array, amount: Array
) -> Array:
    """Return the mark at which one position alone in its pool is exactly at its requirement.

    In tier k, ``cash + q (B - e) = rate_k |q| B - amount_k`` is solved by

        B_k = (e q - cash - amount_k) / (q - rate_k |q|).

    The excess is the least of the tiers' excesses, so its root is the largest ``B_k`` of a long and
    the least of a short: the tier that holds at the price found is the one that is used.

    Parameters
    ----------
    cash
        (...) what backs the position besides its own profit: collateral, and the excess of the
        rest of its pool at marks that stay where they are, USD.
    quantity, entry
        (...) signed quantity, entry price.
    rate, amount
        (..., tiers) tier rates below 1 and maintenance amounts.

    Returns
    -------
    (...) USD; not positive where no price liquidates a long.
    """
    xp = quantity.__array_namespace__()
    size = xp.abs(quantity)
    is_long = quantity > 0
    price = None
    for tier in range(rate.shape[-1]):
        root = (entry * quantity - cash - amount[..., tier]) / (quantity - rate[..., tier] * size)
        if price is None:
            price = root
        else:
            price = xp.where(is_long, xp.maximum(price, root), xp.minimum(price, root))
    return price
