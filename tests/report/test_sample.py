"""The made-up result keeps to the written specification, or testing against it says nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import xarray as xr

from stress.result.schema import find

from .cascade_sample import cascade_tree
from .sample import sample_tree


@pytest.mark.parametrize("make", [sample_tree, cascade_tree])
@pytest.mark.parametrize("compare", [True, False])
def test_the_sample_keeps_to_the_specification(
    make: Callable[..., xr.DataTree], compare: bool
) -> None:
    tree = make(7, compare=compare)
    for node in tree.children.values():
        data = node.to_dataset()
        for name in map(str, data.data_vars):
            base = name.removesuffix("_interval")
            known = find(str(node.name), name if base not in data else base)
            bounds = ("bound",) if base != name and known.dims[-1:] != ("bound",) else ()
            assert data[name].dims == (*known.dims, *bounds), name
            if known.estimate:
                assert f"{base}_interval" in data, name
