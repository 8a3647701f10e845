"""The typical way to fail: what prices did on the paths on which something happened.

An event is that an account is liquidated, that more than a share of the book is, or that the
insurance fund is exhausted. Whether it happens on a path is written down block by block, one bit
each; the prices of some of the paths on which it does are simulated once more (path i is path i).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from stress.measure.block import AccountBlock
from stress.measure.moments import Estimate, Moments
from stress.stats.tail import order_rank
from stress.types import Array, Floats, Integers

__all__ = ["FEWEST", "Event", "EventMeasure", "TypicalPaths", "happened", "typical_paths"]

EventKind: TypeAlias = Literal["account", "accounts", "notional", "fund"]

FEWEST = 30
"""Paths from which a typical path is given: of fewer a band of quantiles is single paths."""


@dataclass(frozen=True)
class Event:
    """Something that kills.

    Attributes
    ----------
    name
        As a reader calls it.
    kind
        ``"account"``: an account is liquidated; ``"accounts"``, ``"notional"``: more than a share
        of the accounts, or accounts with more than a share of the gross notional at the start, are;
        ``"fund"``: a deficit is not paid in full out of the insurance fund.
    account
        Index of the account; -1 for other kinds.
    share
        Of the book; NaN for other kinds.
    """

    name: str
    kind: EventKind
    account: int = -1
    share: float = float("nan")


def happened(
    events: tuple[Event, ...], notional: Floats, exists: Array, block: AccountBlock
) -> Array:
    """Return (events, paths) whether each event happens on each path of a block.

    Parameters
    ----------
    notional
        (accounts,) gross notional at the start, USD.
    exists
        (accounts,) whether the account exists in the world; the others do not count.
    """
    counted = exists.astype(np.float64)
    weights = {"accounts": counted, "notional": notional * counted}
    hits = block.hits.of(exists)
    found = np.zeros((len(events), block.paths), bool)
    for row, event in enumerate(events):
        if event.kind == "account":
            found[row] = hits.rows(slice(event.account, event.account + 1))[0] > 0
        elif event.kind == "fund":
            found[row] = block.fund_exhausted
        else:
            weight = weights[event.kind]
            # in the order of accounts on every path, so that the sum does not know the block
            fallen = np.bincount(hits.path, weight[hits.account], block.paths)
            found[row] = fallen > event.share * weight.sum()
    return found


class EventMeasure:
    """On which paths events happen.

    Parameters
    ----------
    events
        The events.
    notional, exists
        As in ``happened``.
    """

    KEPT = ("_parts",)

    def __init__(self, events: tuple[Event, ...], notional: Floats, exists: Array) -> None:
        self.events, self.notional, self.exists = events, notional, exists
        self._parts: list[Array] = []

    def update(self, block: AccountBlock) -> None:
        """Add one block of paths."""
        found = happened(self.events, self.notional, self.exists, block)
        self._parts.append(np.packbits(found, axis=0))

    def merge(self, other: EventMeasure) -> None:
        """Add later paths."""
        self._parts.extend(other._parts)

    def finish(self) -> Array:
        """Return (events, paths) whether each event happened."""
        if not self._parts:
            return np.zeros((len(self.events), 0), bool)
        packed = np.concatenate(self._parts, axis=1)
        return np.unpackbits(packed, axis=0, count=len(self.events)).astype(bool)


@dataclass(frozen=True)
class TypicalPaths:
    """What prices did given each event, as moves from the start; NaN where paths are too few.

    Attributes
    ----------
    paths
        (events,) paths that it rests on.
    mean
        (events, times, assets) mean move.
    quantile
        (events, times, assets, quantiles) of the moves at each time by itself.
    """

    paths: Integers
    mean: Estimate
    quantile: Floats


def typical_paths(
    levels: Floats, happens: Array, quantiles: tuple[float, ...], confidence: float
) -> TypicalPaths:
    """Return mean and quantiles of the prices on the paths on which events happen.

    Parameters
    ----------
    levels
        (paths, times, assets) log prices relative to the start.
    happens
        (events, paths) the paths on which each event is told.
    quantiles, confidence
        Of moves over paths; of the interval of the mean, which takes paths as independent.
    """
    shape = (len(happens), *levels.shape[1:])
    mean, interval = np.full(shape, np.nan), np.full((*shape, 2), np.nan)
    quantile = np.full((*shape, len(quantiles)), np.nan)
    paths = happens.sum(axis=1)
    for event in np.flatnonzero(paths >= FEWEST):
        moves = np.expm1(levels[happens[event]].astype(np.float64))
        moments = Moments.init(*shape[1:])
        moments.update(np.moveaxis(moves, 0, -1))
        found = moments.finish_mean(confidence)
        mean[event], interval[event] = found.value, found.interval
        ascending = np.sort(moves, axis=0)
        for place, share in enumerate(quantiles):
            rank = int(order_rank(np.array(len(moves)), share))
            quantile[event, ..., place] = ascending[rank - 1]
    return TypicalPaths(paths, Estimate(mean, interval), quantile)
