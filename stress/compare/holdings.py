"""What is not the same in two books: accounts and positions, matched by their labels."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import xarray as xr

from stress.compare.facts import group_of, labels, numbers
from stress.result.comparison import AssetChange, BookChange, BookRow, Tally
from stress.types import Array, Floats, Integers

__all__ = ["book_change", "matched"]

_MOST = 50
"""Rows that are told one by one."""

_ROUNDING = 1e-9
"""Relative difference below which two sums of the same numbers are the same."""


def matched(one: Array, other: Array) -> tuple[Integers, Integers]:
    """Return the places of the labels that both have, in the order of the other."""
    _, place_one, place_other = np.intersect1d(one, other, return_indices=True)
    order = np.argsort(place_other)
    return place_one[order], place_other[order]


def book_change(one: xr.DataTree, other: xr.DataTree) -> BookChange:
    """Return what changed in the book as far as the results know it: equities and quantities."""
    accounts = [_accounts(tree) for tree in (one, other)]
    positions = [_positions(tree) for tree in (one, other)]
    of_accounts, account_rows = _held_against("account", *accounts)
    of_positions, position_rows = _held_against("position", *positions)
    rows = account_rows + position_rows
    gross = [float(np.abs(notional).sum()) for _, _, notional in positions]
    equity = [float(np.nansum(held)) for _, held, _ in accounts]
    return BookChange(
        accounts=of_accounts,
        positions=of_positions,
        equity_one=equity[0],
        equity_other=equity[1],
        gross_one=gross[0],
        gross_other=gross[1],
        rows=tuple(sorted(rows, key=lambda row: -row.size)[:_MOST]),
        assets=_assets(one, other),
    )


_Kind: TypeAlias = Literal["account", "position"]
_What: TypeAlias = Literal["added", "removed", "changed"]
_Held: TypeAlias = tuple[Array, Floats, Floats]
"""Labels, what is held of each (equity, or signed quantity), and what that is worth, USD."""


def _accounts(tree: xr.DataTree) -> _Held:
    data, names = group_of(tree, "accounts"), labels(tree, "accounts", "account")
    if "initial_equity" not in data:
        return names, np.full(len(names), np.nan), np.full(len(names), np.nan)
    equity = numbers(data, "initial_equity")
    return names, equity, equity


def _positions(tree: xr.DataTree) -> _Held:
    data, names = group_of(tree, "positions"), labels(tree, "positions", "position")
    if "quantity" not in data or "notional" not in data:
        return names, np.full(len(names), np.nan), np.zeros(len(names))
    return names, numbers(data, "quantity"), numbers(data, "notional")


def _held_against(kind: _Kind, one: _Held, other: _Held) -> tuple[Tally, list[BookRow]]:
    """Return how many changed, and the largest changes."""
    mine, theirs = matched(one[0], other[0])
    before, after = one[1][mine], other[1][theirs]
    known = ~(np.isnan(before) | np.isnan(after))
    changed = np.flatnonzero(known & ~np.isclose(before, after, rtol=_ROUNDING, atol=0.0))
    sizes = _sizes(kind, before, after, other[2][theirs], one[2][mine])
    gone = np.setdiff1d(np.arange(len(one[0])), mine)
    new = np.setdiff1d(np.arange(len(other[0])), theirs)
    rows = [
        *_rows(kind, "changed", other[0][theirs], before, after, sizes, changed),
        *_rows(kind, "removed", one[0], one[1], None, np.abs(one[2]), gone),
        *_rows(kind, "added", other[0], None, other[1], np.abs(other[2]), new),
    ]
    tally = Tally(len(one[0]), len(other[0]), len(new), len(gone), len(changed))
    return tally, rows


def _sizes(kind: _Kind, before: Floats, after: Floats, worth: Floats, was: Floats) -> Floats:
    """Return how large changes are in USD: of a position at the later mark."""
    apart = np.abs(after - before)
    if kind == "account":
        return apart
    with np.errstate(invalid="ignore", divide="ignore"):
        mark = np.where(after != 0, worth / np.abs(after), was / np.abs(before))
    return apart * np.nan_to_num(mark, nan=0.0, posinf=0.0)


def _rows(
    kind: _Kind,
    what: _What,
    names: Array,
    before: Floats | None,
    after: Floats | None,
    sizes: Floats,
    some: Integers,
) -> list[BookRow]:
    """Return the largest of some rows."""
    sizes = np.nan_to_num(sizes, nan=0.0)
    largest = some[np.argsort(-sizes[some], kind="stable")][:_MOST]
    absent = np.full(len(names), np.nan)
    one, other = absent if before is None else before, absent if after is None else after
    return [
        BookRow(kind, str(names[i]), what, float(one[i]), float(other[i]), float(sizes[i]))
        for i in largest
    ]


def _assets(one: xr.DataTree, other: xr.DataTree) -> tuple[AssetChange, ...]:
    """Return the assets whose net or gross position is another one, the largest change first."""
    found = [_sums(tree) for tree in (one, other)]
    rows = []
    for asset in dict.fromkeys([*found[0], *found[1]]):
        before, after = (held.get(asset, (0.0, 0.0)) for held in found)
        if not np.allclose(before, after, rtol=_ROUNDING, atol=0.0):
            rows.append(AssetChange(asset, before[0], after[0], before[1], after[1]))
    rows.sort(key=lambda row: -abs(row.gross_other - row.gross_one))
    return tuple(rows[:_MOST])


def _sums(tree: xr.DataTree) -> dict[str, tuple[float, float]]:
    data = group_of(tree, "assets")
    if "net_position" not in data or "gross_position" not in data:
        return {}
    names = labels(tree, "assets", "asset").tolist()
    net, gross = (numbers(data, name).tolist() for name in ("net_position", "gross_position"))
    return dict(zip(names, zip(net, gross, strict=True), strict=True))
