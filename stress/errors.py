"""What a user is told when something is wrong, and the exit code that goes with it.

Every message is one line: where (file and key), the rule, the value found, the way out.
"""

from __future__ import annotations

from os import PathLike

__all__ = ["InputError", "Interrupted", "MissingInputError", "StressError", "closest", "ending"]


class StressError(Exception):
    """Base of every error raised on purpose; ``exit_code`` is what the command ends with."""

    exit_code = 1


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
        super().__init__(" ".join(text.split()))


class MissingInputError(InputError):
    """An input file named by the scenario is absent (exit code 5)."""

    exit_code = 5


class Interrupted(StressError):
    """The run was stopped from outside by Ctrl-C or SIGTERM (exit code 75)."""

    exit_code = 75


def closest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """Return ``'did you mean "x"?'`` for the nearest known name, else the list of known names."""
    # difflib is imported here because only a failing run pays for it
    import difflib

    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if matches:
        return f'did you mean "{matches[0]}"?'
    return "known: " + ", ".join(known)


def ending(items: list[str], limit: int = 5) -> str:
    """Join at most ``limit`` items and say how many more there are."""
    more = len(items) - limit
    return ", ".join(items[:limit]) + (f" and {more} more" if more > 0 else "")
