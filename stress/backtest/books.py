"""The books of the templates, and how far each falls on a price path.

A book has a gross notional and a wallet, its gross notional over its leverage. With ``E(t)`` its
profit less its maintenance margin it is liquidated when ``wallet + E(t) < 0``, so when its *need*,
the largest ``-E(t)`` per dollar of notional, is more than ``1 / leverage``: one number a path
serves every leverage. Under isolated margin each leg has its own share of the wallet, and the need
is that of the worst leg: the book counts as liquidated when any leg is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stress.backtest.load import Requirement
from stress.margin import maintenance, unrealised_profit
from stress.scenario.backtest import Template
from stress.types import Array, Floats

__all__ = ["Exposure", "exposures", "groups", "liquidated", "needs"]


@dataclass(frozen=True)
class Exposure:
    """A book without its leverage.

    Attributes
    ----------
    name
        Of the book, such as ``"BTC / ETH, cross"``.
    group
        Books that are judged together, such as ``"pair, cross"``.
    weights
        Signed share of the gross notional by column of the assets; absolute values add up to 1.
    isolated
        Whether each leg has a margin of its own.
    """

    name: str
    group: str
    weights: Mapping[int, float]
    isolated: bool


def exposures(assets: Sequence[str], templates: Sequence[Template]) -> tuple[Exposure, ...]:
    """Return the books of the templates in their order.

    Directional books hold one position, which is the same under either margin. Pairs and baskets
    need two assets.
    """
    several = len(assets) > 1
    found: list[Exposure] = []
    if "directional" in templates:
        for side, sign in (("long", 1.0), ("short", -1.0)):
            found += [
                Exposure(f"{asset} {side}", side, {column: sign}, False)
                for column, asset in enumerate(assets)
            ]
    for isolated, margin in ((False, "cross"), (True, "isolated")):
        if "pair" in templates and several:
            found += [
                Exposure(
                    f"{assets[0]} / {asset}, {margin}",
                    f"pair, {margin}",
                    {0: 0.5, column: -0.5},
                    isolated,
                )
                for column, asset in enumerate(assets)
                if column
            ]
        if "basket" in templates and several:
            for side, sign in (("long", 1.0), ("short", -1.0)):
                name = f"basket {side}, {margin}"
                weights = {column: sign / len(assets) for column in range(len(assets))}
                found.append(Exposure(name, name, weights, isolated))
    return tuple(found)


def groups(books: Sequence[Exposure]) -> tuple[str, ...]:
    """Return the groups of the books, each once, in their order."""
    return tuple(dict.fromkeys(book.group for book in books))


def needs(
    books: Sequence[Exposure],
    relative: Floats,
    notional: float,
    requirement: Requirement,
    *,
    highest: Floats | None = None,
) -> Floats:
    """Return what each book needs of each path, per dollar of gross notional.

    Parameters
    ----------
    books
        Without their leverages.
    relative
        (paths, times, assets) prices over those at the start, which is among the times.
    notional
        Gross notional at the start, USD: it decides the tier.
    requirement
        Maintenance margin of the assets.
    highest
        (paths, times, assets) the highest relative prices where ``relative`` holds the lowest: long
        legs are valued at the one and short legs at the other, as if all extremes of a bar fell on
        one moment. The need is then an upper bound. Not given: both are ``relative``.

    Returns
    -------
    (paths, books)
    """
    # (assets, times, paths): NumPy is slow along short last axes
    lows = np.ascontiguousarray(relative.T)
    highs = lows if highest is None else np.ascontiguousarray(highest.T)
    legs: dict[tuple[int, float], Floats] = {}

    def leg(column: int, weight: float) -> Floats:
        """Return (times, paths) what one leg needs, USD."""
        if (column, weight) not in legs:
            price, quantity = (lows if weight > 0 else highs)[column], weight * notional
            required = maintenance(
                abs(quantity) * price,
                requirement.rate[column].astype(price.dtype),
                requirement.amount[column].astype(price.dtype),
            )
            legs[column, weight] = required - unrealised_profit(quantity, 1.0, price)
        return legs[column, weight]

    found = np.empty((len(relative), len(books)), np.float64)
    for row, book in enumerate(books):
        parts = [(leg(*each), abs(each[1])) for each in book.weights.items()]
        if book.isolated:
            worst = [part.max(axis=0) / (share * notional) for part, share in parts]
            found[:, row] = np.max(worst, axis=0)
        else:
            whole = np.add.reduce([part for part, _ in parts])
            found[:, row] = whole.max(axis=0) / notional
    return found


def liquidated(need: Floats, leverages: Sequence[float]) -> Array:
    """Return (..., books, leverages) whether a need is over the wallet; NaN needs are not."""
    return need[..., None] > 1.0 / np.asarray(leverages)
