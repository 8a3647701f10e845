"""What a command does besides answering: files it writes, programs it starts, hosts it calls.

Python tells an audit hook of each of them before it happens. A hook stays for the life of the
process, so there is one, which listens only inside ``watched``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["watched"]

_CHANGES = {
    "os.mkdir": 0,
    "os.rename": 1,
    "os.remove": 0,
    "os.rmdir": 0,
    "os.symlink": 1,
    "os.link": 1,
    "os.truncate": 0,
    "os.chmod": 0,
    "os.chown": 0,
    "os.utime": 0,
    "tempfile.mkstemp": 0,
    "tempfile.mkdtemp": 0,
}
"""Events that change a file, and which of their arguments names it."""

_NEVER = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "pty.spawn",
    "socket.connect",
    "socket.bind",
    "socket.sendto",
    "urllib.Request",
    "ctypes.dlopen",
    "marshal.loads",
    "pickle.find_class",
    "webbrowser.open",
)
"""Events that no input file may bring about."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_seen: list[str] | None = None


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    if event == "open":
        path, mode, flags = arguments
        if (isinstance(mode, str) and set(mode) & set("wax+")) or (flags or 0) & _WRITING:
            _note(path)
    elif event in _CHANGES:
        _note(arguments[_CHANGES[event]])
    elif event.startswith(_NEVER) and not _importing():
        _seen.append(f"{event} {arguments!r:.200}")


def _note(path: object) -> None:
    text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else str(path)
    if _seen is not None and "__pycache__" not in text and text != os.devnull:
        _seen.append(text)


def _importing() -> bool:
    """Say whether a module is being loaded: its bytecode is unmarshalled, its library opened."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


sys.addaudithook(_listen)


@contextmanager
def watched() -> Iterator[list[str]]:
    """Yield a list that fills with the files written, and everything else that must not be."""
    global _seen
    seen: list[str] = []
    _seen = seen
    try:
        yield seen
    finally:
        _seen = None
