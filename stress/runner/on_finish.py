"""``--on-finish COMMAND``: hand what came of a run to a program of the user's.

The program is started without a shell and told everything by its environment. What becomes of it
is said and does not change what the run ends with: a mail that was not sent is no risk figure.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stress.errors import InputError
from stress.result.summary import SUMMARY
from stress.runner.folder import REPORT

__all__ = ["PATIENCE", "Outcome", "hand_on", "words_of"]

PATIENCE = 60.0
"""Seconds that the program may take: less than the 90 after which systemd kills what it stops."""

_STDERR = 2


@dataclass(frozen=True)
class Outcome:
    """What came of a command.

    Attributes
    ----------
    exit_code
        What it ends with.
    name
        Of the scenario that ran, or of all of them, with commas.
    folder
        The run folder, or that of the page of several; None if none was made.
    page
        The page to look at, where it is not the report of the run folder.
    error
        The line that was said of a failure; empty if there was none.
    """

    exit_code: int
    name: str = ""
    folder: Path | None = None
    page: Path | None = None
    error: str = ""

    def environment(self) -> dict[str, str]:
        """Return what a program is told; what does not exist is empty."""
        folder = self.folder
        report = self.page or (folder and folder / REPORT)
        summary = folder and folder / SUMMARY
        return {
            "MARGIN_STRESS_EXIT_CODE": str(self.exit_code),
            "MARGIN_STRESS_NAME": self.name,
            "MARGIN_STRESS_FOLDER": _existing(folder),
            "MARGIN_STRESS_REPORT": _existing(report),
            "MARGIN_STRESS_SUMMARY": _existing(summary),
            "MARGIN_STRESS_ERROR": self.error,
        }


def _existing(path: Path | None) -> str:
    return str(path.resolve()) if path is not None and path.exists() else ""


def words_of(command: str) -> list[str]:
    """Return the words of a command, as a shell would split it; nothing is expanded.

    Raises
    ------
    InputError
        There is none, a quote is open, or no such program: better said now than after the run.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        rule = f"{str(error).lower()} in {command!r}"
        raise InputError(rule, key="--on-finish", remedy="close the quotes") from None
    if not words:
        remedy = "name a program, such as /usr/local/bin/tell-the-desk"
        raise InputError("there is no command", key="--on-finish", remedy=remedy)
    if shutil.which(words[0]) is None:
        raise InputError(
            f'there is no program "{words[0]}"',
            key="--on-finish",
            remedy="give its whole path, and make it executable",
        )
    return words


def hand_on(
    words: Sequence[str], told: Mapping[str, str], *, patience: float = PATIENCE
) -> str | None:
    """Run a program and wait for it.

    Parameters
    ----------
    words
        The program and its arguments.
    told
        What it finds in its environment besides that of this process. What it writes to stdout goes
        to stderr, since stdout may be somebody's JSON.
    patience
        Seconds after which it is ended, with whatever it has started.

    Returns
    -------
    What went wrong, as the end of a sentence about the program; None if nothing did.
    """
    try:
        process = subprocess.Popen(
            words,
            env={**os.environ, **told},
            stdin=subprocess.DEVNULL,
            stdout=_STDERR,
            # a group of its own, so that all of it can be ended
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return f"could not be started: {getattr(error, 'strerror', None) or error}"
    try:
        code = process.wait(patience)
    except subprocess.TimeoutExpired:
        _end(process)
        return f"was ended after {patience:.3g} s"
    except KeyboardInterrupt:
        # the run is over: what it ends with stands already
        _end(process)
        return "was ended by an interruption"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with {code}" if code else None


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
