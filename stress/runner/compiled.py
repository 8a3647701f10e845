"""Compiled kernels kept on disk between runs; set by commands, never by the library.

XLA takes seconds to compile a kernel. With a cache the second run of a scenario, or of another one
of the same shapes, reads it instead. What is read is machine code that is then run, so the folder
belongs to the user alone and is never a run folder.
"""

from __future__ import annotations

import hashlib
import os
import platform
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax

__all__ = ["VARIABLE", "CompilationCache", "compilation_cache", "use_compilation_cache"]

VARIABLE = "MARGIN_STRESS_CACHE"
"""Environment variable: a folder to keep compiled kernels in, or ``off``."""

_OFF = ("off", "0", "none")

_MOST_BYTES = 512 * 2**20
"""Compiled kernels that are kept, those used last: one takes up to some 2 MiB."""

_LEAST_SECONDS = 0.01
"""What compiles faster than this is not worth a file."""


class CompilationCache(NamedTuple):
    """Where compiled kernels are kept.

    Attributes
    ----------
    folder
        None where they are not kept.
    reason
        Why not, as half a sentence; empty where they are.
    wanted
        Whether they should be: False where the user turned the cache off.
    """

    folder: Path | None
    reason: str = ""
    wanted: bool = True

    @property
    def notices(self) -> tuple[str, ...]:
        """A sentence where a cache is wanted and there is none."""
        if self.folder is not None or not self.wanted:
            return ()
        remedy = f'name a folder of your own in {VARIABLE}, or set it to "off"'
        return (f"compiled kernels are not kept for the next run: {self.reason}; {remedy}",)


def use_compilation_cache() -> CompilationCache:
    """Have JAX keep what it compiles and read what was kept; for commands, never for library code.

    A folder that was given to JAX itself (``JAX_COMPILATION_CACHE_DIR``) is left as it is. A cache
    that cannot be used fails nothing: its reason is returned.
    """
    stated: str | None = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if stated:
        return CompilationCache(Path(stated))
    cache = compilation_cache()
    if cache.folder is None:
        return cache
    try:
        reason = _made(cache.folder)
    except OSError as error:
        reason = f"{cache.folder} cannot be written to ({error.strerror})"
    if reason:
        return CompilationCache(None, reason)
    jax.config.update("jax_compilation_cache_dir", str(cache.folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _LEAST_SECONDS)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return cache


def compilation_cache() -> CompilationCache:
    """Return where compiled kernels of this machine belong; nothing is made or read.

    ``MARGIN_STRESS_CACHE``, else ``margin-stress`` under ``XDG_CACHE_HOME``, else under
    ``~/.cache``. Each kind of processor has a folder of its own in it: home folders are shared by
    machines that cannot run each other's code.
    """
    named = os.environ.get(VARIABLE, "").strip()
    if named.lower() in _OFF:
        return CompilationCache(None, f"{VARIABLE} is {named}", wanted=False)
    try:
        root = Path(named).expanduser().absolute() if named else _default()
    except RuntimeError:
        return CompilationCache(None, "there is no home folder")
    return CompilationCache(root / _machine())


def _made(folder: Path) -> str:
    """Make the folder and room in it; return why it cannot be used, empty where it can."""
    for each in (folder.parent, folder):
        each.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not _is_own(each):
            return f"others may write to {each}, and what is kept there is code"
    _forget_oldest(folder.parent, _MOST_BYTES)
    probe = folder / f".writable-{os.getpid()}"
    probe.touch()
    probe.unlink()
    return ""


def _default() -> Path:
    stated = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # the base directory specification has relative paths ignored
    base = stated if stated.is_absolute() else Path.home() / ".cache"
    return base / "margin-stress"


def _machine() -> str:
    """Return a short name of the processor and of what it can do."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            kinds = ("model name", "flags", "Features", "CPU part")
            what = sorted({line for line in lines if line.startswith(kinds)})
    except OSError:
        what = [platform.processor()]
    digest = hashlib.sha256("".join([platform.system(), platform.machine(), *what]).encode())
    return f"{platform.machine()}-{digest.hexdigest()[:12]}"


def _is_own(folder: Path) -> bool:
    """Whether only the user can put files there."""
    if not hasattr(os, "getuid"):
        return True
    found = folder.stat()
    others = stat.S_IWGRP | stat.S_IWOTH
    return found.st_uid == os.getuid() and not found.st_mode & others


def _forget_oldest(root: Path, most: int) -> None:
    """Remove the kernels that were used longest ago, until those left take at most ``most`` bytes.

    JAX bounds its cache only with a package that few installations have.
    """
    kept = sorted(_kernels(root), reverse=True)
    total = 0
    for _, size, file in kept:
        total += size
        if total > most:
            # another run may have removed it
            file.unlink(missing_ok=True)


def _kernels(root: Path) -> Iterator[tuple[float, int, Path]]:
    """Yield when each kernel was last used, its size in bytes and its file."""
    for file in root.glob("*/*-cache"):
        try:
            found = file.stat()
        except FileNotFoundError:
            continue
        yield max(found.st_atime, found.st_mtime), found.st_size, file
