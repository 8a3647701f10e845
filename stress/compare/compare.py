"""Two results held against each other; no file is read or written here."""

from __future__ import annotations

import xarray as xr

from stress.compare.accounts import Pair, account_changes, group_differences, pair_up
from stress.compare.facts import group_of, labels, run_of
from stress.compare.holdings import book_change
from stress.compare.limits import limit_changes
from stress.compare.pairing import pairing_of
from stress.compare.scenario import changes
from stress.compare.whole import book_differences
from stress.errors import InputError
from stress.result.comparison import FORM, Comparison, Difference, Pairing
from stress.result.schema import SCHEMA_VERSION

__all__ = ["compare", "require_comparable"]

_NEEDED = ("seed", "paths", "accounts", "confidence")


def compare(
    one: xr.DataTree, other: xr.DataTree, *, folders: tuple[str, str] = ("", "")
) -> Comparison:
    """Return what changed between two runs, and every difference with its interval.

    Differences are ``other`` minus ``one``, of the main worlds. With one seed they are taken path
    by path, over the paths that both runs have; with two, from the two estimates.

    Parameters
    ----------
    one, other
        Results, as ``open_result`` returns them; ``one`` is the earlier, if one is.
    folders
        What the runs are called in the answer.

    Raises
    ------
    InputError
        If one of them is no result of a run, or one of another form.
    """
    for tree, folder in zip((one, other), folders, strict=True):
        require_comparable(tree, folder)
    pairing = pairing_of(one, other)
    pair = pair_up(one, other, pairing)
    whole, groups = book_differences(one, other, pairing), group_differences(pair)
    return Comparison(
        form=FORM,
        one=run_of(one, folders[0]),
        other=run_of(other, folders[1]),
        pairing=pairing,
        changes=changes(one, other),
        book=book_change(one, other),
        differences=whole,
        limits=limit_changes(one, other, whole, groups),
        groups=groups,
        accounts=account_changes(pair),
        notices=tuple(_notices(one, other, pairing, pair, whole)),
    )


def require_comparable(tree: xr.DataTree, folder: str = "") -> None:
    """Refuse what is no result of a run, or one of another form.

    Raises
    ------
    InputError
        With the folder that was named.
    """
    version = str(tree.attrs.get("schema_version", "")).partition(".")[0]
    if any(name not in tree.attrs for name in _NEEDED) or "book" not in tree.children:
        raise InputError(
            "is no result of a run", file=folder or None, remedy="name the folder of a run"
        )
    if version != SCHEMA_VERSION.partition(".")[0]:
        raise InputError(
            f"has the form {version or 'of no version'}, this program reads {SCHEMA_VERSION}",
            file=folder or None,
            remedy="run its scenario again",
        )


def _notices(
    one: xr.DataTree,
    other: xr.DataTree,
    pairing: Pairing,
    pair: Pair,
    whole: tuple[Difference, ...],
) -> list[str]:
    """Return sentences on what a reader of the differences must know."""
    said = [
        _unequal_lengths(one, other, pairing),
        _other_digits(pairing, whole),
        _no_bits(pairing, pair),
        _drawn_hits(one, other, pair),
        _other_estimates(one, other, pairing),
        _two_confidences(one, other),
        _left_out_groups(one, other, pair),
        _modes(one, other),
    ]
    return [sentence for sentence in said if sentence]


def _unequal_lengths(one: xr.DataTree, other: xr.DataTree, pairing: Pairing) -> str:
    paths = [int(tree.attrs["paths"]) for tree in (one, other)]
    if pairing.how != "paired" or paths[0] == paths[1]:
        return ""
    return (
        f"one run has {paths[0]:,} paths, the other {paths[1]:,}: differences are of the first "
        f"{pairing.paths:,} of both, estimates of all of each"
    )


def _other_digits(pairing: Pairing, whole: tuple[Difference, ...]) -> str:
    """Say that two runs which should agree path by path do not."""
    if pairing.shared != "everything" or all(found.verdict == "the same" for found in whole):
        return ""
    return (
        "nothing differs that decides what becomes of a path, yet paths differ: one of the two "
        "results is not what its scenario gives"
    )


def _no_bits(pairing: Pairing, pair: Pair) -> str:
    known = pairing.how == "independent" or pairing.shared == "everything"
    if known or pair.counts is not None:
        return ""
    return (
        "a result does not say who was liquidated on which path: differences of accounts and "
        "groups allow for any correlation of the two runs, and are wider than they need be"
    )


def _drawn_hits(one: xr.DataTree, other: xr.DataTree, pair: Pair) -> str:
    bridged = any(tree.attrs.get("monitoring") == "bridge" for tree in (one, other))
    if not bridged or pair.counts is None:
        return ""
    return (
        "between steps a liquidation is drawn on each path and weighed in the estimates: paired "
        "differences are of what was drawn, and may differ a little from those of the estimates"
    )


def _other_estimates(one: xr.DataTree, other: xr.DataTree, pairing: Pairing) -> str:
    if pairing.how != "paired":
        return ""
    for tree in (one, other):
        data = group_of(tree, "accounts")
        plain = "liquidation_estimator" not in data or bool(
            (labels(tree, "accounts", "liquidation_estimator") == "plain").all()
        )
        if not plain or "diagnostics" in tree.children:
            return (
                "where a run estimates by weighted, split or quasi-random paths, the estimates are "
                "those, and the differences are of the plain paths"
            )
    return ""


def _two_confidences(one: xr.DataTree, other: xr.DataTree) -> str:
    pair = [float(tree.attrs["confidence"]) for tree in (one, other)]
    if pair[0] == pair[1]:
        return ""
    return (
        f"the runs state intervals at {pair[0]:.4g} and {pair[1]:.4g}: those of differences hold "
        f"at least at {min(pair):.4g}"
    )


def _left_out_groups(one: xr.DataTree, other: xr.DataTree, pair: Pair) -> str:
    both = set(labels(one, "groups", "group")) & set(labels(other, "groups", "group"))
    if len(both) <= len(pair.groups):
        return ""
    return f"of {len(both):,} groups the {len(pair.groups):,} with most accounts are compared"


def _modes(one: xr.DataTree, other: xr.DataTree) -> str:
    pair = [str(tree.attrs.get("mode", "")) for tree in (one, other)]
    if pair[0] == pair[1]:
        return ""
    return f"the main world is {pair[0]} in one run and {pair[1]} in the other"
