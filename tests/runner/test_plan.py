"""The rules by which a run is cut into pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress.runner import plan
from stress.runner.plan import (
    bytes_per_path,
    device_count,
    fan_accounts,
    fan_paths,
    paths_together,
)

GIB = 2**30


class TestDevices:
    @pytest.mark.parametrize(
        ("paths", "devices", "expected"),
        [
            (1, 8, 2),
            (64, 8, 2),
            (64, 2, 2),
            (1, 1, 1),
            (65, 8, 2),
            (192, 8, 2),
            (193, 8, 4),
            (448, 8, 4),
            (449, 8, 8),
            (10_000, 8, 8),
            (385, 6, 6),
            (192, 3, 3),
            (100, 1, 1),
        ],
    )
    def test_as_many_as_there_are_blocks_for(self, paths: int, devices: int, expected: int) -> None:
        assert device_count(paths, 64, devices) == expected

    def test_few_numbers_of_devices(self) -> None:
        """Another number of paths rarely compiles another kernel: on 12 devices four times."""
        found = {device_count(paths, 64, 12) for paths in range(1, 3_000)}
        assert found == {2, 4, 8, 12}


class TestPathsTogether:
    def test_cpu(self) -> None:
        """Sixty-four, whatever the machine, as long as a book is not very large."""
        for pools in (1, 4_096, 100_000):
            per_path = bytes_per_path(pools=pools, assets=32, steps=64)
            assert paths_together("cpu", 12 * GIB, per_path) == 64

    def test_a_large_book(self) -> None:
        """A million pools: as many as fit, and never fewer than fill a register."""
        per_path = bytes_per_path(pools=1_000_000, assets=32, steps=64)
        found = paths_together("cpu", 8 * GIB, per_path)
        assert found in (16, 32)
        assert paths_together("cpu", GIB, per_path) == 16

    def test_gpu(self) -> None:
        """Twice the memory is twice the paths, up to what a GPU is full with."""
        per_path = bytes_per_path(pools=200_000, assets=16, steps=64)
        found = [paths_together("gpu", memory * GIB, per_path) for memory in (10, 20, 40, 80, 800)]
        assert found == [256, 512, 1024, 2048, 8192]

    @given(
        st.sampled_from(["cpu", "gpu"]),
        st.integers(1, 2**42),
        st.integers(0, 2**36),
    )
    def test_a_power_of_two_that_fits(self, platform: str, memory: int, per_path: int) -> None:
        found = paths_together(platform, memory, per_path)
        assert found & (found - 1) == 0
        assert 16 <= found <= 8192
        assert found == 16 or found * per_path <= memory // 4

    def test_columns(self) -> None:
        one, five = (
            bytes_per_path(pools=10, positions=30, assets=4, steps=16, variants=variants)
            for variants in (1, 5)
        )
        prices = bytes_per_path(pools=0, assets=4, steps=16)
        assert five - prices == 5 * (one - prices) > 0


class TestFan:
    def test_paths(self) -> None:
        assert [fan_paths(accounts)[0] for accounts in (0, 10, 512, 1_000, 4_096, 10**6)] == [
            512,
            512,
            512,
            256,
            64,
            64,
        ]

    def test_small_books_are_looked_at_whole(self) -> None:
        accounts = np.array([4_000, 0, 96])
        np.testing.assert_array_equal(fan_accounts(accounts), accounts)

    def test_small_groups_keep_all(self) -> None:
        """What they leave over the others share."""
        found = fan_accounts(np.array([100_000, 10, 5_000, 1_000]))
        np.testing.assert_array_equal(found, [1_543, 10, 1_543, 1_000])

    @given(st.lists(st.integers(0, 20_000), min_size=1, max_size=30))
    def test_bounded(self, accounts: list[int]) -> None:
        """Nearly as many as there is room for, no group more than it has, none forgotten."""
        sizes = np.array(accounts)
        found = fan_accounts(sizes)
        room = plan._FAN_PAIRS // plan._FAN_PATHS[0]
        assert (found <= sizes).all()
        assert (found[sizes > 0] > 0).all()
        assert min(int(sizes.sum()), room - len(sizes)) <= found.sum() <= room
        cut = found < sizes
        # those that are cut give as many as any other
        assert len(set(found[cut])) <= 1
        assert not cut.any() or found.max() == found[cut][0]

    def test_many_groups(self) -> None:
        """One of each at least."""
        assert fan_accounts(np.full(10_000, 3)).min() == 1
