"""Random streams: one key a draw, and nothing that a path's key depends on but its own number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stress.engine.block import Schedule
from stress.engine.paths import price_paths
from stress.keys import BRIDGE, MARKET, MODEL, path_keys, step_keys, step_normals
from stress.pytree import register_part

STREAMS = (MARKET, BRIDGE, MODEL)
ASSETS = 2
BOUND = 4.5


def unsigned(*numbers: int) -> jax.Array:
    return jnp.asarray(numbers, jnp.uint32)


def words(keys: jax.Array) -> np.ndarray:
    """Return the two words of every key, one row a key."""
    return np.asarray(jax.random.key_data(keys)).reshape(-1, 2)


def test_no_key_twice() -> None:
    """Over seeds, streams, paths and steps, the ends of their ranges among them."""
    paths = unsigned(*range(40), 2**31, 2**32 - 1)
    steps = jnp.asarray([*range(1, 40), 10_000_000])
    found = [
        words(step_keys(path_keys(unsigned(seed)[0], stream, paths), steps))
        for seed in (0, 1, 2, 40, 2**32 - 1)
        for stream in STREAMS
    ]
    rows = np.concatenate(found)
    assert len(rows) == 5 * 3 * 42 * 40
    assert len(np.unique(rows, axis=0)) == len(rows)


def test_a_key_depends_on_its_own_numbers_only() -> None:
    """Not on the other paths, nor on the other steps."""
    seed, paths, steps = unsigned(7)[0], unsigned(*range(10)), jnp.arange(1, 9)
    together = step_keys(path_keys(seed, MARKET, paths), steps)
    alone = step_keys(path_keys(seed, MARKET, paths[4:5]), steps[2:3])
    np.testing.assert_array_equal(words(alone), words(together[2, 4]))
    turned = step_keys(path_keys(seed, MARKET, paths[::-1]), steps)
    np.testing.assert_array_equal(words(turned[:, ::-1]), words(together))


def test_normals_are_single_precision() -> None:
    """In both precisions of a run, since other draws would be other numbers."""
    keys = path_keys(unsigned(7)[0], MARKET, unsigned(0, 1, 2))
    normals = step_normals(keys, jnp.arange(1, 5), ASSETS)
    assert normals.shape == (4, ASSETS, 3)
    assert normals.dtype == jnp.float32


def test_streams_are_independent() -> None:
    """At the same path and step no two streams, assets, steps or neighbouring paths correlate."""
    paths = jnp.arange(4_000, dtype=jnp.uint32)
    drawn = [
        np.asarray(step_normals(path_keys(unsigned(3)[0], stream, paths), jnp.arange(1, 4), ASSETS))
        for stream in STREAMS
    ]
    rows = np.concatenate([normals.reshape(-1, len(paths)) for normals in drawn])
    rows = np.concatenate([rows, np.roll(rows, 1, axis=1)])
    correlation = np.corrcoef(rows) - np.eye(len(rows))
    # 630 pairs
    assert np.abs(correlation).max() * np.sqrt(len(paths)) < BOUND + 0.5


@register_part
@dataclass(frozen=True)
class Echo:
    """A model whose returns are what it is given: the normals, or draws from its own keys."""

    covariance_root: jax.Array

    @property
    def assets(self) -> int:
        return self.covariance_root.shape[0]

    def init(self, paths: jax.Array) -> tuple[()]:
        return ()

    def step(self, state: Any, normals: jax.Array, keys: jax.Array) -> tuple[Any, jax.Array]:
        return state, normals


@register_part
class Drawing(Echo):
    """The same, by its own draws."""

    def step(self, state: Any, normals: jax.Array, keys: jax.Array) -> tuple[Any, jax.Array]:
        drawn = jax.vmap(lambda key: jax.random.normal(key, (ASSETS,), jnp.float32))(keys)
        return state, drawn.T


@pytest.fixture(scope="module")
def echoes() -> tuple[np.ndarray, np.ndarray]:
    """Return (paths, steps, assets) what two models were given."""
    schedule = Schedule(steps=3, block=2, monitoring="step", precision="float32")
    root, price = jnp.eye(ASSETS, dtype=jnp.float32), jnp.ones(ASSETS, jnp.float32)
    paths = jnp.arange(4_000, dtype=jnp.uint32)
    given, drawn = (
        np.diff(np.log(price_paths(model, price, unsigned(5)[0], paths, schedule=schedule)), axis=1)
        for model in (Echo(root), Drawing(root))
    )
    return given, drawn


def test_a_model_is_given_the_market_stream(echoes: tuple[np.ndarray, np.ndarray]) -> None:
    keys = path_keys(unsigned(5)[0], MARKET, jnp.arange(4_000, dtype=jnp.uint32))
    normals = np.moveaxis(np.asarray(step_normals(keys, jnp.arange(1, 4), ASSETS)), 2, 0)
    np.testing.assert_allclose(echoes[0], normals, atol=1e-5)


def test_a_model_draws_from_keys_of_its_own(echoes: tuple[np.ndarray, np.ndarray]) -> None:
    """Its draws have nothing to do with the normals that drive it: no key is used twice."""
    rows = np.concatenate([echo.reshape(len(echo), -1) for echo in echoes], axis=1)
    correlation = np.corrcoef(rows.T) - np.eye(rows.shape[1])
    assert np.abs(correlation).max() * np.sqrt(len(rows)) < BOUND
