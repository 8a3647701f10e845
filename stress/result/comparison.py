"""The written form of a comparison of two runs: what ``comparison.json`` holds.

``stress.compare`` fills it in; reports read it. Differences are ``other`` minus ``one``: where a
run is compared with the previous one, ``one`` is the previous run.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from stress.errors import InputError

__all__ = [
    "COMPARISON",
    "FORM",
    "AccountChange",
    "AccountChanges",
    "AssetChange",
    "BookChange",
    "BookRow",
    "Bounded",
    "Change",
    "Comparison",
    "Difference",
    "LimitChange",
    "Pairing",
    "Run",
    "Tally",
    "Unit",
    "Verdict",
    "from_json",
    "read_comparison",
    "to_json",
]

COMPARISON = "comparison.json"

FORM = "1"
"""Version of the form; a file of another one is not read."""

Unit: TypeAlias = Literal["probability", "money", "count", "number"]
Verdict: TypeAlias = Literal[
    "up",
    "down",
    "no difference can be told",
    "too few paths differ",
    "no path differs",
    "the same",
]
"""What can be said of a difference. ``no path differs``: of those that there are; ``the same``: it
is 0 whatever the paths, but for rounding."""

Shared: TypeAlias = Literal["everything", "prices", "random numbers", "seed", "nothing"]
How: TypeAlias = Literal["paired", "independent", "either"]


def _number(value: object) -> object:
    """Return NaN for what JSON has no number for."""
    return math.nan if value is None else value


class _Reads:
    """How pydantic reads a number; it is imported only where a file is read."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(_number, handler(source))


Number: TypeAlias = Annotated[float, _Reads()]


@dataclass(frozen=True)
class Bounded:
    """A number with its interval.

    One bound may be infinite, which JSON writes as null; where neither can be given both are NaN.
    """

    estimate: Number = math.nan
    lower: Number = math.nan
    upper: Number = math.nan

    def __post_init__(self) -> None:
        """Tell a bound that is infinite from one that is not there, read back or not."""
        known = math.isfinite(self.lower), math.isfinite(self.upper)
        if not known[0]:
            object.__setattr__(self, "lower", -math.inf if known[1] else math.nan)
        if not known[1]:
            object.__setattr__(self, "upper", math.inf if known[0] else math.nan)


@dataclass(frozen=True)
class Run:
    """One of the two runs.

    Attributes
    ----------
    name
        Of the scenario.
    folder
        Where it is, as it was named; relative to the other one's folder in ``comparison.json``.
    created_at, as_of
        Moments, as text; empty where not known.
    seed, paths, accounts, positions, confidence
        Of the run.
    """

    name: str
    folder: str
    created_at: str
    as_of: str
    scenario_sha256: str
    seed: int
    paths: int
    accounts: int
    positions: int
    confidence: float


@dataclass(frozen=True)
class Pairing:
    """What the paths of the two runs share, and so how differences are worked out.

    Attributes
    ----------
    how
        ``paired``: path by path; ``independent``: from the two estimates, which know nothing of
        each other; ``either``: the same, allowing for any correlation.
    shared
        What path i of one run has in common with path i of the other; with ``everything`` even its
        outcome.
    paths
        Paths that are paired, from the first; 0 where none are.
    confidence
        Of every interval of a difference.
    design_effect
        Paths that are worth one independent path.
    because
        What is not shared, a few words each.
    """

    how: How
    shared: Shared
    paths: int
    confidence: float
    design_effect: float
    because: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """Something that is not the same: ``kind`` is version, platform, input or scenario."""

    kind: Literal["version", "platform", "input", "scenario"]
    key: str
    one: str
    other: str


@dataclass(frozen=True)
class Tally:
    """How many there are in each run, and how many were added, removed and changed."""

    one: int
    other: int
    added: int
    removed: int
    changed: int


@dataclass(frozen=True)
class BookRow:
    """An account or position that was added, removed or changed.

    Attributes
    ----------
    one, other
        Equity of an account, USD; signed quantity of a position. NaN where there is none.
    size
        How large the change is, USD: of equity, or of notional at the later marks.
    """

    kind: Literal["account", "position"]
    label: str
    what: Literal["added", "removed", "changed"]
    one: Number
    other: Number
    size: Number


@dataclass(frozen=True)
class AssetChange:
    """Sums of the book's positions in an asset that is not held as before, USD."""

    asset: str
    net_one: Number
    net_other: Number
    gross_one: Number
    gross_other: Number


@dataclass(frozen=True)
class BookChange:
    """What changed in the book; ``rows`` are the largest changes, the counts are of all.

    An account has changed where its equity at the start has, a position where its quantity has.
    """

    accounts: Tally
    positions: Tally
    equity_one: Number
    equity_other: Number
    gross_one: Number
    gross_other: Number
    rows: tuple[BookRow, ...]
    assets: tuple[AssetChange, ...]


@dataclass(frozen=True)
class Difference:
    """One number in both runs and its difference.

    Attributes
    ----------
    name, level
        Variable of the result; level of a value at risk or expected shortfall, else NaN.
    label
        In words; the group's label for a group.
    headline
        Whether it stands on the first page.
    one, other
        As the two reports give it, with their own intervals.
    change
        Other minus one; on the paired paths where paths are paired.
    verdict
        What can be said of it.
    narrower
        How many times as wide the interval would be if the runs were independent; NaN where it is
        not known.
    """

    name: str
    level: Number
    label: str
    unit: Unit
    headline: bool
    one: Bounded
    other: Bounded
    change: Bounded
    verdict: Verdict
    narrower: Number


@dataclass(frozen=True)
class LimitChange:
    """A declared limit in both runs.

    Attributes
    ----------
    verdict_one, verdict_other
        ``kept``, ``breached``, ``not resolved``, or ``not declared``.
    change, verdict
        Of what it is about; NaN, and None, for a maximum over accounts and what has no interval.
    """

    name: str
    unit: Unit
    one: Bounded
    other: Bounded
    threshold_one: Number
    threshold_other: Number
    verdict_one: str
    verdict_other: str
    change: Bounded
    verdict: Verdict | None


@dataclass(frozen=True)
class AccountChange:
    """One account's liquidation probability in both runs.

    Attributes
    ----------
    change
        With the confidence shared by all accounts that are compared (Bonferroni).
    crossed
        ``over``: the estimate was not over the limit in one and is in the other; ``under``: the
        other way round; empty: neither.
    settled
        Whether each run's own interval, at the shared confidence, is on its side of the limit.
    """

    account: str
    group: str
    one: Bounded
    other: Bounded
    change: Bounded
    verdict: Verdict
    crossed: Literal["", "over", "under"]
    settled: bool


@dataclass(frozen=True)
class AccountChanges:
    """Accounts that are in both runs.

    Attributes
    ----------
    compared, up, down
        How many there are, and how many of them certainly changed.
    limit_one, limit_other
        Highest liquidation probability that each run allows an account; NaN where it states none.
    over, under
        How many crossed the limit.
    crossed, most
        Those that did, and those that changed most, largest first: some of many.
    """

    compared: int
    up: int
    down: int
    limit_one: Number
    limit_other: Number
    over: int
    under: int
    crossed: tuple[AccountChange, ...]
    most: tuple[AccountChange, ...]


@dataclass(frozen=True)
class Comparison:
    """Two runs, what changed between them, and what came of it."""

    form: str
    one: Run
    other: Run
    pairing: Pairing
    changes: tuple[Change, ...]
    book: BookChange
    differences: tuple[Difference, ...]
    limits: tuple[LimitChange, ...]
    groups: tuple[Difference, ...]
    accounts: AccountChanges
    notices: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it: what is not finite is null."""
        found: dict[str, Any] = _finite(asdict(self))
        return found


def to_json(comparison: Comparison) -> str:
    """Return a comparison as the text of ``comparison.json``."""
    return json.dumps(comparison.to_json(), indent=2, allow_nan=False) + "\n"


def from_json(text: str | bytes) -> Comparison:
    """Return the comparison that a text holds.

    Raises
    ------
    InputError
        If it is none, or one of another form.
    """
    # slow to import, and only a report that is drawn again needs it
    from pydantic import TypeAdapter, ValidationError

    remedy = "compare the two runs again"
    try:
        found = json.loads(text)
        if not isinstance(found, dict) or found.get("form") != FORM:
            raise InputError(f"is no comparison of the form {FORM}", remedy=remedy)
        return TypeAdapter(Comparison).validate_python(found)
    except (ValueError, RecursionError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"is no comparison: {first}", remedy=remedy) from None


def read_comparison(folder: Path) -> Comparison | None:
    """Return what a run folder's ``comparison.json`` holds; None where it has none.

    Raises
    ------
    InputError
        If the file cannot be read, or is no comparison.
    """
    path = folder / COMPARISON
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        rule = f"cannot be read: {error.strerror}"
        raise InputError(rule, file=path, remedy="make it readable") from None
    try:
        return from_json(text)
    except InputError as error:
        raise InputError(error.rule, file=path, remedy=error.remedy) from None


def _finite(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _finite(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_finite(value) for value in node]
    if isinstance(node, float) and not math.isfinite(node):
        return None
    return node
