"""Differences of accounts and groups: all intervals of a table hold together (Bonferroni)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from stress.compare.facts import bounded, group_of, labels, numbers
from stress.compare.holdings import matched
from stress.compare.liquidations import Counts, Side, count_liquidations, has_bits
from stress.compare.verdicts import settled, verdict_of
from stress.compare.whole import correlation_of, recovered
from stress.result.comparison import (
    AccountChange,
    AccountChanges,
    Bounded,
    Difference,
    Pairing,
    Verdict,
)
from stress.stats.confidence import Confidence, shared
from stress.stats.differences import paired_probability, recovered_difference
from stress.stats.probability import exact_probability_interval, normal_quantile
from stress.types import Array, Floats, Integers

__all__ = ["Pair", "account_changes", "group_differences", "pair_up"]

_MOST = 50
"""Accounts that are told one by one."""

_MOST_GROUPS = 64
"""Groups that are compared: those with most accounts."""

_LIMIT = "max_account_liquidation_probability"
_SHARE, _ANY = "liquidation_probability", "any_liquidation_probability"


@dataclass(frozen=True)
class Pair:
    """The accounts and groups that both runs have, and what the common paths say of them.

    Attributes
    ----------
    place
        (2, accounts) places of the accounts in each run.
    groups
        Labels of the groups.
    counts
        None where paths are not paired or a run does not say who was liquidated on which.
    """

    one: xr.DataTree
    other: xr.DataTree
    pairing: Pairing
    place: tuple[Integers, Integers]
    groups: tuple[str, ...]
    counts: Counts | None

    @property
    def trees(self) -> tuple[xr.DataTree, xr.DataTree]:
        """Both results."""
        return self.one, self.other

    def confidence(self, statements: int) -> float:
        """Return the confidence of each of several statements."""
        whole = Confidence(self.pairing.confidence, self.pairing.design_effect)
        return shared(whole, statements)


def pair_up(one: xr.DataTree, other: xr.DataTree, pairing: Pairing) -> Pair:
    """Match accounts and groups by their labels, and count on the paths that both have."""
    place = _matched_accounts(one, other)
    groups = _matched_groups(one, other)
    counts = None
    if pairing.how == "paired" and has_bits(one) and has_bits(other):
        mine, theirs = (
            _side(tree, at, groups) for tree, at in zip((one, other), place, strict=True)
        )
        counts = count_liquidations(mine, theirs, pairing.paths)
    return Pair(one, other, pairing, place, groups, counts)


def _matched_accounts(one: xr.DataTree, other: xr.DataTree) -> tuple[Integers, Integers]:
    """Return the places of the accounts that exist in the main world of both."""
    places = matched(*(labels(tree, "accounts", "account") for tree in (one, other)))
    exist = [_exists(tree)[at] for tree, at in zip((one, other), places, strict=True)]
    both = exist[0] & exist[1]
    return places[0][both], places[1][both]


def _exists(tree: xr.DataTree) -> Array:
    """Return (accounts,) whether each has a counterpart in the main world."""
    data = group_of(tree, "accounts")
    if _SHARE not in data:
        return np.zeros(len(labels(tree, "accounts", "account")), bool)
    return np.isfinite(numbers(data, _SHARE))


def _matched_groups(one: xr.DataTree, other: xr.DataTree) -> tuple[str, ...]:
    """Return the groups that both have, those with most accounts, in the order of the other."""
    known = set(labels(one, "groups", "group").tolist())
    names = [name for name in labels(other, "groups", "group").tolist() if name in known]
    if len(names) <= _MOST_GROUPS:
        return tuple(names)
    member = labels(other, "accounts", "group")
    sizes = {name: int((member == name).sum()) for name in names}
    kept = set(sorted(names, key=lambda name: -sizes[name])[:_MOST_GROUPS])
    return tuple(name for name in names if name in kept)


def _side(tree: xr.DataTree, chosen: Integers, groups: tuple[str, ...]) -> Side:
    member, exists = labels(tree, "accounts", "group"), _exists(tree)
    return Side(
        packed=group_of(tree, "liquidations")["liquidated"].values,
        accounts=len(exists),
        chosen=chosen,
        members=tuple(np.flatnonzero((member == group) & exists) for group in groups),
    )


def account_changes(pair: Pair) -> AccountChanges:
    """Return how the liquidation probability of every account changed."""
    compared = len(pair.place[0])
    each = pair.confidence(compared)
    value, bounds = _account_intervals(pair, each)
    up, down = bounds[:, 0] > 0, bounds[:, 1] < 0
    limits = [_limit(tree) for tree in pair.trees]
    crossed, certain = _crossed(pair, each, limits)
    order = np.argsort(-np.abs(value), kind="stable")

    def rows(some: Array) -> tuple[AccountChange, ...]:
        chosen = [i for i in order if some[i]][:_MOST]
        return tuple(
            _row(pair, i, value, bounds, str(crossed[i]), bool(certain[i])) for i in chosen
        )

    return AccountChanges(
        compared=compared,
        up=int(up.sum()),
        down=int(down.sum()),
        limit_one=limits[0],
        limit_other=limits[1],
        over=int((crossed == "over").sum()),
        under=int((crossed == "under").sum()),
        crossed=rows(crossed != ""),
        most=rows(value != 0),
    )


def _account_intervals(pair: Pair, confidence: float) -> tuple[Floats, Floats]:
    """Return (accounts,) differences and (accounts, 2) intervals."""
    counts = pair.counts
    if counts is not None:
        nowhere = (counts.only_one == 0) & (counts.only_other == 0)
        value, bounds = paired_probability(
            counts.only_one, counts.only_other, pair.pairing.paths, confidence, exact=True
        )
        if pair.pairing.shared == "everything":
            bounds[nowhere] = 0.0
        return value, bounds
    if pair.pairing.shared == "everything":
        return np.zeros(len(pair.place[0])), np.zeros((len(pair.place[0]), 2))
    one, other = (
        _own_intervals(tree, at, confidence)
        for tree, at in zip(pair.trees, pair.place, strict=True)
    )
    return recovered_difference(*one, *other, correlation_of(pair.pairing))


def _own_intervals(tree: xr.DataTree, at: Integers, confidence: float) -> tuple[Floats, Floats]:
    """Return the probabilities of some accounts with intervals at another confidence.

    Plain paths are counted anew, exactly. Where the run estimates otherwise (weighted or
    quasi-random paths) its own interval is stretched as a normal one would be.
    """
    if not len(at):
        return np.zeros(0), np.zeros((0, 2))
    data, paths = group_of(tree, "accounts"), int(tree.attrs["paths"])
    value = numbers(data, _SHARE)[at]
    variance = value * (1 - value) * paths / max(paths - 1, 1)
    bounds = exact_probability_interval(value, variance, paths, confidence)
    if "liquidation_estimator" in data:
        other = labels(tree, "accounts", "liquidation_estimator")[at] != "plain"
        own = numbers(data, f"{_SHARE}_interval")[at]
        ratio = normal_quantile(confidence) / normal_quantile(float(tree.attrs["confidence"]))
        wide = value[:, None] + (own - value[:, None]) * max(ratio, 1.0)
        bounds[other] = np.clip(wide, 0.0, 1.0)[other]
    return value, bounds


def _limit(tree: xr.DataTree) -> float:
    """Return the highest probability that a run allows an account; NaN where it states none."""
    data = group_of(tree, "limits")
    names = labels(tree, "limits", "limit").tolist()
    if _LIMIT not in names:
        return float("nan")
    return float(numbers(data, "threshold")[names.index(_LIMIT)])


def _crossed(pair: Pair, confidence: float, limits: list[float]) -> tuple[Array, Array]:
    """Return (accounts,) who crossed the limit and how, and whether both sides are certain.

    A run that states no limit is held against the other one's.
    """
    known = [limit for limit in limits if not np.isnan(limit)]
    if not known:
        nobody = np.full(len(pair.place[0]), "", "U5")
        return nobody, np.zeros(len(nobody), bool)
    over, certain = [], []
    for tree, at, limit in zip(pair.trees, pair.place, limits, strict=True):
        threshold = known[0] if np.isnan(limit) else limit
        value, bounds = _own_intervals(tree, at, confidence)
        over.append(value > threshold)
        certain.append(np.where(over[-1], bounds[:, 0] > threshold, bounds[:, 1] <= threshold))
    crossed = np.where(over[1] & ~over[0], "over", np.where(over[0] & ~over[1], "under", ""))
    return crossed, certain[0] & certain[1]


def _row(
    pair: Pair, i: int, value: Floats, bounds: Floats, crossed: str, certain: bool
) -> AccountChange:
    data = [group_of(tree, "accounts") for tree in pair.trees]
    change = bounded(value[i], bounds[i])
    place = [int(at[i]) for at in pair.place]
    one, other = (
        bounded(
            float(found[_SHARE].values[at]),
            np.asarray(found[f"{_SHARE}_interval"].values[at], float),
        )
        for found, at in zip(data, place, strict=True)
    )
    return AccountChange(
        account=str(data[1]["account"].values[place[1]]),
        group=str(data[1]["group"].values[place[1]]) if "group" in data[1] else "",
        one=one,
        other=other,
        change=change,
        verdict=verdict_of(change),
        crossed=crossed,  # type: ignore[arg-type]
        settled=certain,
    )


def group_differences(pair: Pair) -> tuple[Difference, ...]:
    """Return how the mean and the any-liquidation probability of every group changed."""
    data = [group_of(tree, "groups") for tree in pair.trees]
    return tuple(
        _group_difference(pair, name, number)
        for name in (_SHARE, _ANY)
        if all(name in of for of in data)
        for number in range(len(pair.groups))
    )


def _group_difference(pair: Pair, name: str, number: int) -> Difference:
    label = pair.groups[number]
    one, other = (_reported(tree, name, label) for tree in pair.trees)
    change, verdict = _group_change(pair, name, number, one, other)
    return Difference(
        name=name,
        level=float("nan"),
        label=label,
        unit="probability",
        headline=False,
        one=one,
        other=other,
        change=change,
        verdict=verdict,
        narrower=float("nan"),
    )


def _reported(tree: xr.DataTree, name: str, group: str) -> Bounded:
    """Return a number of a group as the run's own report gives it."""
    data = group_of(tree, "groups")
    place = labels(tree, "groups", "group").tolist().index(group)
    return bounded(numbers(data, name)[place], numbers(data, f"{name}_interval")[place])


def _group_change(
    pair: Pair, name: str, number: int, one: Bounded, other: Bounded
) -> tuple[Bounded, Verdict]:
    """Return a group's difference with an interval that holds together with the others'."""
    each, counts = pair.confidence(len(pair.groups)), pair.counts
    if counts is None and pair.pairing.shared == "everything":
        return Bounded(0.0, 0.0, 0.0), "the same"
    if counts is None:
        stretch = normal_quantile(each) / normal_quantile(pair.pairing.confidence)
        change = recovered(one, other, correlation_of(pair.pairing), stretch)
        return change, verdict_of(change)
    scale = max(abs(one.estimate), abs(other.estimate))
    mean = name == _SHARE
    if mean:
        found = counts.share.finish_mean(each)
        change, differing = bounded(found.value[number], found.interval[number]), counts.differing
    else:
        only = counts.group_only_one[number], counts.group_only_other[number]
        value, bounds = paired_probability(*only, pair.pairing.paths, each, exact=True)
        change, differing = bounded(value, bounds), counts.group_only_one + counts.group_only_other
    if pair.pairing.shared == "everything" and differing[number] == 0:
        return Bounded(0.0, 0.0, 0.0), "the same"
    return settled(change, int(differing[number]), scale, mean=mean)
