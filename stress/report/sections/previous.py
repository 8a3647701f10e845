"""What has changed since the previous run of the scenario, on the report's first page."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import numpy as np

from stress.report.changes import (
    Names,
    account_table,
    book_sentence,
    change_table,
    difference_table,
    limit_table,
    pairing_sentence,
)
from stress.report.section import Content, Link, Table
from stress.report.text import count, joined, plural
from stress.result.comparison import AccountChanges, Comparison

__all__ = ["SECTION", "Previous", "previous_content"]

RUNS = Names("Previous run", "This run")

_MOST_CHANGES, _MOST_ACCOUNTS = 10, 10
"""Rows that the first page has room for."""


@dataclass(frozen=True)
class Previous:
    """The section's anchor and heading: it is not drawn from the result alone."""

    name: str
    title: str


SECTION = Previous("previous", "Since the previous run")


def previous_content(comparison: Comparison) -> Content:
    """Return the section of a run that was compared with the previous one."""
    headline = [of for of in comparison.differences if of.headline]
    moved = [of for of in comparison.limits if of.verdict_one != of.verdict_other]
    tables: list[Table] = []
    if headline:
        caption = "Headline figures, this run minus the previous one"
        tables.append(difference_table(caption, headline, RUNS, narrower=False))
    if moved:
        tables.append(limit_table("Limits with another verdict", moved, RUNS))
    tables += [*_crossed(comparison.accounts), *_changed(comparison)]
    return Content(
        lead=(_since(comparison), book_sentence(comparison.book)),
        links=_links(comparison),
        warnings=tuple(_sentence(notice) for notice in comparison.notices),
        tables=tuple(tables),
        notes=(
            pairing_sentence(comparison.pairing),
            "Each headline difference has an interval of its own; where it holds 0 no difference "
            "can be told. Differences of accounts hold together for all of them.",
        ),
    )


def _since(comparison: Comparison) -> str:
    """Return when the previous run was, and what certainly moved since."""
    one = comparison.one
    known = [of for of in comparison.differences if of.headline]
    moved = [
        f"{count(number)} went {verdict}"
        for verdict in ("up", "down")
        if (number := sum(of.verdict == verdict for of in known))
    ]
    changed = joined(moved) if moved else "none is known to have changed"
    when = f" of {one.created_at}" if one.created_at else ""
    return (
        f"Since the previous run{when}, of {plural(len(known), 'headline figure')} {changed}. "
        f"{_accounts(comparison.accounts)}"
    )


def _accounts(accounts: AccountChanges) -> str:
    limits = np.isnan([accounts.limit_one, accounts.limit_other]).all()
    crossed = (
        ""
        if limits
        else f"; {count(accounts.over)} crossed the limit upward, {count(accounts.under)} downward"
    )
    return (
        f"Of {plural(accounts.compared, 'account')} in both runs {count(accounts.up)} are known to "
        f"be likelier to be liquidated, {count(accounts.down)} less likely{crossed}."
    )


def _links(comparison: Comparison) -> tuple[Link, ...]:
    """Return a link to the previous report, which stands in a folder beside this one."""
    folder = comparison.one.folder
    if not folder:
        return ()
    # quoted and behind a dot, a name can be neither a scheme nor a host
    address = f"./{quote(folder.replace(chr(92), '/'), safe='/.')}/report.html"
    return (Link("Report of the previous run", address),)


def _crossed(accounts: AccountChanges) -> list[Table]:
    if not accounts.crossed:
        return []
    left = accounts.over + accounts.under - _MOST_ACCOUNTS
    more = f" ({_MOST_ACCOUNTS} of {left + _MOST_ACCOUNTS:,})" if left > 0 else ""
    caption = f"Accounts that crossed the limit{more}"
    some = accounts.crossed[:_MOST_ACCOUNTS]
    return [account_table(caption, some, RUNS, limits=True)]


def _changed(comparison: Comparison) -> list[Table]:
    changes = comparison.changes
    if not changes:
        return []
    left = len(changes) > _MOST_CHANGES
    more = f" (the first {_MOST_CHANGES} of {len(changes):,})" if left else ""
    caption = f"Changed versions, platform, inputs, scenario{more}"
    return [change_table(caption, changes[:_MOST_CHANGES], RUNS)]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
