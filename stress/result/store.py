"""A result on disk: ``result.nc`` (netCDF4 through h5netcdf), written whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from os import PathLike
from os.path import isdir, isfile
from pathlib import Path
from shutil import disk_usage

import numpy as np
import xarray as xr

from stress.data.files import atomically
from stress.errors import InputError

__all__ = ["RESULT", "open_result", "save_result"]

RESULT = "result.nc"

_COMPRESSED_FROM = 10_000
"""Values from which a variable is compressed; below it the filter costs more than it saves."""

_AROUND = 8_192
"""Bytes that HDF5 writes around a variable, at most: 900 in a result of 310 of them."""

_PACKED = {"zlib": True, "complevel": 1, "shuffle": True}

_AS_TEXT = {"_Encoding": "utf-8"}
"""How a reader of netCDF knows that characters are text."""

_CHARACTERS = {"dtype": "S1"}
"""Labels as rows of characters, which are compressed, not one by one on HDF5's heap."""


def save_result(tree: xr.DataTree, folder: Path, name: str = RESULT) -> Path:
    """Write ``result.nc``, or another name, into an existing folder and return its path."""
    whole = {node.path: _with_characters(node.to_dataset(inherit=False)) for node in tree.subtree}
    encoding = {
        group: {
            str(name): _PACKED | (_CHARACTERS if array.dtype.kind in "UO" else {})
            for name, array in data.variables.items()
            if array.size >= _COMPRESSED_FROM and array.dtype.kind in "fiubUOS"
        }
        for group, data in whole.items()
    }
    path = folder / name
    stored = xr.DataTree.from_dict(whole, name=tree.name)
    _require_room(folder, whole.values())
    atomically(path, lambda to: stored.to_netcdf(to, engine="h5netcdf", encoding=encoding))
    return path


def _require_room(folder: Path, groups: Iterable[xr.Dataset]) -> None:
    """Refuse before the first byte what may not fit: HDF5 crashes on a disk that fills up.

    Raises
    ------
    OSError
        If there is less room than the result takes unpacked.
    """
    arrays = [array for data in groups for array in data.variables.values()]
    needed = sum(array.nbytes for array in arrays) + len(arrays) * _AROUND
    free = disk_usage(folder).free
    if free < needed:
        said = f"{os.strerror(errno.ENOSPC)} ({needed / 1e6:,.1f} MB may be needed"
        raise OSError(errno.ENOSPC, f"{said}, {free / 1e6:,.1f} MB are free)")


def _with_characters(data: xr.Dataset) -> xr.Dataset:
    """Return a dataset whose large label variables hold bytes: xarray encodes them one by one.

    What is not plain ASCII is left to it.
    """
    found = {}
    for name, array in data.variables.items():
        if array.size >= _COMPRESSED_FROM and array.dtype.kind == "U" and array.ndim == 1:
            codes = np.ascontiguousarray(array.values).view(np.uint32)
            if codes.max(initial=0) < 128:
                characters = codes.astype(np.uint8).view(f"S{codes.size // array.size}")
                found[name] = xr.Variable(array.dims, characters, {**array.attrs, **_AS_TEXT})
    coordinates = xr.Coordinates({n: found[n] for n in found if n in data.coords}, indexes={})
    left = data.drop_vars(list(found))
    return left.assign({n: found[n] for n in found if n not in data.coords}).assign_coords(
        coordinates
    )


def open_result(folder: str | PathLike[str]) -> xr.DataTree:
    """Read the result of a run.

    Parameters
    ----------
    folder
        A run folder, or the path of a ``result.nc``.

    Raises
    ------
    InputError
        If there is none, or it is not one.
    """
    # os.path asks of any name without raising: one may be too long for a file
    path = Path(folder)
    path = path / RESULT if isdir(path) else path
    if not isfile(path):
        raise InputError(
            "holds no finished result",
            file=folder,
            remedy=f"name the folder of a finished run, the one with {RESULT} in it",
        )
    try:
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            return tree.load()
    except (OSError, ValueError) as error:
        raise InputError(
            f"is not a result: {error}", file=path, remedy="run the scenario again"
        ) from None
