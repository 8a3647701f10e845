"""Rules of a correlation matrix, wherever a file has one."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from os import PathLike

import numpy as np

from stress.errors import InputError
from stress.types import Floats

__all__ = ["check_correlation", "check_entries"]

File = str | PathLike[str] | None

_SLACK = 1e-9
"""What the printing of a matrix in a file may cost an entry."""

_LEAST_EIGENVALUE = -1e-8
"""What it may cost the least eigenvalue: entries off by 1e-9 in a matrix of some ten assets."""


def check_correlation(
    rows: Sequence[Sequence[float]], assets: Sequence[str], file: File, key: str
) -> None:
    """Refuse rows that are no correlation matrix of the assets.

    Raises
    ------
    InputError
        They are not square, an entry is out of range, or the matrix is not symmetric, not 1 on its
        diagonal or not positive semi-definite.
    """
    check_entries(rows, assets, file, key)
    _check_semidefinite(np.array(rows, dtype=np.float64), file, key)


def check_entries(
    rows: Sequence[Sequence[float]], assets: Sequence[str], file: File, key: str
) -> None:
    """Refuse the same but what is not positive semi-definite.

    Raises
    ------
    InputError
        As ``check_correlation`` does.
    """
    size = len(assets)
    lengths = [len(row) for row in rows]
    if lengths != [size] * size:
        length = next((length for length in lengths if length != size), size)
        rule = f"must be {size} x {size}, got {len(rows)} rows, one of them {length} long"
        remedy = "give one row and one column an asset, in the order of assets"
        raise InputError(rule, file=file, key=key, remedy=remedy)
    matrix = np.array(rows, dtype=np.float64)
    faults = (
        (abs(matrix) > 1 + _SLACK, "must be from -1 to 1", "correct the entry"),
        (
            (abs(matrix - 1) > _SLACK) & np.eye(len(matrix), dtype=bool),
            "must be 1 on the diagonal",
            "set it to 1.0",
        ),
        (
            abs(matrix - matrix.T) > _SLACK,
            "must be symmetric",
            "make both entries of the pair equal",
        ),
    )
    for wrong, rule, remedy in faults:
        if wrong.any():
            i, j = (int(index) for index in np.argwhere(wrong)[0])
            got = f"got {matrix[i, j]:g} for {assets[i]} and {assets[j]}"
            if rule == "must be symmetric":
                got += f", {matrix[j, i]:g} for {assets[j]} and {assets[i]}"
            place = f"{key}[{i}][{j}]"
            raise InputError(f"{rule}, {got}", file=file, key=place, remedy=remedy)


def _check_semidefinite(matrix: Floats, file: File, key: str) -> None:
    least = float(np.linalg.eigvalsh(matrix)[0])
    if least >= _LEAST_EIGENVALUE:
        return
    # off-diagonals times s is s C + (1 - s) I with least eigenvalue 1 - s (1 - least): s at which
    # it is 0, rounded down so that the printed factor is enough
    factor = floor(1e4 / (1 - least)) / 1e4
    raise InputError(
        f"must be positive semi-definite, its least eigenvalue is {least:.6g}",
        file=file,
        key=key,
        remedy=f"multiply the off-diagonal entries by at most {factor:g}",
    )
