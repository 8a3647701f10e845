"""Rare liquidations: what the weighted paths found, and for whom they are trusted."""

from __future__ import annotations

import numpy as np
import xarray as xr

from stress.report.read import dataset, estimates, has_values, labels, numbers
from stress.report.section import Cell, Column, Content, Section, Table

__all__ = ["SECTION"]

_MOST = 40
_FOUND, _PLAIN = "importance_liquidation_probability", "plain_liquidation_probability"


def _applies(tree: xr.DataTree) -> bool:
    return has_values(tree, "diagnostics", _FOUND)


def _rarest(tree: xr.DataTree) -> Table:
    """Return the accounts with the smallest probabilities that are reported."""
    data = dataset(tree, "diagnostics")
    found, plain = estimates(data, _FOUND), estimates(data, _PLAIN)
    names, worth = labels(data, "account"), numbers(data, "importance_effective_sample_size")
    hits, share = (
        numbers(data, f"importance_{name}") for name in ("effective_hits", "largest_weight_share")
    )
    reported = np.flatnonzero(_reported(tree))
    order = reported[np.argsort(found.value[reported], kind="stable")][:_MOST]
    rows: list[tuple[Cell, ...]] = [
        (
            names[account],
            found.at(account),
            plain.at(account),
            float(worth[account]),
            float(hits[account]),
            float(share[account]),
        )
        for account in order.tolist()
    ]
    columns = (
        Column("Account"),
        Column("Weighted paths", "probability"),
        Column("Plain paths", "probability"),
        Column("Worth in plain paths", "number"),
        Column("Effective hits", "number"),
        Column("Largest weight", "percent"),
    )
    many = f"The {_MOST} rarest of {len(reported):,}" if len(reported) > _MOST else "Accounts"
    return Table(f"{many}, by liquidation probability", columns, tuple(rows), 1, descending=False)


def _reported(tree: xr.DataTree) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.asarray(dataset(tree, "accounts")["liquidation_estimator"].values == "importance")


def _content(tree: xr.DataTree) -> Content:
    data = dataset(tree, "diagnostics")
    trusted = np.asarray(data["importance_trusted"].values, bool)
    worth = numbers(data, "importance_effective_sample_size")
    reported = _reported(tree)
    paths, components = (int(data.attrs[f"importance_{name}"]) for name in ("paths", "components"))
    lead = [
        f"Beside the plain run, {paths:,} paths were drawn from {components:,} laws, most of which "
        "drift toward what liquidates an account, and weighted back. The weighted estimate is "
        f"trusted for {trusted.sum():,} of {len(trusted):,} accounts, and reported for the "
        f"{reported.sum():,} of them for which its interval is the narrower one."
    ]
    if reported.any():
        lead.append(
            f"Half of these estimates are worth {np.median(worth[reported]):,.0f} plain paths or "
            f"more, the least {worth[reported].min():,.0f}."
        )
    return Content(
        lead=tuple(lead),
        tables=(_rarest(tree),) if reported.any() else (),
        notes=(
            "An estimate is trusted with at least 50 effective hits, of which none makes up a "
            "twentieth, if the design expected as many, and if the plain paths do not contradict "
            "it. For all other accounts the plain estimate stands. Curves over time, groups, "
            "losses and joint events are those of the plain paths.",
        ),
    )


SECTION = Section("importance", "Rare liquidations", _applies, _content)
