"""A result on disk: ``result.nc`` (netCDF4 through h5netcdf), written whole or not at all."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import xarray as xr

from stress.data.files import atomically
from stress.errors import InputError

__all__ = ["RESULT", "open_result", "save_result"]

RESULT = "result.nc"

_COMPRESSED_FROM = 10_000
"""Values from which a variable is compressed; below it the filter costs more than it saves."""


def save_result(tree: xr.DataTree, folder: Path, name: str = RESULT) -> Path:
    """Write ``result.nc``, or another name, into an existing folder and return its path."""
    encoding = {
        node.path: {
            str(name): {"zlib": True, "complevel": 1, "shuffle": True}
            for name, array in node.data_vars.items()
            if array.size >= _COMPRESSED_FROM and array.dtype.kind in "fiub"
        }
        for node in tree.subtree
    }
    path = folder / name
    atomically(path, lambda to: tree.to_netcdf(to, engine="h5netcdf", encoding=encoding))
    return path


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
    path = Path(folder)
    path = path / RESULT if path.is_dir() else path
    if not path.is_file():
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
