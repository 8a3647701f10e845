"""The numbers that a committee asks for first, and what their intervals do not hold."""

from __future__ import annotations

import xarray as xr

from stress.report.read import (
    Estimate,
    attribute,
    dataset,
    estimates,
    has,
    has_values,
    numbers,
    sentences,
)
from stress.report.section import Column, Content, Headline, Section, Table
from stress.report.text import Kind, days, level_name, plural, shown

__all__ = ["SECTION"]

_WATCHED = {
    "step": "margin is looked at once a step",
    "bridge": "margin is looked at between steps too, by a Brownian bridge",
    "extremes": "margin is looked at at the worst of each step's low and high",
}


def _applies(tree: xr.DataTree) -> bool:
    return has(tree, "book", "liquidation_probability")


def _at_last_level(tree: xr.DataTree, label: str, name: str) -> tuple[Headline, ...]:
    """Return a measure of the tail at its highest level; none where the result has none."""
    if not has(tree, "book", name):
        return ()
    book = dataset(tree, "book")
    last = int(numbers(book, "level").argmax())
    level = level_name(float(numbers(book, "level")[last]))
    return (Headline(f"{label}, {level}", "money", estimates(book, name).at(last)),)


def _cascade(tree: xr.DataTree) -> tuple[Headline, ...]:
    """Return what feedback costs: the first question of a book whose orders move prices."""
    if not has_values(tree, "book", "expected_cascade_loss"):
        return ()
    mean = estimates(dataset(tree, "book"), "expected_cascade_loss").at()
    return (
        Headline("Cascade loss, mean", "money", mean),
        *_at_last_level(tree, "Cascade loss, value at risk", "cascade_loss_value_at_risk"),
        *_at_last_level(
            tree, "Cascade loss, expected shortfall", "cascade_loss_expected_shortfall"
        ),
    )


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
    found += _at_last_level(
        tree, "Expected shortfall of total loss", "total_loss_expected_shortfall"
    )
    after: list[tuple[str, Kind, str]] = [
        ("Expected uncovered loss", "money", "expected_uncovered_loss"),
        ("Insurance fund exhausted", "probability", "fund_exhaustion_probability"),
        ("Cascade multiplier", "ratio", "cascade_multiplier"),
    ]
    found += [
        Headline(label, kind, estimates(book, name).at())
        for label, kind, name in after
        if name in book
    ]
    return (*_cascade(tree), *found)


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
    sentence = f"{first} {shown('probability', mean)}, with {margin}."
    return (*_feedback(tree), sentence)


def _feedback(tree: xr.DataTree) -> tuple[str, ...]:
    """Say in one sentence what feedback costs, where it was simulated."""
    if not has_values(tree, "book", "expected_cascade_loss", "expected_total_loss"):
        return ()
    book = dataset(tree, "book")
    added, total = (
        estimates(book, name).at() for name in ("expected_cascade_loss", "expected_total_loss")
    )
    loss = f"the expected total loss, which is {shown('money', total)}"
    if added == (0, 0, 0):
        return (f"Forced sales add nothing to {loss} with and without them.",)
    if added.lower > 0:
        first = f"Forced sales add {shown('money', added)} to {loss} with them"
    elif added.upper < 0:
        less = Estimate(-added.value, -added.upper, -added.lower)
        first = f"Forced sales take {shown('money', less)} off {loss} with them"
    else:
        first = (
            f"The paths do not settle what forced sales add to {loss} with them: "
            f"{shown('money', added)}"
        )
    if not has_values(tree, "book", "cascade_multiplier"):
        return (f"{first}.",)
    times = shown("ratio", estimates(book, "cascade_multiplier").at())
    return (
        f"{first}, i.e. for every dollar of positions closed without feedback {times} dollars are "
        "closed with it.",
    )


def _elsewhere(tree: xr.DataTree) -> str:
    """Say where the error of the parameters stands, where they were drawn."""
    if not has(tree, "book", "liquidation_probability_calibration_interval"):
        return ""
    return "; that of the parameters has a section of its own, Calibration error"


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
        f"correlations or a market model that turn out wrong, is not in them{_elsewhere(tree)}."
    )
    meaning = (
        "Cascade loss: total loss with feedback, in which forced orders move prices, minus total "
        "loss on the same path without it."
    )
    cascade = (meaning,) if has_values(tree, "book", "expected_cascade_loss") else ()
    limits = () if has(tree, "limits", "value") else ("The scenario declares no limit.",)
    return (*cascade, honest, size, *limits)


def _content(tree: xr.DataTree) -> Content:
    return Content(
        lead=_lead(tree),
        headlines=_headlines(tree),
        notes=_notes(tree),
        warnings=sentences(tree, "notices"),
        tables=_shares(tree),
    )


SECTION = Section("headline", "At a glance", _applies, _content)
