"""Who was liquidated on which path, from the bits that a result keeps."""

from __future__ import annotations

import numpy as np
import xarray as xr

from stress.types import Array

__all__ = ["liquidated"]


def liquidated(tree: xr.DataTree) -> Array:
    """Return (accounts, paths) whether an account of the main world was liquidated on a path.

    Accounts and paths are in the order of their labels. Under ``monitoring = "bridge"`` a
    liquidation between two steps is drawn with its probability, so a mean over paths is close to
    ``liquidation_probability``, which weighs instead of drawing, but not equal to it.
    """
    packed = tree["liquidations"].to_dataset()["liquidated"].values
    return np.unpackbits(packed, axis=1, count=int(tree.attrs["accounts"])).astype(bool).T
