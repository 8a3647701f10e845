"""What a position costs its account when it brings a liquidation about."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import stdtrit

from stress.measure.kept import Arrays
from stress.measure.moments import Estimate
from stress.measure.sparse import Sparse
from stress.measure.world import Findings, Request
from stress.stats.confidence import design_effect, independent
from stress.stats.tail import expected_shortfall
from stress.types import Array, Floats, Integers

__all__ = ["EffectiveRisk"]

_LEVEL = 0.99
"""Of the expected shortfall that a rule such as "risk 1 % a trade" is held against."""
_LEAST_CUT = 1 << 16
"""Numbers that come in before a cut is worth its sort."""


class EffectiveRisk:
    """Losses of accounts on paths on which one position brings a pool's liquidation about.

    That is the pool's largest loser when a decider first acts on it. The loss is the whole
    account's to the end of the path, as a share of its starting equity. Which paths these are is
    random, so every position has its own number of them; its estimates are given that number. Of
    the losses only the largest are kept, as many as the shortfall would need if every path were one
    of them.

    Parameters
    ----------
    positions
        Number of positions of the book.
    book_position
        (engine's positions,) the book's number of each; the engine leaves out those of accounts
        that do not exist in its world.
    pool_account
        (pools,) owner.
    initial_equity
        (accounts,) USD; a share of nothing or less is NaN.
    request
        Confidence, precision and the number of paths to come.
    """

    def __init__(
        self,
        positions: int,
        book_position: Integers,
        pool_account: Integers,
        initial_equity: Floats,
        request: Request,
    ) -> None:
        self.book_position, self.pool_account = book_position, pool_account
        self.equity = np.where(initial_equity > 0, initial_equity, np.nan)
        self.confidence = request.confidence
        # where paths have a design effect fewer of them may need more of their largest
        plain = design_effect(request.confidence) == 1
        self.keep = request.keep(_LEVEL) if plain else request.paths
        self.count = np.zeros(positions, np.int64)
        self.mean, self.squares = np.zeros(positions), np.zeros(positions)
        self._dtype = request.precision
        self._parts: list[tuple[Integers, Floats]] = []
        self._held, self._kept = 0, 0
        # what cannot be among the largest any more
        self._floor = np.full(positions, -np.inf, request.precision)
        # nothing larger was left out by the parts that were merged
        self._left_out = np.full(positions, -np.inf, request.precision)

    def update(self, loser: Array, loss: Floats) -> None:
        """Add one block of paths.

        Parameters
        ----------
        loser
            (pools, columns) the engine's number of the largest loser, -1 where nobody acted; the
            main variant stands first.
        loss
            (accounts, paths) USD.
        """
        first = np.asarray(loser)[:, : loss.shape[1]]
        acted = Sparse.where(first >= 0)
        pool, path = acted.account, acted.path
        position = self.book_position[first[pool, path]]
        account = self.pool_account[pool]
        risk = loss[account, path] / self.equity[account]
        positions = len(self.count)
        count = np.bincount(position, minlength=positions)
        mean = np.bincount(position, risk, minlength=positions) / np.maximum(count, 1)
        deviation = (risk - mean[position]) ** 2
        squares = np.bincount(position, deviation, minlength=positions).astype(np.float64)
        self._add(count, mean, squares)
        self._append(position, risk)

    def merge(self, other: EffectiveRisk) -> None:
        """Add what was measured on later paths."""
        self._add(other.count, other.mean, other.squares)
        self._append(*other._cut())
        self._left_out = np.maximum(self._left_out, other._floor)

    def arrays(self) -> Arrays:
        """Return moments, the largest risks, and what everything left out does not exceed."""
        position, risk = self._cut()
        return {
            "count": self.count,
            "mean": self.mean,
            "squares": self.squares,
            "position": position,
            "risk": risk,
            "floor": self._floor,
        }

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Take back what ``arrays`` returned."""
        self.count, self.mean, self.squares = (arrays[n] for n in ("count", "mean", "squares"))
        self._append(arrays["position"], arrays["risk"])
        self._floor = arrays["floor"]

    def _add(self, count: Integers, mean: Floats, squares: Floats) -> None:
        """Merge moments as ``measure.moments`` does, position by position."""
        total = self.count + count
        weight = count / np.maximum(total, 1)
        delta = mean - self.mean
        self.mean = self.mean + delta * weight
        self.squares = self.squares + squares + delta**2 * self.count * weight
        self.count = total

    def _append(self, position: Integers, risk: Floats) -> None:
        risk = risk.astype(self._dtype)
        # written so that NaN stays
        among = ~(risk < self._floor[position])
        self._parts.append((position[among].astype(np.int32), risk[among]))
        self._held += int(among.sum())
        if self._held > 2 * self._kept + _LEAST_CUT:
            self._cut()

    def _cut(self) -> tuple[Integers, Floats]:
        """Keep the largest of each position; return positions, ascending, and risks, descending."""
        position = np.concatenate([of for of, _ in self._parts] or [np.zeros(0, np.int32)])
        risk = np.concatenate([of for _, of in self._parts] or [np.zeros(0, self._dtype)])
        order = _by_position(position, risk)
        position, risk = position[order], risk[order]
        rank = np.arange(len(order)) - np.searchsorted(position, position)
        last = rank == self.keep - 1
        self._floor[position[last]] = risk[last]
        largest = rank < self.keep
        position, risk = position[largest], risk[largest]
        self._parts, self._held, self._kept = [(position, risk)], len(risk), len(risk)
        return position, risk

    def finish(self) -> Findings:
        """Return mean and shortfall by position of the book; NaN where it never happened.

        The mean's interval is Student's: a position may have few such paths.
        """
        happened = self.count > 0
        counted = independent(self.count.astype(np.float64), self.confidence)
        degrees = np.where(counted > 1, counted - 1, np.nan)
        error = np.sqrt(self.squares / degrees / np.maximum(self.count, 1))
        half = stdtrit(degrees, 0.5 + self.confidence / 2) * error
        mean = np.where(happened, self.mean, np.nan)
        bounds = np.stack([mean - half, mean + half], axis=-1)
        return {
            "positions": {
                "effective_risk_mean": Estimate(mean, bounds),
                "effective_risk_shortfall": self._shortfall(),
                "effective_risk_paths": self.count,
            }
        }

    def _shortfall(self) -> Estimate:
        position, risk = self._cut()
        positions = len(self.count)
        value, interval = np.full(positions, np.nan), np.full((positions, 2), np.nan)
        start = np.searchsorted(position, np.arange(positions))
        # positions with the same number of paths have the same ranks
        for count in np.unique(self.count[self.count > 0]):
            some = np.flatnonzero(self.count == count)
            places = start[some][:, None] + np.arange(min(count, self.keep))
            tails = risk[places].astype(np.float64)
            if (self._left_out[some] > tails[:, -1]).any():
                raise ArithmeticError("a part of the paths kept too few of its largest losses")
            value[some], interval[some] = expected_shortfall(
                tails, int(count), _LEVEL, self.confidence
            )
        # a share of nothing has no bounds either
        interval[np.isnan(value)] = np.nan
        return Estimate(value, interval)


def _by_position(position: Integers, risk: Floats) -> Integers:
    """Return the order of positions, ascending, and within one of risks, descending, NaN last.

    Whole numbers of 64 bits are sorted many times faster than pairs of keys.
    """
    descending = np.argsort(-risk)
    places = position[descending].astype(np.int64) * len(risk) + np.arange(len(risk))
    return descending[np.sort(places) % max(len(risk), 1)]
