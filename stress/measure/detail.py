"""Every outcome of every path and account, kept only where a scenario asks for it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stress.measure.block import AccountBlock
from stress.measure.kept import Arrays
from stress.measure.world import Findings
from stress.types import Array, Floats

__all__ = ["DetailMeasure"]


class DetailMeasure:
    """Path by path, account by account: memory grows with their product."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Array]] = {}

    def update(self, block: AccountBlock, mark_end: Floats) -> None:
        """Add one block of paths; ``mark_end`` is (assets, paths), USD."""
        for name, numbers in (
            ("equity_end", block.equity),
            ("liquidation_step", block.step),
            ("bankrupt", block.bankrupt),
            ("least_excess", block.least_excess),
            ("fund_end", block.fund_end),
            ("uncovered_loss", block.uncovered),
            ("socialised_loss", block.socialised),
            ("deleveraged_notional", block.deleveraged),
            ("false_liquidations", block.false_liquidations),
            ("over_closed_notional", block.over_closed),
            ("late_steps", block.late_steps),
            ("mark_end", mark_end.astype(np.float64)),
            ("closed_notional", block.closed_by_asset),
        ):
            self._parts.setdefault(name, []).append(numbers.T)

    def arrays(self) -> Arrays:
        """Return the arrays, path first."""
        return {name: np.concatenate(parts) for name, parts in self._parts.items()}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Take back what ``arrays`` returned."""
        self._parts = {name: [array] for name, array in arrays.items()}

    def merge(self, other: DetailMeasure) -> None:
        """Add the outcomes of later paths."""
        for name, parts in other._parts.items():
            self._parts.setdefault(name, []).extend(parts)

    def finish(self) -> Findings:
        """Return the arrays, path first."""
        return {"detail": {**self.arrays()}}
