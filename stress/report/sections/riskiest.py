"""The riskiest accounts as a table that sorts."""

from __future__ import annotations

from collections.abc import Callable

import xarray as xr

from stress.report.read import dataset, estimates, has_values, labels, largest, numbers
from stress.report.section import Cell, Column, Content, Section, Table
from stress.report.text import Kind, level_name

__all__ = ["SECTION"]

_MOST = 50


def _applies(tree: xr.DataTree) -> bool:
    return has_values(tree, "accounts", "liquidation_probability")


def _marks(tree: xr.DataTree, accounts: int) -> list[str]:
    """Return what is remarkable about each account at the start, in a word."""
    margin = dataset(tree, "margin")
    words = [""] * accounts
    for name, word in (("hidden_distress", "distress"), ("in_breach", "breach")):
        if name in margin:
            for index, flag in enumerate(margin[name].values):
                words[index] = word if flag else words[index]
    return words


def _reader(data: xr.Dataset, name: str, level: int | None) -> Callable[[int], Cell]:
    """Return what reads one account's cell of a variable, at a level where it has levels."""
    if f"{name}_interval" not in data:
        plain = numbers(data, name)
        return lambda account: float(plain[account])
    these = estimates(data, name)
    if level is None:
        return these.at
    return lambda account: these.at(account, level)


def _columns(data: xr.Dataset) -> list[tuple[Column, Callable[[int], Cell]]]:
    specified: list[tuple[str, Kind, str]] = [
        ("Liquidated", "probability", "liquidation_probability"),
        ("Margin call", "probability", "margin_call_probability"),
        ("Expected loss", "money", "expected_loss"),
        ("Shortfall", "money", "expected_shortfall"),
        ("Equity", "money", "initial_equity"),
        ("Margin ratio", "ratio", "initial_margin_ratio"),
        ("Leverage", "ratio", "effective_leverage"),
    ]
    level = int(numbers(data, "level").argmax()) if "level" in data.coords else None
    found = []
    for title, kind, name in specified:
        if name not in data:
            continue
        if level is not None and "level" in data[name].dims:
            full = f"{title}, {level_name(float(numbers(data, 'level')[level]))}"
            found.append((Column(full, kind), _reader(data, name, level)))
        else:
            found.append((Column(title, kind), _reader(data, name, None)))
    return found


def _content(tree: xr.DataTree) -> Content:
    data = dataset(tree, "accounts")
    order = largest(estimates(data, "liquidation_probability").value, _MOST)
    names, groups = labels(data, "account"), labels(data, "group")
    marks, columns = _marks(tree, len(names)), _columns(data)
    rows: list[tuple[Cell, ...]] = [
        (
            names[account],
            groups[account],
            *(read(account) for _, read in columns),
            marks[account],
        )
        for account in order.tolist()
    ]
    many = f"The {_MOST} riskiest of {len(names):,} accounts" if len(names) > _MOST else "Accounts"
    heading = (
        Column("Account"),
        Column("Group"),
        *(column for column, _ in columns),
        Column("Mark"),
    )
    return Content(
        lead=("A heading sorts the table by its column; once more turns the order round.",),
        tables=(Table(f"{many}, by liquidation probability", heading, tuple(rows), sorted_by=2),),
        notes=(
            "Marks at the start: distress, hidden, where the pool is above the warning level "
            "although every one of its positions looks healthy by itself; breach, where a pool is "
            "in breach already. Margin ratio: maintenance margin over "
            "equity, above 1 is a breach. Leverage: gross notional over equity. Losses are "
            "negative where the account gains.",
        ),
    )


SECTION = Section("riskiest", "Riskiest accounts", _applies, _content)
