"""How much of a liquidation probability hangs on single rows of the history that paths draw from.

A row's influence is the probability minus the probability without the row, which the paths that
never drew it estimate: with independent rows they are just what a history without the row would
give, with longer blocks nearly so (its neighbours are then drawn less often too). Both are means
over the same paths; the interval is that of their difference, by the delta method on the ratio
``sum of hits not using / paths not using``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from stress.measure.block import AccountBlock
from stress.measure.moments import Estimate
from stress.measure.world import Findings, Grouping
from stress.stats.probability import normal_quantile
from stress.types import Array, Floats, Integers

__all__ = ["PLACES", "DataRows", "InfluenceMeasure"]

PLACES = 5
"""Rows that are named for each account."""

_CELLS = 50_000_000
"""Most counters of accounts times rows, 200 MB: beyond it rows are grouped by calendar day."""

_FEWEST = 30
"""Paths that must have drawn a row, and paths that must not, for an interval to be given."""

_CHUNK = 256
"""Accounts that are finished together."""

_BOOK = ("liquidation_probability", "any_liquidation_probability")


@dataclass(frozen=True)
class DataRows:
    """The rows of a history as what may be influential.

    Attributes
    ----------
    drawn
        Maps (paths,) path numbers to the (bars, paths) rows that they draw.
    unit
        (rows,) number of the row's unit: the row itself or its calendar day.
    labels
        (units,) the row's timestamp or the day.
    by_account
        Whether there is room for every account's own.
    """

    drawn: Callable[[Integers], Array]
    unit: Integers
    labels: Array
    by_account: bool

    @classmethod
    def build(
        cls, drawn: Callable[[Integers], Array], ends: Array, accounts: int, most: int = _CELLS
    ) -> DataRows:
        """Return the rows with (rows,) timestamps of a history, ascending, for so many accounts."""
        days = ends.astype("datetime64[D]")
        whole_days = bool((ends == days).all())
        labels, unit = ends.astype("datetime64[D]" if whole_days else "datetime64[m]"), None
        if accounts * len(ends) > most:
            labels, unit = np.unique(days, return_inverse=True)
        return cls(
            drawn,
            np.arange(len(ends)) if unit is None else unit,
            np.datetime_as_string(labels),
            accounts * len(labels) <= most,
        )


class _Sums(NamedTuple):
    """Sums over paths of numbers between 0 and 1 and of their squares.

    ``whole`` and ``whole_squares`` (...) over all paths, ``using`` and ``using_squares``
    (units, ...) over those that drew a unit.
    """

    whole: Floats
    whole_squares: Floats
    using: Floats
    using_squares: Floats


class InfluenceMeasure:
    """Uses of rows, and hits on the paths that used them.

    Parameters
    ----------
    grouping
        The accounts of the world.
    rows
        Of the history.
    first
        Number of the first path that comes.
    """

    KEPT = ("paths", "used", "whole", "using", "hits", "hits_using")

    def __init__(self, grouping: Grouping, rows: DataRows, first: int = 0) -> None:
        units, accounts = len(rows.labels), len(grouping.member)
        self.grouping, self.rows, self.first = grouping, rows, first
        self.paths = 0
        self.used = np.zeros(units)
        self.whole = np.zeros((2, len(_BOOK)))
        self.using = np.zeros((2, len(_BOOK), units))
        self.hits = np.zeros(accounts)
        self.hits_using = np.zeros((units, accounts if rows.by_account else 0), np.float32)

    def update(self, block: AccountBlock) -> None:
        """Add the next block of paths: they come in the order of their numbers."""
        next_one = self.first + self.paths
        numbers = np.arange(next_one, next_one + block.paths, dtype=np.uint32)
        unit, path = self._uses(numbers)
        exists, units = self.grouping.exists, len(self.used)
        self.paths += block.paths
        self.used += np.bincount(unit, minlength=units)
        for place, numbers_of in enumerate((block.liquidated_share(exists), block.any_hit(exists))):
            for power, each in enumerate((numbers_of, numbers_of**2)):
                self.whole[power, place] += each.sum()
                self.using[power, place] += np.bincount(unit, each[path], minlength=units)
        self.hits += block.liquidations.by_account()
        if self.rows.by_account:
            touched, row = np.unique(unit, return_inverse=True)
            ones = np.ones(len(path), np.float32)
            uses = csr_matrix((ones, (row, path)), shape=(len(touched), block.paths))
            self.hits_using[touched] += uses @ block.liquidated.T.astype(np.float32)

    def _uses(self, numbers: Integers) -> tuple[Integers, Integers]:
        """Return the distinct pairs of a unit and a path that drew it."""
        unit = self.rows.unit[np.asarray(self.rows.drawn(numbers))].astype(np.int64)
        pair = np.unique(unit * len(numbers) + np.arange(len(numbers)))
        found, path = np.divmod(pair, len(numbers))
        return found, path

    def merge(self, other: InfluenceMeasure) -> None:
        """Add what was measured on later paths."""
        self.paths += other.paths
        self.used += other.used
        self.whole += other.whole
        self.using += other.using
        self.hits += other.hits
        self.hits_using += other.hits_using

    def finish(self, confidence: float) -> Findings:
        """Return the influence of every row on the book, and of some rows on every account."""
        found: dict[str, Estimate | Array] = {
            "paths_using": self.used,
            "effective_sample_size": self.paths - self.used,
        }
        for place, name in enumerate(_BOOK):
            sums = _Sums(
                self.whole[0, place],
                self.whole[1, place],
                self.using[0, place],
                self.using[1, place],
            )
            influence = self._influence(sums, self.used, confidence)
            share = _share(influence.value, self.whole[0, place] / self.paths)
            found |= {name: influence, f"{name}_share": share}
        if self.rows.by_account:
            found |= self._accounts(confidence)
        return {"influence": found}

    def _influence(self, sums: _Sums, used: Floats, confidence: float) -> Estimate:
        """Return the influence of units that so many paths drew; NaN where all paths did."""
        paths, unused = self.paths, self.paths - used
        with np.errstate(invalid="ignore", divide="ignore"):
            whole = sums.whole / paths
            without = (sums.whole - sums.using) / unused
            # sum of squares of hit - whole - not using (hit - without) / share not using
            share = unused / paths
            slope, level = 1 - 1 / share, without / share - whole
            squares = sums.using_squares - 2 * whole * sums.using + whole**2 * used
            squares = squares + slope**2 * (sums.whole_squares - sums.using_squares)
            squares = squares + 2 * slope * level * (sums.whole - sums.using)
            squares = squares + level**2 * unused
            half = normal_quantile(confidence) * np.sqrt(np.maximum(squares, 0.0)) / paths
        value = np.where(unused > 0, whole - without, np.nan)
        half = np.where((used >= _FEWEST) & (unused >= _FEWEST), half, np.nan)
        return Estimate(value, np.stack([value - half, value + half], axis=-1))

    def _accounts(self, confidence: float) -> dict[str, Estimate | Array]:
        """Return each account's most influential rows, largest first."""
        accounts, places = len(self.hits), min(PLACES, len(self.used))
        row = np.full((accounts, PLACES), "", self.rows.labels.dtype)
        share, sample, value = np.full((3, accounts, PLACES), np.nan)
        interval = np.full((accounts, PLACES, 2), np.nan)
        able = np.flatnonzero((self.hits > 0) & self.grouping.exists)
        for some in np.array_split(able, -(-len(able) // _CHUNK) or 1):
            hits, using = self.hits[some], self.hits_using[:, some].astype(np.float64)
            # weights of a bridge count as if they were hits: intervals are then a little wide
            sums = _Sums(hits, hits, using, using)
            every = self._influence(sums, self.used[:, None], confidence)
            order = np.argsort(-every.value, axis=0, kind="stable")[:places]
            best = np.take_along_axis(every.value, order, axis=0)
            known = ~np.isnan(best).T
            row[some, :places] = np.where(known, self.rows.labels[order].T, "")
            value[some, :places] = best.T
            bounds = np.take_along_axis(every.interval, order[..., None], axis=0)
            interval[some, :places] = np.swapaxes(bounds, 0, 1)
            share[some, :places] = (best / (hits / self.paths)).T
            sample[some, :places] = np.where(known, (self.paths - self.used)[order].T, np.nan)
        return {
            "account_row": row,
            "account_influence": Estimate(value, interval),
            "account_share": share,
            "account_effective_sample_size": sample,
        }


def _share(influence: Floats, whole: float) -> Floats:
    """Return what share of a probability an influence is; NaN of nothing."""
    return influence / whole if whole > 0 else np.full_like(influence, np.nan)
