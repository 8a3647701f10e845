"""A scenario as complete TOML, with the hashes of its inputs: running it again gives the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from stress.errors import InputError
from stress.scenario.schema import Scenario

__all__ = ["file_hash", "input_files", "input_hashes", "resolved_toml"]


def input_files(scenario: Scenario) -> dict[str, Path]:
    """Return the files that a scenario names, by the key that names them."""
    files = {
        "market.calibration": scenario.market.calibration,
        "market.file": scenario.market.file,
        "market.history": scenario.market.history,
        "book.accounts": scenario.book.accounts,
        "book.positions": scenario.book.positions,
        "book.collateral": scenario.book.collateral,
        "backtest.history": scenario.backtest.history if scenario.backtest else None,
    }
    return {key: file for key, file in files.items() if file is not None}


def input_hashes(scenario: Scenario) -> dict[str, str]:
    """Return the SHA-256 of every input file, by its path."""
    return {str(file): file_hash(file) for file in input_files(scenario).values()}


def file_hash(file: Path) -> str:
    """Return the SHA-256 of a file's bytes, or of the files of a folder, in hexadecimal."""
    try:
        if file.is_dir():
            parts = sorted(path for path in file.rglob("*") if path.is_file())
            listing = "".join(f"{path.relative_to(file)} {file_hash(path)}\n" for path in parts)
            return hashlib.sha256(listing.encode()).hexdigest()
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        remedy = "make it readable"
        raise InputError(f"cannot be read: {error.strerror}", file=file, remedy=remedy) from None


def resolved_toml(scenario: Scenario) -> str:
    """Return a loaded scenario as TOML: every default, absolute paths, ``[inputs]`` hashes."""
    import tomli_w

    content = scenario.model_dump(mode="json", exclude_none=True)
    content["inputs"] = input_hashes(scenario)
    rows: list[str] = []
    text = tomli_w.dumps(_without_matrices(content, rows))
    for number, matrix in enumerate(rows):
        text = text.replace(json.dumps(_PLACE.format(number)), matrix, 1)
    return text


_PLACE = "\0matrix {}"
"""What stands for a matrix until it is written: no text of a scenario has this character."""


def _without_matrices(node: Any, rows: list[str]) -> Any:
    """Return content with the place of each matrix named, and add the matrices as text to ``rows``.

    tomli_w gives every number a line of its own: a matrix is read by rows.
    """
    if isinstance(node, dict):
        return {key: _without_matrices(value, rows) for key, value in node.items()}
    if not isinstance(node, list) or not node:
        return node
    if not all(isinstance(row, list) for row in node):
        return [_without_matrices(value, rows) for value in node]
    rows.append("[\n" + "".join(f"    {json.dumps(row)},\n" for row in node) + "]")
    return _PLACE.format(len(rows) - 1)
