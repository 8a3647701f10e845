"""Limit curves: liquidation probability over collateral and over size."""

from __future__ import annotations

from collections.abc import Iterator

import xarray as xr

from stress.report import figures
from stress.report.read import dataset, has_values, labels, numbers, world_name, worlds
from stress.report.section import Content, Drawing, Section
from stress.report.text import joined, plural

__all__ = ["SECTION"]

_GROUPS = "liquidation_probability_by_"
_ACCOUNTS = "account_liquidation_probability_by_"
_DOTTED = "The dotted line is what is held now."


def _applies(tree: xr.DataTree) -> bool:
    return has_values(tree, "curves", f"{_GROUPS}collateral")


def _content(tree: xr.DataTree) -> Content:
    attributes = tree["curves"].attrs
    rest = (
        f"They rest on {plural(attributes['accounts'], 'account')} and "
        f"{plural(attributes['paths'], 'path')} of the run."
    )
    return Content(
        lead=(
            "How much collateral would have been enough, and which size too large: every path says "
            f"it for every account, so that one simulation gives the whole curve. {rest}",
        ),
        figures=(*_of_groups(tree), *_of_accounts(tree)),
        notes=(
            "Bands are simultaneous: all points of one curve lie in them together at the run's "
            "confidence. Between two points of the grid they are steps, because there it is only "
            "known that the probability is monotone.",
            "A group's curve is the mean of the accounts named under it, which are spaced evenly "
            "over the group in the order of their liquidation probability; its band is of the "
            "paths, not of this choice.",
            *str(attributes.get("notes", "")).splitlines(),
        ),
    )


def _of_groups(tree: xr.DataTree) -> Iterator[Drawing]:
    for axis, sentence in (
        ("collateral", "every pool of an account had this multiple of its present equity"),
        (
            "size",
            "every position had this multiple of its size, the difference traded at the start",
        ),
    ):
        if has_values(tree, "curves", _GROUPS + axis):
            yield Drawing(
                f"group-curves-by-{axis}",
                figures.group_limit_curves(tree, "size" if axis == "size" else "collateral"),
                f"Share of a group's accounts that would be liquidated if {sentence}, mean over "
                f"paths. {_DOTTED} {_counts(tree, axis)}",
            )


def _of_accounts(tree: xr.DataTree) -> Iterator[Drawing]:
    which = "The accounts of each group that are liquidated most often, and its largest."
    if has_values(tree, "curves", f"{_ACCOUNTS}collateral"):
        yield Drawing(
            "account-curves-by-collateral",
            figures.account_limit_curves(tree, "collateral"),
            f"{which} Liquidation probability over multiples of their equity. {_DOTTED}",
        )
    if has_values(tree, "curves", f"{_ACCOUNTS}size"):
        yield Drawing(
            "account-curves-by-size",
            figures.account_limit_curves(tree, "size"),
            f"{which} Liquidation probability over effective leverage: gross notional over "
            f"equity, all positions in the proportions of today. {_DOTTED}",
        )


def _counts(tree: xr.DataTree, axis: str) -> str:
    """Say of how many accounts each curve is the mean, world by world where they differ."""
    data = dataset(tree, "curves")
    groups = labels(data, "group")
    said = {
        world_name(mode): joined(
            [
                f"{int(count):,} of {group}"
                for group, count in zip(groups, numbers(data, name), strict=True)
            ]
        )
        for mode, name in worlds(tree, "curves", f"accounts_by_{axis}").items()
    }
    if len(set(said.values())) == 1:
        return f"Accounts: {next(iter(said.values()))}."
    return " ".join(f"Accounts {mode}: {counts}." for mode, counts in said.items())


SECTION = Section("curves", "Limit curves", _applies, _content)
