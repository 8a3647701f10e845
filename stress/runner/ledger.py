"""What a run has finished, as files in its folder: a run that is killed goes on from there.

Each part (the measures of a chunk of paths, what an analysis found) is a file of NumPy arrays,
written whole or not at all, and a line of ``manifest.jsonl`` with its checksum. The first line says
what the parts depend on: another scenario, input, package or kind of device is refused.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from stress.data.files import atomically
from stress.data.locks import locked
from stress.errors import InputError, Interrupted, ending
from stress.history.runs import LEDGER
from stress.measure.kept import Arrays
from stress.runner.identity import Identity, differences
from stress.runner.keeper import Keeper

__all__ = [
    "LEDGER",
    "Ledger",
    "is_ledger",
    "ledger_in",
    "unfinished_run",
]

_MANIFEST = "manifest.jsonl"


@contextmanager
def ledger_in(folder: Path, identity: Identity, *, resume: bool) -> Iterator[Ledger]:
    """Open the ledger of a run folder, which no other run may use meanwhile.

    Parameters
    ----------
    folder
        The run folder, which exists.
    identity
        Of the run that is about to start.
    resume
        Whether a ledger that is there already is taken up.

    Raises
    ------
    InputError
        If another run holds the folder, if there is a ledger and ``resume`` does not ask for it, or
        if that run was another one.
    """
    place = folder / LEDGER
    with ExitStack() as held:
        try:
            place.mkdir(exist_ok=True)
            held.enter_context(locked(place))
            is_new = not (place / _MANIFEST).exists()
            if is_new:
                line = json.dumps({"identity": identity}) + "\n"
                atomically(place / _MANIFEST, lambda to: to.write_text(line, "utf-8"))
        except OSError as error:
            raise InputError(
                f"cannot be written to: {error.strerror}",
                file=place,
                remedy="make room, or name another folder with --out",
            ) from None
        if not is_new and not resume:
            raise unfinished_run(folder)
        ledger = Ledger(place)
        ledger.require(identity)
        yield ledger


def is_ledger(folder: Path) -> bool:
    """Return whether a run folder has a ledger."""
    return (folder / LEDGER / _MANIFEST).is_file()


def unfinished_run(folder: Path) -> InputError:
    """Return what a user is told who starts a run where there is one."""
    return InputError(
        "holds an unfinished run",
        file=folder,
        remedy="add --resume to go on with it, or name another folder with --out",
    )


class Ledger(Keeper):
    """The parts of a run that are finished.

    Parameters
    ----------
    place
        Its folder, locked, with a manifest.

    Attributes
    ----------
    notices
        What was found damaged; it is computed again.
    """

    keeps = True

    def __init__(self, place: Path) -> None:
        self.notices: list[str] = []
        self._place = place
        self._identity, self._entries = self._read()
        self._sound: dict[str, bool] = {}

    def _read(self) -> tuple[Identity, dict[str, dict[str, str]]]:
        """Return the identity and the entries by name; a later line wins over an earlier one."""
        manifest = self._place / _MANIFEST
        first, *rest = manifest.read_text("utf-8", errors="replace").split("\n")
        try:
            identity = json.loads(first)["identity"]
        except (ValueError, KeyError, TypeError):
            raise InputError(
                "is damaged: its first line does not say what was run",
                file=manifest,
                remedy="run again in another folder",
            ) from None
        entries: dict[str, dict[str, str]] = {}
        for number, line in enumerate(rest, 2):
            if not line:
                continue
            try:
                entry = json.loads(line)
                entries[entry["name"]] = {key: str(entry[key]) for key in ("file", "sha256")}
            except (ValueError, KeyError, TypeError):
                self.notices.append(f"{manifest}: line {number} is damaged and not used")
        return identity, entries

    @property
    def kept(self) -> bool:
        """Whether any part was ever finished."""
        return bool(self._entries)

    def require(self, identity: Identity) -> None:
        """Refuse to go on with another run.

        Raises
        ------
        InputError
            Saying what has changed.
        """
        changed = differences(self._identity, json.loads(json.dumps(identity)))
        if changed:
            raise InputError(
                f"holds another run; changed since: {ending(changed)}",
                file=self._place.parent,
                remedy="undo the change, or run without --resume in another folder",
            )

    def has(self, name: str) -> bool:
        """Return whether a part is there and its checksum is right."""
        if name not in self._sound:
            self._sound[name] = self._is_sound(name)
        return self._sound[name]

    def _is_sound(self, name: str) -> bool:
        if name not in self._entries:
            return False
        file = self._place / Path(self._entries[name]["file"]).name
        try:
            with file.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError:
            found = ""
        if found == self._entries[name]["sha256"]:
            return True
        state = "is damaged" if found else "cannot be read"
        self.notices.append(f"{file} {state}: it is computed again")
        return False

    def get(self, name: str) -> Arrays:
        """Return the arrays of a part that is there."""
        file = self._place / Path(self._entries[name]["file"]).name
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)

    def put(self, name: str, arrays: Arrays) -> None:
        """Keep the arrays of a part.

        Raises
        ------
        Interrupted
            If they cannot be written: what was written before is kept.
        """
        file = self._place / f"{name}.npz"
        try:
            atomically(file, lambda to: _save(to, arrays))
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            entry = {"file": file.name, "sha256": digest}
            self._append(json.dumps({"name": name, **entry}))
        except OSError as error:
            raise Interrupted(
                f"{file}: cannot be written: {error.strerror}; what was finished before is kept: "
                f"make room, then go on with --resume --out {self._place.parent}"
            ) from None
        self._entries[name], self._sound[name] = entry, True

    def _append(self, line: str) -> None:
        """Add a line behind what may be half a line of a run that was killed."""
        with (self._place / _MANIFEST).open("r+b") as manifest:
            end = manifest.seek(0, 2)
            manifest.seek(end - 1)
            start = b"" if manifest.read(1) == b"\n" else b"\n"
            manifest.write(start + line.encode() + b"\n")


def _save(file: Path, arrays: Arrays) -> None:
    """Write NumPy's archive of arrays, packed lightly: its own packing takes five times that."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)
