"""A comparison as sections, and as one HTML page with the look of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stress.report.changes import (
    Names,
    account_table,
    asset_table,
    book_sentence,
    book_table,
    change_table,
    difference_table,
    limit_table,
    pairing_sentence,
    signed_cell,
)
from stress.report.document import Heading
from stress.report.section import Content, Drawing, Table
from stress.report.text import count, joined, level_name, plural
from stress.result.comparison import AccountChanges, Comparison, Difference, Run

__all__ = ["RUNS", "Part", "parts_of", "render_comparison", "run_sentence"]

RUNS = Names("A", "B")


@dataclass(frozen=True)
class Part:
    """A section of the page: its anchor and heading."""

    name: str
    title: str


def render_comparison(comparison: Comparison) -> str:
    """Return the page of a comparison; it needs nothing from outside, as the report of a run."""
    # Plotly is slow to import, and a terminal does without
    from stress.compare.figures import account_figures
    from stress.report.page import page_of

    return page_of(_heading(comparison), parts_of(comparison, account_figures(comparison)))


def _heading(comparison: Comparison) -> Heading:
    names = list(dict.fromkeys([comparison.one.name, comparison.other.name]))
    return Heading(
        title=f"Two runs compared: {' and '.join(names)}",
        created=f"{_when(comparison.one)} (A), {_when(comparison.other)} (B)",
        source="differences are B minus A",
        as_of="",
    )


def _when(run: Run) -> str:
    return run.created_at or "no date"


def parts_of(
    comparison: Comparison, figures: tuple[Drawing, ...] = ()
) -> list[tuple[Part, Content]]:
    """Return the sections that a comparison has something to say in.

    Parameters
    ----------
    figures
        Of the accounts.
    """
    parts = [
        (Part("differences", "Differences"), _differences(comparison)),
        (Part("changes", "What changed"), _changes(comparison)),
        (Part("limits", "Limits"), _limits(comparison)),
        (Part("accounts", "Accounts"), _accounts(comparison, figures)),
        (Part("groups", "Groups"), _groups(comparison)),
        (Part("further", "Further figures"), _further(comparison)),
        (Part("method", "How it was compared"), _method(comparison)),
    ]
    return [(part, content) for part, content in parts if content != Content()]


def _differences(comparison: Comparison) -> Content:
    paired = comparison.pairing.how == "paired"
    headline = [of for of in comparison.differences if of.headline]
    lead = (pairing_sentence(comparison.pairing), _summary(headline))
    return Content(
        lead=tuple(sentence for sentence in lead if sentence),
        warnings=tuple(_sentence(notice) for notice in comparison.notices),
        tables=_difference_tables("Headline figures", headline, comparison),
        notes=(
            "In brackets: intervals of sampling error, each by itself. A and B are what the two "
            "reports say. "
            + (
                "Narrower by pairing: how many times as wide the interval of the difference would "
                "be if the runs shared no random numbers."
                if paired
                else "The difference is that of the two columns."
            ),
        ),
    )


def _further(comparison: Comparison) -> Content:
    others = [of for of in comparison.differences if not of.headline]
    return Content(tables=_difference_tables("Of the whole book", others, comparison))


def _difference_tables(
    caption: str, some: Sequence[Difference], comparison: Comparison
) -> tuple[Table, ...]:
    """Return a table of some differences; none where there are none."""
    paired = comparison.pairing.how == "paired"
    return (difference_table(caption, some, RUNS, narrower=paired),) if some else ()


def _summary(headline: Sequence[Difference]) -> str:
    """Return which headline figures certainly moved, and which way."""
    said = []
    for verdict in ("up", "down"):
        moved = [f"{_lower(of.label)} {signed_cell(of.unit, of.change)}" for of in headline]
        moved = [text for text, of in zip(moved, headline, strict=True) if of.verdict == verdict]
        if moved:
            said.append(f"{verdict}: {'; '.join(moved)}")
    if said:
        return f"Of {len(headline)} headline figures, {'. '.join(said)}."
    if headline and all(of.verdict == "the same" for of in headline):
        return "Every headline figure is the same."
    return "Of no headline figure a difference can be told." if headline else ""


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _changes(comparison: Comparison) -> Content:
    book = comparison.book
    tables: list[Table] = []
    if comparison.changes:
        tables.append(
            change_table("Versions, platform, inputs, scenario", comparison.changes, RUNS)
        )
    if book.assets:
        tables.append(asset_table("Positions by asset", book.assets, RUNS))
    if book.rows:
        caption = "Accounts and positions, the largest changes first"
        tables.append(book_table(caption, book.rows, RUNS))
    nothing = "Versions, platform, inputs and scenario are the same."
    lead = (book_sentence(book),)
    return Content(lead=lead if comparison.changes else (nothing, *lead), tables=tuple(tables))


def _limits(comparison: Comparison) -> Content:
    if not comparison.limits:
        return Content()
    moved = [of for of in comparison.limits if of.verdict_one != of.verdict_other]
    limits = plural(len(comparison.limits), "declared limit")
    lead = f"Of {limits}, {count(len(moved))} changed its verdict."
    if len(moved) != 1:
        lead = f"Of {limits}, {count(len(moved))} changed their verdicts."
    if not moved:
        lead = f"None of the verdicts on {limits} changed."
    return Content(
        lead=(lead,),
        tables=(limit_table("Declared limits", comparison.limits, RUNS),),
        notes=(
            "A maximum over accounts has no difference here: another account may attain it. "
            "The section Accounts has every account's own.",
        ),
    )


def _accounts(comparison: Comparison, figures: tuple[Drawing, ...]) -> Content:
    accounts = comparison.accounts
    if not accounts.compared:
        return Content()
    tables = []
    if accounts.crossed:
        caption = "Accounts that crossed the limit, the largest change first"
        tables.append(account_table(caption, accounts.crossed, RUNS, limits=True))
    if accounts.most:
        caption = "Accounts whose liquidation probability changed most"
        tables.append(account_table(caption, accounts.most, RUNS, limits=False))
    sure = level_name(comparison.pairing.confidence)
    return Content(
        lead=(_account_sentence(accounts), *_crossing_sentence(accounts)),
        figures=figures,
        tables=tuple(tables),
        notes=(
            f"Differences hold together for all {plural(accounts.compared, 'account')} at {sure} "
            "(Bonferroni). A limit is crossed where the estimate is over it in one run and not in "
            "the other; it is resolved where each run's interval, at the same shared confidence, "
            "is on its side.",
        ),
    )


def _account_sentence(accounts: AccountChanges) -> str:
    """Return how many accounts certainly changed."""
    moved = [
        f"{count(number)} went {way}"
        for number, way in ((accounts.up, "up"), (accounts.down, "down"))
        if number
    ]
    changed = joined(moved) if moved else "none is known to have changed"
    return (
        f"Of the liquidation probabilities of {plural(accounts.compared, 'account')} that are in "
        f"both runs {changed}."
    )


def _crossing_sentence(accounts: AccountChanges) -> tuple[str, ...]:
    """Return how many accounts crossed the limit, where there is one."""
    if np.isnan([accounts.limit_one, accounts.limit_other]).all():
        return ()
    return (
        f"{plural(accounts.over, 'account is', 'accounts are')} over the limit in B and not in A, "
        f"{plural(accounts.under, 'account', 'accounts')} in A and not in B.",
    )


def _groups(comparison: Comparison) -> Content:
    tables = []
    for name, caption in (
        ("liquidation_probability", "Liquidation probability, mean over accounts"),
        ("any_liquidation_probability", "At least one liquidation in the group"),
    ):
        some = [of for of in comparison.groups if of.name == name]
        if some:
            tables.append(difference_table(caption, some, RUNS, heading="Group", narrower=False))
    if not tables:
        return Content()
    note = "Differences of a table hold together for all its groups (Bonferroni)."
    return Content(tables=tuple(tables), notes=(note,))


def _method(comparison: Comparison) -> Content:
    return Content(
        items=(
            *(
                run_sentence(name, run)
                for name, run in zip(RUNS, (comparison.one, comparison.other), strict=True)
            ),
            "Path by path: means by the normal law of the differences; probabilities from the "
            "paths on which only one run is hit (Zou and Donner 2008); expected shortfall by each "
            "path's influence on it (Hong and Liu 2009); value at risk from the order-statistic "
            "intervals of both and the correlation of being beyond the quantile.",
            "Independent: from the two intervals (Newcombe 1998 for probabilities, Zou and Donner "
            "2008 for the rest).",
            "No interval is given of a mean where fewer than 20 paths differ.",
        )
    )


def run_sentence(name: str, run: Run) -> str:
    """Return the facts of a run in one line."""
    facts = [
        run.name,
        _when(run),
        f"seed {run.seed}",
        plural(run.paths, "path"),
        plural(run.accounts, "account"),
        *([f"data as of {run.as_of}"] if run.as_of else []),
        *([run.folder] if run.folder else []),
    ]
    return f"{name}: {', '.join(facts)}."
