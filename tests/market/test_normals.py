"""The normals of the random streams: Threefry word by word, Box and Muller, and their law.

Statistical bounds are stated, seeds are fixed: a failure is a fault, not chance.
"""

from __future__ import annotations

import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binomtest, chi2, kstest, norm

from stress.keys import BRIDGE, MARKET, MODEL, _normal_pairs, path_keys, step_normals, threefry

SEED = 2_024
PATHS, STEPS, ASSETS = 4_096, 128, 8
BOUND = 5.0
"""Standard errors: one in a million on both sides."""
LARGEST = float(np.sqrt(-2 * np.log(0.5 * 2.0**-32)))


def words(*numbers: int) -> jax.Array:
    return jnp.asarray(numbers, jnp.uint32)


def drawn(
    paths: np.ndarray, steps: np.ndarray, count: int, stream: int = MARKET, seed: int = SEED
) -> np.ndarray:
    """Return (steps, count, paths) normals."""
    keys = path_keys(jnp.asarray(seed, jnp.uint32), stream, jnp.asarray(paths, jnp.uint32))
    return np.asarray(jax.jit(step_normals, static_argnums=2)(keys, jnp.asarray(steps), count))


@pytest.fixture(scope="module")
def sample() -> np.ndarray:
    """Return (steps, assets, paths), four million."""
    return drawn(np.arange(PATHS), np.arange(1, STEPS + 1), ASSETS)


class TestThreefry:
    @pytest.mark.parametrize(
        ("counter", "key", "expected"),
        [
            ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
            ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
            ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
        ],
        ids=["zeros", "ones", "pi"],
    )
    def test_known_answers(
        self, counter: tuple[int, int], key: tuple[int, int], expected: tuple[int, int]
    ) -> None:
        """``threefry2x32 20`` in the file kat_vectors of Random123 (Salmon et al. 2011)."""
        found = threefry(*(words(word)[0] for word in (*key, *counter)))
        assert tuple(map(int, found)) == expected

    def test_that_of_jax(self) -> None:
        """Under random keys, at random counters."""
        rng = np.random.default_rng(SEED)
        for _ in range(5):
            key, high, low = (
                jnp.asarray(rng.integers(2**32, size=size), jnp.uint32) for size in (2, 500, 500)
            )
            found = jnp.concatenate(threefry(key[:1], key[1:], high, low))
            expected = jax.extend.random.threefry_2x32(key, jnp.concatenate([high, low]))
            np.testing.assert_array_equal(found, expected)


class TestBoxMuller:
    def test_formula(self) -> None:
        """``sqrt(-2 log u) (cos t, sin t)`` in double precision, to a few roundings of single."""
        rng = np.random.default_rng(SEED)
        radial = np.concatenate([rng.integers(2**32, size=200_000), np.arange(2_000)])
        angular = rng.integers(2**32, size=len(radial))
        # thirty bits with their sign; then perhaps both exchanged, perhaps both negated
        place = (angular + 2**29) % 2**30 - 2**29 + 0.5
        cosine, sine = (function(2 * np.pi * place / 2**32) for function in (np.cos, np.sin))
        turned, opposite = (angular & 2**30) != 0, (angular & 2**31) != 0
        cosine, sine = np.where(turned, [sine, cosine], [cosine, sine]) * np.where(opposite, -1, 1)
        expected = np.sqrt(-2 * np.log((radial + 0.5) / 2**32)) * np.array([cosine, sine])
        pair = _normal_pairs(jnp.asarray(radial, jnp.uint32), jnp.asarray(angular, jnp.uint32))
        found = np.array([pair.real, pair.imag])
        # u is single: near 1 the radius, near 0, has its resolution
        np.testing.assert_allclose(found, expected, rtol=0, atol=4e-4)
        large = radial < 2**31
        np.testing.assert_allclose(found[:, large], expected[:, large], rtol=0, atol=2e-6)

    def test_ends(self) -> None:
        """The least and the largest words give numbers, none beyond 6.77."""
        ends = jnp.asarray([0, 1, 2**30, 2**31 - 1, 2**31, 3 * 2**30, 2**32 - 1], jnp.uint32)
        radial, angular = (side.ravel() for side in jnp.meshgrid(ends, ends))
        pair = _normal_pairs(radial, angular)
        found = np.array([pair.real, pair.imag])
        assert np.isfinite(found).all()
        assert 6.76 < LARGEST < 6.77
        assert np.hypot(*found).max() == pytest.approx(LARGEST, rel=1e-6)

    def test_symmetric(self) -> None:
        """For each word of an angle there are those of its mirror images, exactly."""
        rng = np.random.default_rng(SEED)
        radial, angular = (
            jnp.asarray(rng.integers(2**32, size=100_000), jnp.uint32) for _ in range(2)
        )
        first, second = _parts(radial, angular)
        for flipped, expected in (
            (2**31, (-first, -second)),
            (2**30, (second, first)),
        ):
            for found, wanted in zip(
                _parts(radial, angular ^ jnp.uint32(flipped)), expected, strict=True
            ):
                np.testing.assert_array_equal(found, wanted)
        # the other thirty bits turned over: the angle with the other sign
        turned = np.asarray(angular) & 2**30 != 0
        mirrored = _parts(radial, angular ^ jnp.uint32(2**30 - 1))
        np.testing.assert_array_equal(mirrored[0], np.where(turned, -first, first))
        np.testing.assert_array_equal(mirrored[1], np.where(turned, second, -second))


def _parts(radial: jax.Array, angular: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    pair = _normal_pairs(radial, angular)
    return np.asarray(pair.real), np.asarray(pair.imag)


class TestPlace:
    """A normal is that of its path, step and asset, whatever is drawn beside it."""

    @pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
    def test_assets(self, sample: np.ndarray, count: int) -> None:
        found = drawn(np.arange(64), np.arange(1, 20), count)
        assert found.shape == (19, count, 64)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, sample[:19, :count, :64])

    def test_steps_and_paths(self, sample: np.ndarray) -> None:
        """Any steps, any paths, in any order."""
        rng = np.random.default_rng(SEED)
        for number in (1, 5, 8, 63):
            steps = rng.permutation(STEPS)[:number]
            paths = rng.permutation(PATHS)[:37]
            expected = sample[steps][:, :, paths]
            np.testing.assert_array_equal(drawn(paths, steps + 1, ASSETS), expected)

    def test_same_numbers_in_double(self) -> None:
        """The draw knows nothing of a run's precision, nor of the 64-bit numbers beside it."""
        steps = np.arange(1, 5)
        wide = drawn(np.arange(5), steps.astype(np.int64), 3)
        np.testing.assert_array_equal(drawn(np.arange(5), steps.astype(np.int32), 3), wide)

    def test_streams_and_seeds(self) -> None:
        """Others are other numbers."""
        numbers = [
            drawn(np.arange(64), np.arange(1, 9), 4, stream, seed)
            for stream in (MARKET, BRIDGE, MODEL)
            for seed in (0, 1, 2**32 - 1)
        ]
        together = np.concatenate([each.ravel() for each in numbers])
        # equal single-precision numbers are chance: 18,432 draws have some ten
        assert len(np.unique(together)) > len(together) - 100


class TestLaw:
    def test_no_block_twice(self) -> None:
        """A million blocks of two words over paths, steps and pairs of assets."""
        keys = path_keys(words(SEED)[0], MARKET, jnp.arange(256, dtype=jnp.uint32))
        data = jax.random.key_data(keys)
        step = jnp.arange(1, 1_025, dtype=jnp.uint32)[:, None, None]
        pair = jnp.arange(4, dtype=jnp.uint32)[None, :, None]
        high, low = threefry(data[None, None, :, 0], data[None, None, :, 1], step, pair)
        blocks = np.asarray(high).astype(np.uint64) << np.uint64(32) | np.asarray(low)
        assert len(np.unique(blocks)) == blocks.size == 2**20

    def test_moments(self, sample: np.ndarray) -> None:
        """Of every asset: the first six, whose variances are those of a normal's powers."""
        count = STEPS * PATHS
        wide = sample.astype(np.float64)
        for power, mean, variance in (
            (1, 0, 1),
            (2, 1, 2),
            (3, 0, 15),
            (4, 3, 96),
            (5, 0, 945),
            (6, 15, 10_170),
        ):
            found = (wide**power).mean(axis=(0, 2))
            assert np.abs(found - mean).max() < BOUND * np.sqrt(variance / count), power

    @pytest.mark.parametrize("asset", [0, 1, ASSETS - 1])
    def test_normal(self, sample: np.ndarray, asset: int) -> None:
        """Kolmogorov and Smirnov over half a million."""
        assert kstest(sample[:, asset].ravel(), "norm").pvalue > 1e-5

    def test_cells(self, sample: np.ndarray) -> None:
        """Pearson's chi-square over a thousand equally likely cells, four million draws."""
        cells = np.floor(norm.cdf(sample.ravel()) * 1_000).astype(int)
        counts = np.bincount(cells, minlength=1_000)
        expected = sample.size / 1_000
        score = ((counts - expected) ** 2 / expected).sum()
        assert 1e-5 < chi2.sf(score, 999) < 1 - 1e-5

    def test_tails(self) -> None:
        """Sixteen million: as many beyond 3, 4, 5 and 5.4 as there should be, on each side."""
        counts = dict.fromkeys((3.0, 4.0, 5.0, 5.4), (0, 0))
        for first in range(0, 4 * PATHS, PATHS):
            part = drawn(np.arange(first, first + PATHS), np.arange(1, STEPS + 1), ASSETS)
            assert np.abs(part).max() < LARGEST
            for level, (below, above) in counts.items():
                counts[level] = below + (part < -level).sum(), above + (part > level).sum()
        size = 4 * STEPS * PATHS * ASSETS
        for level, sides in counts.items():
            for side in sides:
                assert binomtest(int(side), size, norm.sf(level)).pvalue > 1e-5, level

    def test_independent(self, sample: np.ndarray) -> None:
        """Neither normals nor squares nor signs of the squares' rest go together.

        Over the assets of a step, of two steps that follow, of paths that follow, and of streams.
        """
        steps = np.arange(1, STEPS + 1)
        bridges = drawn(np.arange(PATHS), steps, ASSETS, BRIDGE)
        here = sample[:-1, :, :-1]
        beside = (sample[1:, :, :-1], sample[:-1, :, 1:], bridges[:-1, :, :-1])
        rows = np.concatenate([here, *beside], axis=1).swapaxes(0, 1).reshape(4 * ASSETS, -1)
        size = rows.shape[1]
        for kind in (rows, rows**2, np.sign(rows) * rows**2):
            correlation = np.corrcoef(kind) - np.eye(len(rows))
            # 496 pairs
            assert np.abs(correlation).max() * np.sqrt(size) < BOUND + 0.5

    def test_normals_of_a_pair(self, sample: np.ndarray) -> None:
        """Those of one block: the angle is even over the turn, whatever the radius."""
        first, second = sample[:, 0::2].ravel(), sample[:, 1::2].ravel()
        turn = (np.arctan2(second, first) / (2 * np.pi)) % 1
        far = chi2.cdf(first.astype(np.float64) ** 2 + second.astype(np.float64) ** 2, 2)
        counts = np.histogram2d(turn, far, bins=(64, 16), range=((0, 1), (0, 1)))[0]
        expected = len(turn) / counts.size
        score = ((counts - expected) ** 2 / expected).sum()
        assert 1e-5 < chi2.sf(score, counts.size - 1) < 1 - 1e-5
