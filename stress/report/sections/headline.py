"""The numbers that a committee asks for first, and what their intervals do not hold."""

from __future__ import annotations

import xarray as xr

from stress.report.read import (
    attribute,
    dataset,
    estimates,
    has,
    numbers,
    sentences,
)
from stress.report.section import Column, Content, Headline, Section, Table
from stress.report.text import Kind, days, level_name, plural, shown

__all__ = ["SECTION"]

_WATCHED = {
    "step": "margin is looked at once a step",
    "bridge": "margin is looked at between steps too, by a Brownian bridge",
}


def _applies(tree: xr.DataTree) -> bool:
    return has(tree, "book", "liquidation_probability")


def _headlines(tree: xr.DataTree) -> tuple[Headline, ...]:
    book = dataset(tree, "book")
    single: list[tuple[str, Kind, str]] = [
        (
            "Liquidation probability, mean over accounts",
            "probability",
            "liquidation_probability",
        ),
        ("At least one liquidation", "probability", "any_liquidation_probability"),
        ("Expected total loss", "money", "expected_total_loss"),
    ]
    found = [
        Headline(label, kind, estimates(book, name).at())
        for label, kind, name in single
        if name in book
    ]
    if has(tree, "book", "total_loss_expected_shortfall"):
        last = int(numbers(book, "level").argmax())
        shortfall = estimates(book, "total_loss_expected_shortfall").at(last)
        level = level_name(float(numbers(book, "level")[last]))
        found.append(Headline(f"Expected shortfall of total loss, {level}", "money", shortfall))
    if "expected_uncovered_loss" in book:
        uncovered = estimates(book, "expected_uncovered_loss").at()
        found.append(Headline("Expected uncovered loss", "money", uncovered))
    return tuple(found)


def _shares(tree: xr.DataTree) -> tuple[Table, ...]:
    """Return how likely it is that more than a share of the accounts is liquidated."""
    if not has(tree, "book", "liquidated_share_probability"):
        return ()
    book = dataset(tree, "book")
    these = estimates(book, "liquidated_share_probability")
    rows = tuple(
        (f"more than {level_name(float(share))} of accounts", these.at(index))
        for index, share in enumerate(numbers(book, "share"))
    )
    columns = (Column("Liquidated by the horizon"), Column("Probability", "probability"))
    return (Table("Many liquidations on one path", columns, rows),)


def _lead(tree: xr.DataTree) -> tuple[str, ...]:
    mean = estimates(dataset(tree, "book"), "liquidation_probability").at()
    within = f"within {days(attribute(tree, 'horizon_days'))}"
    mode = attribute(tree, "mode", "as-booked")
    margin = "margin as booked" if mode == "as-booked" else f"every account under {mode} margin"
    if attribute(tree, "accounts") == "1":
        first = f"The account is liquidated {within} with a probability of"
    else:
        accounts = plural(attribute(tree, "accounts"), "account")
        first = f"Of {accounts}, the average one is liquidated {within} with a probability of"
    return (f"{first} {shown('probability', mean)}, with {margin}.",)


def _notes(tree: xr.DataTree) -> tuple[str, ...]:
    sure = level_name(float(attribute(tree, "confidence", "nan")))
    monitoring = attribute(tree, "monitoring")
    watched = _WATCHED.get(monitoring, f"monitoring {monitoring}")
    size = (
        f"{plural(attribute(tree, 'paths'), 'path')} of {plural(attribute(tree, 'steps'), 'step')} "
        f"each, {plural(attribute(tree, 'accounts'), 'account')}, "
        f"seed {attribute(tree, 'seed')}, {attribute(tree, 'precision')}; "
        f"{watched}."
    )
    honest = (
        f"In brackets: {sure} intervals. They hold sampling error only, that is how far another "
        "set of random paths would move a number. Calibration error, from volatilities, "
        "correlations or a market model that turn out wrong, is not in them."
    )
    limits = () if has(tree, "limits", "value") else ("The scenario declares no limit.",)
    return (honest, size, *limits)


def _content(tree: xr.DataTree) -> Content:
    return Content(
        lead=_lead(tree),
        headlines=_headlines(tree),
        notes=_notes(tree),
        warnings=sentences(tree, "notices"),
        tables=_shares(tree),
    )


SECTION = Section("headline", "At a glance", _applies, _content)
