"""Numbers of a block of paths that are 0 for most accounts on most paths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix

from stress.types import Array, Floats, Integers

__all__ = ["Sparse", "account_slices", "sums_of_columns"]

_ROWS = 2048
"""Accounts whose numbers are worked on together: with 64 paths they stay in a core's cache, and
with a million accounts no temporary array is of the size of all. A constant, so that sums over
accounts round alike whatever the block."""


def account_slices(accounts: int) -> Iterator[slice]:
    """Yield slices of the accounts, in order."""
    for first in range(0, accounts, _ROWS):
        yield slice(first, min(first + _ROWS, accounts))


def sums_of_columns(numbers: Floats) -> Floats:
    """Return (columns,) sums of (rows, columns) numbers, added one row after the other.

    NumPy's own sum adds a single column in pairs: a path would round otherwise in a block of its
    own than beside others.
    """
    rows = len(numbers)
    ones = csr_matrix((np.ones(rows), np.arange(rows), np.array([0, rows])), shape=(1, rows))
    added: Floats = (ones @ numbers)[0]
    return added


@dataclass(frozen=True)
class Sparse:
    """(accounts, paths) numbers of which only those that are not 0 are kept.

    Attributes
    ----------
    accounts, paths
        The shape.
    cell
        (count,) places ``account * paths + path``, ascending, each once.
    number
        (count,) what stands there; None where it is 1 everywhere.
    """

    accounts: int
    paths: int
    cell: Integers
    number: Floats | None = None

    @classmethod
    def where(cls, flags: Array) -> Sparse:
        """Return 1 where the (accounts, paths) flags are set."""
        accounts, paths = flags.shape
        return cls(accounts, paths, np.flatnonzero(flags))

    @cached_property
    def account(self) -> Integers:
        """(count,) account of each cell."""
        return self.cell // max(self.paths, 1)

    @cached_property
    def path(self) -> Integers:
        """(count,) path of each cell."""
        return self.cell - self.account * self.paths

    def of(self, exists: Array) -> Sparse:
        """Return the numbers of the (accounts,) that exist, 0 for the others."""
        return self if exists.all() else self.only(exists[self.account])

    def only(self, kept: Array) -> Sparse:
        """Return the numbers of the (count,) cells that are kept, 0 elsewhere."""
        number = None if self.number is None else self.number[kept]
        return Sparse(self.accounts, self.paths, self.cell[kept], number)

    def by_account(self) -> Array:
        """Return (accounts,) sums over the paths; whole numbers where only ones are added."""
        return np.bincount(self.account, self.number, self.accounts)

    def by_path(self) -> Array:
        """Return (paths,) sums over the accounts; whole numbers where only ones are added."""
        return np.bincount(self.path, self.number, self.paths)

    def rows(self, some: slice) -> Floats:
        """Return all (accounts of the slice, paths) numbers, as a new array."""
        first, last = some.start * self.paths, some.stop * self.paths
        low, high = np.searchsorted(self.cell, (first, last))
        numbers = np.zeros(last - first)
        number = 1.0 if self.number is None else self.number[low:high]
        numbers[self.cell[low:high] - first] = number
        return numbers.reshape(-1, self.paths)

    def dense(self) -> Floats:
        """Return all (accounts, paths) numbers."""
        return self.rows(slice(0, self.accounts))
