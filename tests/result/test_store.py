"""A result on disk reads as it was, large label variables too."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest
import xarray as xr

from stress.result import store
from stress.result.assemble import assemble
from stress.result.store import RESULT, open_result, save_result


def labelled(names: list[str]) -> xr.DataTree:
    """Two groups along the same accounts."""
    count = len(names)
    group = np.array(["hedged", ""] * count)[:count]
    equity = np.linspace(0.0, 1.0, count)
    return assemble(
        [
            {"accounts": {"group": group, "initial_equity": equity}},
            {"margin": {"equity": equity, "in_breach": equity > 0.5}},
        ],
        {"account": np.array(names), "asset": np.array(["A", "B"])},
        {},
        {"title": "stored"},
        {"margin": {"note": "of a group"}},
    )


@pytest.mark.parametrize("last", ["plain", "a/b #2", "j\u00f6rg", ""])
@pytest.mark.parametrize("from_", [1, 100])
def test_as_it_was(last: str, from_: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels one by one below a size, as rows of characters above it, ASCII or not."""
    monkeypatch.setattr(store, "_COMPRESSED_FROM", from_)
    tree = labelled([*(f"account-{number}" for number in range(30)), last])
    save_result(tree, tmp_path)
    found = open_result(tmp_path)
    assert found.attrs == tree.attrs
    assert [node.path for node in found.subtree] == [node.path for node in tree.subtree]
    for node in tree.subtree:
        there = found[node.path]
        assert there.attrs == node.attrs
        assert set(there.variables) == set(node.variables)
        for name, variable in node.variables.items():
            assert there.variables[name].dims == variable.dims
            assert there.variables[name].attrs == variable.attrs
            np.testing.assert_array_equal(there.variables[name].values, variable.values)
    assert found["accounts"].to_dataset().sel(account="account-7")["initial_equity"] == 7 / 30


def test_large_labels_are_rows_of_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_COMPRESSED_FROM", 1)
    save_result(labelled(["a", "bcd"]), tmp_path)
    with h5py.File(tmp_path / RESULT) as file:
        stored = file["accounts/account"]
        assert stored.shape == (2, 3)
        assert stored.dtype == "S1"
        assert stored.compression == "gzip"


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HDF5 crashes on a disk that fills up, so nothing is begun that may not fit."""
    monkeypatch.setattr(store, "disk_usage", lambda folder: SimpleNamespace(free=1_000))
    with pytest.raises(
        OSError, match=r"No space left on device \(.* MB may be needed, 0.0 MB are free"
    ):
        save_result(labelled(["a", "b"]), tmp_path)
    assert list(tmp_path.iterdir()) == []
