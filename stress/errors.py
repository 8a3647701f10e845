"""What a user is told when something is wrong, and the exit code that goes with it.

Every message is one line: where (file and key), the rule, the value found, the way out.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike

__all__ = [
    "EXIT_CODES",
    "InputError",
    "Interrupted",
    "MissingInputError",
    "READER_GONE",
    "StaleInputError",
    "StressError",
    "closest",
    "ending",
    "exit_code_of",
]

EXIT_CODES: Mapping[int, str] = {
    0: "done, every declared limit is kept",
    1: "a bug",
    2: "usage or invalid input",
    3: "done, a declared limit is breached",
    4: "done, but not resolved by this many paths",
    5: "an input file is absent or too old",
    75: "interrupted: finished work is kept",
}
"""What a command ends with, and what that means; 3 goes before 4."""

READER_GONE = 141
"""What a shell reports of a program whose reader closed the pipe (128 + SIGPIPE)."""


_LONGEST = 1_500
"""Characters of a message: a value in it may have any length, and what helps is at the ends."""


_LONGEST_COMPARED = 100
"""Characters of a name for which a like one is looked for."""

_MOST_COMPARED = 10_000
"""Known names among which it is looked for: half a second's worth."""


def _one_line(text: str) -> str:
    """Return a text on one line that a terminal shows and does not obey, whatever a file put in."""
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(
            mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in line
        )
    if len(line) <= _LONGEST:
        return line
    return f"{line[: _LONGEST * 2 // 3]} ... {line[-_LONGEST // 3 :]}"


class StressError(Exception):
    """Base of every error raised on purpose; ``exit_code`` is what the command ends with."""

    exit_code = 1

    def __init__(self, text: str = "") -> None:
        super().__init__(_one_line(text))


class InputError(StressError):
    """A scenario, table or option that cannot be used (exit code 2).

    Parameters
    ----------
    rule
        What must hold, with the offending value in it, e.g. ``"volatility must be positive, got
        -0.2"``.
    file, key
        Where the value stands: the file and the dotted key, or the row and column of a table.
    remedy
        What the user can do about it.
    """

    exit_code = 2

    def __init__(
        self,
        rule: str,
        *,
        file: str | PathLike[str] | None = None,
        key: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.rule, self.file, self.key, self.remedy = rule, file, key, remedy
        where = [str(part) for part in (file, key) if part]
        text = ": ".join([*where, rule]) + (f"; {remedy}" if remedy else "")
        super().__init__(text)


class MissingInputError(InputError):
    """An input file named by the scenario is absent (exit code 5)."""

    exit_code = 5


class StaleInputError(InputError):
    """An input is older than the scenario allows (exit code 5)."""

    exit_code = 5


class Interrupted(StressError):
    """The run was stopped from outside by Ctrl-C or SIGTERM (exit code 75)."""

    exit_code = 75


def exit_code_of(error: BaseException) -> int:
    """Return what a command ends with that is ended by an error."""
    if isinstance(error, StressError):
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        return READER_GONE
    return Interrupted.exit_code if isinstance(error, KeyboardInterrupt) else StressError.exit_code


def closest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """Return ``'did you mean "x"?'`` for the nearest known name, else the list of known names."""
    # difflib is imported here because only a failing run pays for it
    import difflib

    some = list(known)[:_MOST_COMPARED]
    matches = difflib.get_close_matches(name[:_LONGEST_COMPARED], some, n=1, cutoff=0.6)
    if matches:
        return f'did you mean "{matches[0]}"?'
    return "known: " + ", ".join(known)


def ending(items: list[str], limit: int = 5) -> str:
    """Join at most ``limit`` items and say how many more there are."""
    more = len(items) - limit
    return ", ".join(items[:limit]) + (f" and {more} more" if more > 0 else "")
