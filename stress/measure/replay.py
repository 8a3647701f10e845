"""One path step by step, for a reader who wants to see a cascade happen."""

from __future__ import annotations

from typing import Any

import numpy as np

from stress.measure.block import Ownership
from stress.measure.world import Findings

__all__ = ["replay_findings"]


def replay_findings(outcome: Any, ownership: Ownership, column: int) -> Findings:
    """Return the group ``replay``, every step from the start on.

    Parameters
    ----------
    outcome
        An ``engine.cascade.CascadeOutcome``.
    ownership
        Which pools belong to whom.
    column
        The column that was watched.
    """
    replay = outcome.replay
    closed = np.asarray(replay.closed).astype(np.float64)
    step = np.asarray(outcome.fates.step)[:, column].astype(np.int64)
    never = len(closed)
    earliest = np.minimum.reduceat(np.where(step < 0, never, step), ownership.first)
    by_step = np.bincount(earliest, minlength=never + 1)[:never].cumsum()
    return {
        "replay": {
            "mark": np.asarray(replay.marks).astype(np.float64),
            "fundamental_price": np.asarray(replay.fundamental).astype(np.float64),
            "fund": np.asarray(replay.fund).astype(np.float64),
            "liquidated_accounts": by_step,
            "liquidated_notional": closed,
        }
    }
