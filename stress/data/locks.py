"""A lock on a folder that ends with the process that holds it.

The kernel holds the lock (``flock``), not the file: a process that dies, however it dies, lets go
of it, and the file that it leaves behind locks nobody out.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stress.errors import InputError

__all__ = ["is_locked", "locked"]

_NAME = "lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of an existing folder; its file says who does.

    Raises
    ------
    InputError
        If another process holds it, or the file system knows no locks.
    """
    path = folder / _NAME
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InputError(
                f"is in use by another run ({file.read().strip() or 'unknown'})",
                file=folder,
                remedy="wait for it to end, or name another folder with --out",
            ) from None
        except OSError as error:
            raise InputError(
                f"cannot be locked: {error.strerror}",
                file=folder,
                remedy="name a folder on a file system with locks",
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


def is_locked(folder: Path) -> bool:
    """Return whether a process that is alive holds the lock of a folder."""
    path = folder / _NAME
    if not path.is_file():
        return False
    with path.open("r", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
