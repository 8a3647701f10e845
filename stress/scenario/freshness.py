"""How old the inputs of a scenario are, and whether it allows that.

Ages are measured by this machine's clock when a command starts: a run that is resumed was judged
when it began. A scenario that names every input file with its hash repeats a run, as the resolved
scenario of a run folder does; its age says nothing and is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from os.path import abspath
from pathlib import Path
from typing import Any

from stress.errors import InputError, StaleInputError
from stress.scenario.book_folder import BOOK_FILE, moment_beside
from stress.scenario.durations import duration_seconds
from stress.scenario.resolve import input_files
from stress.scenario.schema import Scenario
from stress.scenario.toml import read_toml

__all__ = [
    "SKEW",
    "Dated",
    "age_words",
    "ages",
    "check_freshness",
    "check_moments",
    "dated_inputs",
    "is_repetition",
    "spoken",
    "written",
]

SKEW = timedelta(minutes=5)
"""How far ahead of this machine's clock a moment may be: two machines' clocks differ by less."""

_REMEDIES = {
    "market": "calibrate on newer prices, or state a longer market.max_age",
    "book": "import the book again, or state a longer book.max_age",
}

_MISSING = {
    "market": "state market.as_of, or name a calibration that was written by "
    '"margin-stress calibrate" in market.calibration',
    "book": f"state book.as_of, or import the book: {BOOK_FILE} beside its tables holds it",
}


@dataclass(frozen=True)
class Dated:
    """An input whose age is limited.

    Attributes
    ----------
    table
        ``"market"`` or ``"book"``: the table of the scenario that limits it.
    what
        What is that old: ``"the book"``.
    as_of
        Moment that it is of, with a time zone.
    max_age
        The limit as it is written, such as ``"36h"``.
    file
        Where the moment stands; None if the scenario was no file.
    """

    table: str
    what: str
    as_of: datetime
    max_age: str
    file: Path | None

    @property
    def subject(self) -> str:
        """What begins a sentence about it, the verb included."""
        return f"{self.what} are" if self.what == "the prices" else f"{self.what} is"

    def age(self, now: datetime) -> timedelta:
        """Return how old it is; negative if it is of a later moment."""
        return now - self.as_of

    def is_stale(self, now: datetime) -> bool:
        """Return whether it is older than it may be."""
        return self.age(now).total_seconds() > duration_seconds(self.max_age)


def check_moments(scenario: Scenario) -> None:
    """Refuse a ``max_age`` without a moment to measure it from.

    Raises
    ------
    InputError
        Neither the scenario nor what it takes its prices or its book from says of when they are.
    """
    for table, stated in (("market", scenario.market), ("book", scenario.book)):
        if stated.max_age is not None and stated.as_of is None:
            raise InputError(
                f"there is no {table}.as_of to measure an age from",
                file=scenario.source,
                key=f"{table}.max_age",
                remedy=_MISSING[table],
            )


def check_freshness(scenario: Scenario, *, now: datetime | None = None) -> None:
    """Refuse a loaded scenario with an input that is older than its ``max_age``.

    Parameters
    ----------
    scenario
        As ``load_scenario`` returns it.
    now
        The moment that ages are measured at, with a time zone; by default this machine's clock.

    Raises
    ------
    StaleInputError
        An input is too old (exit code 5).
    InputError
        It is of a moment more than ``SKEW`` ahead: the moment or the clock is wrong (exit code 2).
    """
    if is_repetition(scenario):
        return
    now = now or datetime.now(UTC)
    for dated in dated_inputs(scenario):
        _check(dated, now)


def is_repetition(scenario: Scenario) -> bool:
    """Return whether every input file is named with its hash, so that none can be another's."""
    folder = scenario.source.parent if scenario.source else Path()
    named = {abspath(folder / name) for name in scenario.inputs}
    return {str(file) for file in input_files(scenario).values()} <= named


def dated_inputs(scenario: Scenario) -> tuple[Dated, ...]:
    """Return what a loaded scenario limits the age of; nothing where it states no ``max_age``.

    Where a calibration says when each asset's prices end, an asset whose price is taken from it is
    as old as those: one dead feed among many is stale too.
    """
    return (*_market(scenario), *_book(scenario))


def _market(scenario: Scenario) -> Iterator[Dated]:
    market = scenario.market
    if market.max_age is None or market.as_of is None:
        return
    told = _calibration(market.calibration)
    same = market.calibration is not None and told.get("as_of") == market.as_of
    file = market.calibration if same else scenario.source
    yield Dated("market", "the prices", market.as_of, market.max_age, file)
    taken = told.get("price", {})
    for asset, last in told.get("last", {}).items():
        # a price that the scenario states is not the calibration's
        if asset in market.price and market.price[asset] == taken.get(asset):
            what = f"the price of {asset}"
            yield Dated("market", what, last, market.max_age, market.calibration)


def _calibration(file: Path | None) -> dict[str, Any]:
    """Return the moments and the prices of a calibration file, as far as it states them."""
    if file is None:
        return {}
    raw = read_toml(file)
    provenance = raw.get("calibration", {})
    last = provenance.get("last", {}) if isinstance(provenance, Mapping) else {}
    last = last if isinstance(last, Mapping) else {}
    moments = {asset: moment for asset in last if (moment := _moment(last[asset]))}
    return {"as_of": _moment(raw.get("as_of")), "price": raw.get("price", {}), "last": moments}


def _moment(value: object) -> datetime | None:
    """Return a moment with its time zone, UTC where it states none; None if it is none."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _book(scenario: Scenario) -> Iterator[Dated]:
    book = scenario.book
    if book.max_age is None or book.as_of is None:
        return
    beside = moment_beside(book.accounts) == book.as_of
    file = book.accounts.parent / BOOK_FILE if beside else scenario.source
    yield Dated("book", "the book", book.as_of, book.max_age, file)


def ages(scenario: Scenario, *, now: datetime | None = None) -> list[dict[str, str | float]]:
    """Return what is limited in age and how old it is, as rows with numbers that JSON can hold."""
    now = now or datetime.now(UTC)
    return [
        {
            "what": dated.what,
            "as_of": written(dated.as_of),
            "hours": round(dated.age(now).total_seconds() / 3_600, 3),
            "max_age": dated.max_age,
        }
        for dated in dated_inputs(scenario)
    ]


def age_words(scenario: Scenario, *, now: datetime | None = None) -> tuple[str, ...]:
    """Return a phrase for each age that is limited, or why none is judged."""
    dated = dated_inputs(scenario)
    if dated and is_repetition(scenario):
        return ("not judged: [inputs] names every file by its hash, as of a run that is repeated",)
    now = now or datetime.now(UTC)
    return tuple(
        f"{each.subject} {spoken(each.age(now))} old (of {written(each.as_of)}), at most "
        f'"{each.max_age}"'
        for each in dated
    )


def _check(dated: Dated, now: datetime) -> None:
    age = dated.age(now)
    said = f"{dated.subject} of {written(dated.as_of)}"
    if age < -SKEW:
        raise InputError(
            f"{said}, {spoken(-age)} after this machine's clock, which says {written(now)}",
            file=dated.file,
            key=f"{dated.table}.as_of",
            remedy="correct the moment, or the clock",
        )
    if dated.is_stale(now):
        raise StaleInputError(
            f'{said}, {spoken(age)} old, at most "{dated.max_age}" is allowed',
            file=dated.file,
            key=f"{dated.table}.max_age",
            remedy=_REMEDIES[dated.table],
        )


def written(moment: datetime) -> str:
    """Return a moment as ``2026-11-20T00:00:00Z``."""
    try:
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except OverflowError:
        # on the first or the last day that there is, in another time zone
        return moment.isoformat()


def spoken(span: timedelta) -> str:
    """Return a span of time in the unit that a person would use, such as ``"49.2 hours"``."""
    seconds = span.total_seconds()
    if seconds < 2 * 60:
        return f"{seconds:.0f} seconds"
    if seconds < 2 * 3_600:
        return f"{seconds / 60:.0f} minutes"
    if seconds < 3 * 86_400:
        return f"{seconds / 3_600:.1f} hours"
    return f"{seconds / 86_400:.1f} days"
