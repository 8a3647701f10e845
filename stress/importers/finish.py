"""The end of every import: files are written, and a person or a program is told of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from stress.importers.rows import ImportedBook, ImportedPrices, ImportedTiers
from stress.importers.write import write_book, write_prices, write_tiers

__all__ = ["Imported", "finish"]

Imported: TypeAlias = ImportedBook | ImportedTiers | ImportedPrices


def finish(imported: Imported, folder: str, *, as_json: bool) -> int:
    """Write what was imported to a folder, print what it is and return the exit code.

    Raises
    ------
    InputError
        It cannot be written there; nothing is written then.
    """
    files = _write(imported, Path(folder))
    if as_json:
        print(json.dumps(_facts(imported, files), indent=2))
    else:
        print("\n".join([_sentence(imported), *(f"  {file}" for file in files)]))
    for notice in imported.notices:
        print(f"note: {notice}", file=sys.stderr)
    return 0


def _write(imported: Imported, folder: Path) -> tuple[Path, ...]:
    if isinstance(imported, ImportedBook):
        return write_book(imported, folder)
    if isinstance(imported, ImportedTiers):
        return (write_tiers(imported, folder),)
    return (write_prices(imported, folder),)


def _counts(imported: Imported) -> dict[str, int]:
    if isinstance(imported, ImportedBook):
        return {
            "accounts": len(imported.accounts),
            "positions": len(imported.positions),
            "coins": len(imported.collateral),
        }
    if isinstance(imported, ImportedTiers):
        return {"assets": len({row.asset for row in imported.tiers}), "tiers": len(imported.tiers)}
    return {"assets": len({bar.asset for bar in imported.bars}), "bars": len(imported.bars)}


def _as_of(imported: Imported) -> datetime:
    if isinstance(imported, ImportedPrices):
        return max(bar.timestamp for bar in imported.bars)
    return imported.as_of


def _sentence(imported: Imported) -> str:
    counts = [
        f"{count:,} {name if count != 1 else name[:-1]}"
        for name, count in _counts(imported).items()
    ]
    moment = _as_of(imported).astimezone(UTC)
    return f"{', '.join(counts)} as of {moment:%Y-%m-%d %H:%M:%S} UTC, {imported.source}"


def _facts(imported: Imported, files: Sequence[Path]) -> dict[str, Any]:
    return {
        **_counts(imported),
        "as_of": _as_of(imported).astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "source": imported.source,
        "files": [str(file) for file in files],
        "notices": list(imported.notices),
    }
