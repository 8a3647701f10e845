"""Files that are read whole, within bounds, and written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

__all__ = ["atomically", "content_of"]


def content_of(path: Path, most: int) -> bytes:
    """Return the bytes of a plain file.

    A pipe would wait for a writer, a device may never end, and a file beyond any use would take all
    memory: they are refused before they are opened.

    Raises
    ------
    OSError
        It cannot be read, is no plain file, or is larger than ``most`` bytes; ``strerror`` says
        which.
    ValueError
        The path holds a character that no path can hold.
    """
    about = path.stat()
    if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
        raise OSError(errno.EINVAL, "it is no plain file but a pipe or a device")
    if about.st_size > most:
        raise OSError(errno.EFBIG, f"it has {about.st_size:,} bytes, more than {most:,}")
    return path.read_bytes()


def atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and move it there when it is complete."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        write(unfinished)
        with unfinished.open("rb") as file:
            # the name must not be there before the bytes are
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
