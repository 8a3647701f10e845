"""What happens in a run, as JSON lines: one object a line, for programs that watch from outside.

Everything goes through Python's logging, to the logger ``stress``: who runs scenarios from Python
may add a handler of its own. Lines hold names, numbers, paths of files and messages; no environment
and no command line, so that nothing secret can get there.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

from stress.errors import InputError
from stress.runner.progress import Silent

__all__ = ["LOGGER", "JsonLines", "Logged", "logged_to", "tell"]

LOGGER = logging.getLogger("stress")
# without a handler of anybody Python would write warnings to stderr, which has its own
LOGGER.addHandler(logging.NullHandler())

_FIELDS = "fields"
_PAUSE = 1.0
"""Least seconds between two lines of progress, but for the last."""


def tell(event: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event with its fields, which are text, numbers, truth values, or paths."""
    LOGGER.log(level, event, extra={_FIELDS: fields})


class JsonLines(logging.Formatter):
    """A record as one line of JSON: ``time`` (UTC), ``level``, ``event``, then its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1_000:03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        return json.dumps({key: _plain(value) for key, value in line.items()}, allow_nan=False)


def _plain(value: Any) -> Any:
    """Return what JSON can hold: NaN and infinity are none of it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


class _File(logging.FileHandler):
    """A file that a run survives: the first line that cannot be written is said, once."""

    def __init__(self, path: Path, complain: Callable[[str], None]) -> None:
        super().__init__(path, mode="a", encoding="utf-8")
        self._complain: Callable[[str], None] | None = complain

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, a name of logging's
        """Say that a line was lost, and go on."""
        complain, self._complain = self._complain, None
        if complain is not None:
            complain(f"--log: {self.baseFilename} cannot be written to any more; the run goes on")


@contextmanager
def logged_to(file: str | PathLike[str] | None, complain: Callable[[str], None]) -> Iterator[None]:
    """Append what is told to a file, while the context lasts; nothing happens without a file.

    A line is written when its event happens, unlike other files, which appear whole.

    Parameters
    ----------
    file
        The folder it is in exists.
    complain
        Called once, with a sentence, if a line cannot be written later on.

    Raises
    ------
    InputError
        If the file cannot be opened.
    """
    if file is None:
        yield
        return
    try:
        handler = _File(Path(file), complain)
    except OSError as error:
        raise InputError(
            f"cannot be written to: {error.strerror}",
            file=file,
            key="--log",
            remedy="name a file in a folder that is there",
        ) from None
    handler.setFormatter(JsonLines())
    before = LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOGGER.setLevel(before)
        LOGGER.removeHandler(handler)
        # what was left to write found no room, which was said before
        with suppress(OSError):
            handler.close()


class Logged(Silent):
    """Progress that is logged as it is shown.

    Parameters
    ----------
    shown
        Where it is shown.
    name
        Of the scenario.
    total
        Number of paths.
    """

    def __init__(self, shown: Silent, name: str, total: int) -> None:
        self._shown, self._name, self._total = shown, name, total
        self._last = -math.inf

    def update(self, done: int) -> None:
        """Note that ``done`` paths are finished."""
        self._shown.update(done)
        now = time.monotonic()
        if done >= self._total or now - self._last >= _PAUSE:
            self._last = now
            tell("paths_done", name=self._name, done=done, total=self._total)

    def close(self) -> None:
        """Finish the line."""
        self._shown.close()
