"""Who was liquidated on which path in one run and not in the other, path by path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from stress.measure.moments import Moments
from stress.types import Array, Floats, Integers

__all__ = ["Counts", "Side", "count_liquidations", "has_bits"]

_CELLS = 1 << 24
"""Most pairs of an account and a path that are unpacked at a time."""


@dataclass(frozen=True)
class Side:
    """One run's bits, and which of its accounts are asked for.

    Attributes
    ----------
    packed
        (paths, bytes) as ``/liquidations`` keeps them.
    accounts
        How many accounts there are.
    chosen
        (accounts compared,) their places.
    members
        (groups compared,) places of the accounts of each group that exist.
    """

    packed: Array
    accounts: int
    chosen: Integers
    members: tuple[Integers, ...]


@dataclass(frozen=True)
class Counts:
    """What the common paths say.

    Attributes
    ----------
    only_one, only_other
        (accounts,) paths on which an account is liquidated in one run only.
    group_only_one, group_only_other
        (groups,) the same for "any account of the group".
    share
        Moments over paths of the liquidated share of each group, other minus one.
    differing
        (groups,) paths on which that share differs.
    """

    only_one: Integers
    only_other: Integers
    group_only_one: Integers
    group_only_other: Integers
    share: Moments
    differing: Integers


def has_bits(tree: xr.DataTree) -> bool:
    """Say whether a result holds who was liquidated on which path."""
    return "liquidations" in tree.children and "liquidated" in tree["liquidations"].to_dataset()


def count_liquidations(one: Side, other: Side, paths: int) -> Counts:
    """Return the counts of the first ``paths`` paths, which both runs have."""
    accounts, groups = len(one.chosen), len(one.members)
    only_one, only_other = np.zeros(accounts, np.int64), np.zeros(accounts, np.int64)
    group_one, group_other = np.zeros(groups, np.int64), np.zeros(groups, np.int64)
    share, differing = Moments.init(groups), np.zeros(groups, np.int64)
    step = max(_CELLS // max(one.accounts, other.accounts, 1), 1)
    for first in range(0, paths, step):
        some = slice(first, min(first + step, paths))
        mine, theirs = _unpacked(one, some), _unpacked(other, some)
        before, after = mine[:, one.chosen], theirs[:, other.chosen]
        only_one += (before > after).sum(axis=0)
        only_other += (after > before).sum(axis=0)
        hits, other_hits = _by_group(mine, one), _by_group(theirs, other)
        group_one += ((hits > 0) & (other_hits == 0)).sum(axis=0)
        group_other += ((other_hits > 0) & (hits == 0)).sum(axis=0)
        apart = other_hits / _sizes(other) - hits / _sizes(one)
        share.update(np.ascontiguousarray(apart.T))
        differing += (apart != 0).sum(axis=0)
    return Counts(only_one, only_other, group_one, group_other, share, differing)


def _unpacked(side: Side, some: slice) -> Array:
    """Return (paths, accounts) 1 where liquidated, else 0."""
    return np.unpackbits(np.asarray(side.packed[some]), axis=1, count=side.accounts)


def _by_group(bits: Array, side: Side) -> Integers:
    """Return (paths, groups) how many accounts of each group are liquidated."""
    found = np.zeros((len(bits), len(side.members)), np.int64)
    for group, members in enumerate(side.members):
        found[:, group] = bits[:, members].sum(axis=1)
    return found


def _sizes(side: Side) -> Floats:
    return np.array([max(len(members), 1) for members in side.members], float)
