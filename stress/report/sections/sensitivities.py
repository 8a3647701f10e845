"""What small changes of books and market do to the accounts' numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from stress.report import figures
from stress.report.read import Estimate, attribute, dataset, estimates, has_values, labels, largest
from stress.report.read import numbers as read
from stress.report.section import Cell, Column, Content, Drawing, Section, Table
from stress.report.text import Kind, level_name, plural, shown

__all__ = ["SECTION"]

_ACCOUNTS, _POSITIONS, _ASSETS, _PAIRS = 20, 20, 15, 15

_GROUP = "sensitivities"


def _applies(tree: xr.DataTree) -> bool:
    return _GROUP in tree.children


def _lead(tree: xr.DataTree) -> tuple[str, ...]:
    if not has_values(tree, _GROUP, "liquidation_probability"):
        return ("Sensitivities were asked for, and there are none.",)
    lead = (
        "What a small change does, everything else as it is: the slope at the book as it stands. "
        f"{_scope(tree[_GROUP].attrs, read(dataset(tree, _GROUP), 'paths'))}",
    )
    return (*lead, *_in_words(tree))


def _scope(said: Mapping[Any, Any], paths: Any) -> str:
    accounts, everybody = int(said.get("accounts", 0)), int(said.get("accounts_of", 0))
    whose = plural(accounts, "account")
    if accounts < everybody:
        whose += f" of {everybody:,}, the most often liquidated and others spread over the groups"
    return (
        f"Computed on {plural(float(paths), 'path')} of {plural(said.get('steps', 0), 'step')}, of "
        f"{whose}."
    )


def _in_words(tree: xr.DataTree) -> tuple[str, ...]:
    """Return one sentence on the account that is liquidated most often."""
    data = dataset(tree, _GROUP)
    change = estimates(data, "liquidation_probability_by_collateral")
    chance = estimates(data, "liquidation_probability").value
    known = largest(np.where(np.isnan(change.value), np.nan, chance), 1)
    if not len(known):
        return ()
    account = int(known[0])
    of = labels(data, "account", known)[0]
    verb = "lowers" if change.value[account] <= 0 else "raises"
    flipped = change.at(account)
    if verb == "lowers":
        flipped = Estimate(-flipped.value, -flipped.upper, -flipped.lower)
    by = str(shown("difference", flipped)).removeprefix("+")
    return (f"1 % more collateral {verb} the liquidation probability of {of} by {by}.",)


def _accounts(tree: xr.DataTree) -> Table:
    data = dataset(tree, _GROUP)
    chance, plain = estimates(data, "liquidation_probability"), _plain(tree)
    order = largest(chance.value, _ACCOUNTS)
    effects = [estimates(data, f"{name}_by_collateral") for name in _MEASURES[:2]]
    tail = estimates(data, "expected_shortfall_by_collateral")
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            chance.at(account),
            plain.get(name, Estimate(float("nan"))),
            *(effect.at(account) for effect in effects),
            tail.at(account, -1),
        )
        for name, account in zip(labels(data, "account", order), order.tolist(), strict=True)
    ]
    columns = (
        Column("Account"),
        Column("Liquidated, at any moment", "probability"),
        Column("Liquidated, in this run", "probability"),
        Column("Its change", "difference"),
        Column("Expected loss", "money"),
        Column(f"Shortfall at {_level(data)}", "money"),
    )
    return Table("1 % more collateral: what changes", columns, tuple(rows), sorted_by=1)


_MEASURES = ("liquidation_probability", "expected_loss", "expected_shortfall")


def _plain(tree: xr.DataTree) -> dict[str, Estimate]:
    """Return the run's own probability of each account."""
    data = dataset(tree, "accounts")
    if "liquidation_probability" not in data:
        return {}
    these = estimates(data, "liquidation_probability")
    return {name: these.at(row) for row, name in enumerate(labels(data, "account"))}


def _level(data: xr.Dataset) -> str:
    return level_name(float(read(data, "level")[-1]))


def _positions(tree: xr.DataTree) -> Table:
    data = dataset(tree, _GROUP)
    chance, loss = (estimates(data, f"{name}_by_size") for name in _MEASURES[:2])
    tail = estimates(data, "expected_shortfall_by_size")
    order = largest(np.abs(chance.value), _POSITIONS)
    rows: list[tuple[Cell, ...]] = [
        (name, chance.at(row), loss.at(row), tail.at(row, -1))
        for name, row in zip(labels(data, "position", order), order.tolist(), strict=True)
    ]
    columns = (
        Column("Position"),
        Column("Liquidated", "difference"),
        Column("Expected loss", "money"),
        Column(f"Shortfall at {_level(data)}", "money"),
    )
    return Table("1 % more of a position: what changes for its account", columns, tuple(rows))


def _assets(tree: xr.DataTree) -> tuple[Table, ...]:
    data, names = dataset(tree, _GROUP), []
    for by, words in (
        ("volatility", "volatility 0.01 higher"),
        ("maintenance", "rates 10 bp higher"),
    ):
        if has_values(tree, _GROUP, f"mean_liquidation_probability_by_{by}"):
            names.append((by, words))
    if not names:
        return ()
    first = estimates(data, f"mean_liquidation_probability_by_{names[0][0]}")
    order = largest(np.abs(first.value), _ASSETS)
    shares: tuple[tuple[str, str, Kind], ...] = (
        ("liquidation_probability", "Liquidated", "difference"),
        ("expected_loss", "Loss", "money"),
    )
    effects = [
        (estimates(data, f"mean_{measure}_by_{by}"), Column(f"{title}, {words}", kind))
        for by, words in names
        for measure, title, kind in shares
    ]
    rows: list[tuple[Cell, ...]] = [
        (name, *(effect.at(asset) for effect, _ in effects))
        for name, asset in zip(labels(data, "asset", order), order.tolist(), strict=True)
    ]
    columns = (Column("Asset"), *(column for _, column in effects))
    return (Table("Market and rates: what changes, mean over accounts", columns, tuple(rows)),)


def _pairs(tree: xr.DataTree) -> tuple[Table, ...]:
    name = "mean_liquidation_probability_by_pair"
    if not has_values(tree, _GROUP, name):
        return ()
    data = dataset(tree, _GROUP)
    chance, loss = estimates(data, name), estimates(data, "mean_expected_loss_by_pair")
    above = np.triu(np.ones(chance.value.shape, bool), 1)
    order = largest(np.abs(np.where(above, chance.value, np.nan)).reshape(-1), _PAIRS)
    assets = labels(data, "asset")
    rows: list[tuple[Cell, ...]] = [
        (f"{assets[one]}, {assets[other]}", chance.at(one, other), loss.at(one, other))
        for one, other in (divmod(place, len(assets)) for place in order.tolist())
    ]
    columns = (Column("Pair"), Column("Liquidated", "difference"), Column("Loss", "money"))
    return (
        Table("A correlation 0.01 higher: what changes, mean over accounts", columns, tuple(rows)),
    )


def _content(tree: xr.DataTree) -> Content:
    said = tree[_GROUP].attrs
    warnings = (str(said["notice"]),) if "notice" in said else ()
    if not has_values(tree, _GROUP, "liquidation_probability"):
        return Content(lead=_lead(tree), warnings=warnings)
    drawing = Drawing(
        "sensitivities",
        figures.sensitivities(tree),
        "Change of the mean liquidation probability of these accounts for each small change of "
        "what they share; bars are intervals.",
    )
    return Content(
        lead=_lead(tree),
        warnings=warnings,
        figures=(drawing,),
        tables=(_accounts(tree), _positions(tree), *_assets(tree), *_pairs(tree)),
        notes=_notes(tree),
    )


def _notes(tree: xr.DataTree) -> tuple[str, ...]:
    monitoring = attribute(tree, "monitoring", "step")
    own = "" if monitoring == "bridge" else f' The run\'s own number is under "{monitoring}".'
    return (
        "Of each account's own first passage with prices seen at any moment, between steps too, "
        f"without price impact, controls or feedback from others.{own}",
        "A pool that is liquidated loses its collateral: more of it makes that rarer, and dearer.",
        "Collateral is cash, shared among an account's pools in proportion to their equity; a "
        "position grows at its entry price. A change of 1 % is small: twice the change does not "
        "do exactly twice as much.",
        f"Intervals are from {tree[_GROUP].attrs.get('batches', 16)} batches of paths, each for "
        "one number. A dash stands where too few paths say anything.",
    )


SECTION = Section("sensitivities", "What small changes do", _applies, _content)
