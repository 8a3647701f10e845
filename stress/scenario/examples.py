"""The scenarios that ship: listing them, and writing one with its files."""

from __future__ import annotations

import filecmp
import shutil
import tomllib
from os import PathLike
from pathlib import Path

from stress.data.tables import suggestion
from stress.errors import InputError

__all__ = ["example_names", "write_example"]

_PACKAGE = Path(__file__).resolve().parents[1]


def _home() -> Path:
    installed = _PACKAGE / "_scenarios"
    return installed if installed.is_dir() else _PACKAGE.parent / "scenarios"


def example_names() -> tuple[str, ...]:
    """Return the names of the shipped scenarios, sorted; those of a folder begin with its name."""
    home = _home()
    files = (*home.glob("*.toml"), *home.glob("events/*.toml"))
    return tuple(sorted(file.relative_to(home).with_suffix("").as_posix() for file in files))


def write_example(name: str, directory: str | PathLike[str]) -> Path:
    """Copy a shipped scenario and the files that it names into a directory, made if need be.

    Returns the path of the scenario file written.

    Raises
    ------
    InputError
        There is no such scenario, or a file would be overwritten.
    """
    known = example_names()
    label = name.removesuffix(".toml")
    if label not in known:
        raise InputError(f'no shipped scenario "{name}"', remedy=suggestion(label, known))
    home, target = _home(), Path(directory)
    scenario = Path(f"{label}.toml")
    files = [scenario, *(scenario.parent / file for file in _named_files(home / scenario))]
    for file in files:
        # two scenarios may read the same tables
        if (target / file).exists() and not _is_shared(file, home, target):
            remedy = "name another directory, or move the file away"
            raise InputError("the file exists already", file=target / file, remedy=remedy)
    try:
        for file in files:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(home / file, target / file)
    except OSError as error:
        rule = f"cannot be written: {error.strerror}"
        raise InputError(rule, file=target, remedy="name another directory") from None
    return target / files[0]


def _is_shared(file: Path, home: Path, target: Path) -> bool:
    """Return whether a table is there already, byte for byte."""
    return file.suffix != ".toml" and filecmp.cmp(home / file, target / file, shallow=False)


def _named_files(file: Path) -> list[Path]:
    scenario = tomllib.loads(file.read_text(encoding="utf-8"))
    book, market = scenario["book"], scenario["market"]
    names = [book["accounts"], book["positions"], book.get("collateral"), market.get("calibration")]
    return [Path(name) for name in names if name]
