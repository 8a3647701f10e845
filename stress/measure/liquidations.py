"""Who was liquidated on which path: a bit each."""

from __future__ import annotations

import numpy as np

from stress.measure.block import AccountBlock
from stress.measure.sparse import account_slices
from stress.measure.world import Findings
from stress.types import Array

__all__ = ["LiquidationBits"]


class LiquidationBits:
    """The liquidations of all accounts on all paths, eight accounts a byte.

    Bits run over accounts, so that paths follow each other whatever their blocks are.

    Parameters
    ----------
    accounts
        How many.
    """

    KEPT = ("_parts",)

    def __init__(self, accounts: int) -> None:
        self.accounts = accounts
        self._parts: list[Array] = []

    def update(self, block: AccountBlock) -> None:
        """Add one block of paths."""
        packed = np.zeros((-(-self.accounts // 8), block.paths), np.uint8)
        for some in account_slices(self.accounts):
            # slices begin at multiples of eight
            bits = np.packbits(block.hits.rows(some) != 0, axis=0)
            packed[some.start // 8 : some.start // 8 + len(bits)] = bits
        self._parts.append(packed)

    def merge(self, other: LiquidationBits) -> None:
        """Add later paths."""
        self._parts.extend(other._parts)

    def finish(self) -> Findings:
        """Return (paths, bytes): account i is bit ``7 - i % 8`` of byte ``i // 8``."""
        paths = sum(part.shape[1] for part in self._parts)
        packed, first = np.empty((paths, -(-self.accounts // 8)), np.uint8), 0
        for part in self._parts:
            packed[first : first + part.shape[1]] = part.T
            first += part.shape[1]
        return {"liquidations": {"liquidated": packed}}
