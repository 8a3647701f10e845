"""The page of several scenarios that were run together: worst first, with links to each report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from stress.errors import EXIT_CODES
from stress.history.marks import INDEX, PACK, check_free
from stress.history.paper import VERDICTS, Figure, columns, figures, link, most_used
from stress.history.paper import written as page_written
from stress.history.runs import HEADLINES, Run
from stress.report.text import MISSING, plural

__all__ = [
    "INTERRUPTED",
    "Member",
    "check_page",
    "gravest",
    "pack_page",
    "worst_first",
    "write_pack",
]

INTERRUPTED = 75

_GRAVITY = (3, 1, 2, 5, INTERRUPTED, 4, 0)
"""Exit codes, the gravest first. A breach is known to be there, so nothing hides it; then what has
no numbers; then what more paths would settle."""

_WORDS = {1: "error", 2: "error", 5: "error", INTERRUPTED: "interrupted"}


@dataclass(frozen=True)
class Member:
    """What became of one scenario.

    Attributes
    ----------
    scenario
        Its name.
    file
        The file that it was read from.
    exit_code
        What it would have ended with alone; None if it was not begun.
    run
        Its run folder, where there is one.
    error
        Why it has no result; empty if it has.
    """

    scenario: str
    file: str
    exit_code: int | None = None
    run: Run | None = None
    error: str = ""

    @property
    def most_used(self) -> float:
        """Return the largest share of a limit that is used; 0 where none is declared."""
        limits = self.run.limits if self.run else ()
        return max((limit.used for limit in limits if not math.isnan(limit.used)), default=0.0)

    @property
    def loss(self) -> float:
        """Return the expected total loss, USD; 0 where it is not known."""
        estimate = self.run.headlines.get("expected_total_loss") if self.run else None
        return 0.0 if estimate is None or math.isnan(estimate.value) else estimate.value


@dataclass(frozen=True)
class _Row:
    """A scenario as the table shows it."""

    name: str
    file: str
    address: str
    verdict: str
    exit_code: str
    figures: list[Figure]
    limit: str
    limit_key: str
    words: str


def gravest(members: Sequence[Member]) -> int:
    """Return the exit code of all together.

    75 where the pack was interrupted, because it is to be run again; else that of the worst.
    """
    codes = [INTERRUPTED if member.exit_code is None else member.exit_code for member in members]
    return INTERRUPTED if INTERRUPTED in codes else min(codes, key=_gravity, default=0)


def worst_first(members: Sequence[Member]) -> list[Member]:
    """Return scenarios by exit code, then by how far they are over a limit, then by loss."""
    return sorted(members, key=lambda each: (_gravity(each.exit_code), -each.most_used, -each.loss))


def pack_page(root: Path, out: str | None) -> Path:
    """Return where the page goes: ``index.html`` in ``out``, or a dated page in a root."""
    if out is not None:
        return Path(out) / INDEX
    return root / f"pack-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}.html"


def check_page(page: Path) -> None:
    """Refuse a page whose place is taken by another's, before anything is run.

    Raises
    ------
    InputError
        As ``marks.check_free`` does.
    """
    check_free(page, PACK)


def write_pack(page: Path, members: Sequence[Member], *, book: str | None) -> Path:
    """Write the page and return its path.

    Parameters
    ----------
    page
        Where it goes; its folder is made.
    members
        The scenarios, in any order.
    book
        Folder of the book that all were run on; None if each had its own.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    page.parent.mkdir(parents=True, exist_ok=True)
    ranked = worst_first(members)
    names = columns([member.run.headlines for member in ranked if member.run])
    code = gravest(members)
    return page_written(
        "pack.html.j2",
        page,
        PACK,
        title="Scenarios run together",
        byline=[
            plural(len(members), "scenario"),
            f"book {book}" if book else "each on its own book",
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        ],
        lead=_lead(members),
        code=f"Exit code {code}: {EXIT_CODES.get(code, 'unknown')}.",
        headlines=[HEADLINES[name][0] for name in names],
        rows=[_row(member, names, page) for member in ranked],
    )


def _gravity(code: int | None) -> int:
    """Return the place of an exit code, the gravest 0; what was not begun is as if interrupted."""
    known = INTERRUPTED if code is None else code
    # what is not known is a bug
    return _GRAVITY.index(known if known in _GRAVITY else 1)


def _lead(members: Sequence[Member]) -> str:
    words = [_verdict(member) for member in members]
    order = ("breached", "error", "interrupted", "not begun", "not resolved", "kept", "no limit")
    counted = [
        f"{words.count(word)} {'without a limit' if word == 'no limit' else word}"
        for word in order
        if word in words
    ]
    return f"{plural(len(members), 'scenario')}: {', '.join(counted)}."


def _verdict(member: Member) -> str:
    if member.exit_code is None:
        return "not begun"
    if member.exit_code == 0 and member.run and not member.run.limits:
        return "no limit"
    return VERDICTS.get(member.exit_code) or _WORDS.get(member.exit_code, "error")


def _row(member: Member, names: tuple[str, ...], page: Path) -> _Row:
    run = member.run
    limit, used = most_used(run.limits if run else ())
    return _Row(
        name=member.scenario,
        file=member.file,
        address=link(run.folder, "report.html", page) if run and not member.error else "",
        verdict=_verdict(member),
        exit_code=MISSING if member.exit_code is None else str(member.exit_code),
        figures=figures(run.headlines if run else {}, names),
        limit=limit or MISSING,
        limit_key=used,
        words=member.error,
    )
