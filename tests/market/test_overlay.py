"""Overlays against a plain twin of the composition, and against the model that they lie on."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from stress.engine.block import Schedule
from stress.engine.paths import price_paths
from stress.market import Constant, Inside, PriceModel, inside, knows_extremes
from stress.market.gbm import GeometricBrownianMotion, symmetric_root
from stress.market.given import GivenPaths
from stress.market.overlay import Overlaid, OverlaidSource, Steps, correlation_map, lay
from stress.pytree import register_part
from stress.types import Precision

ASSETS, STEPS, PATHS = 3, 11, 16
PRICE = np.array([100.0, 60_000.0, 0.4])
CORRELATION = np.array([[1.0, 0.7, -0.3], [0.7, 1.0, 0.2], [-0.3, 0.2, 1.0]])


def gbm(precision: Precision = "float64") -> GeometricBrownianMotion:
    return GeometricBrownianMotion.build(
        volatility=np.array([0.3, 0.8, 1.5]),
        drift=np.array([0.5, 0.0, -1.0]),
        correlation=CORRELATION,
        step_years=1 / 365,
        precision=precision,
    )


def steps(maps: int = 2, seed: int = 4_101) -> Steps:
    """Overlays drawn at random: some steps have a map, one has a jump."""
    random = np.random.default_rng(seed)
    jump = np.zeros((STEPS, ASSETS))
    jump[4] = [-0.2, 0.1, 0.05]
    return Steps(
        mean=random.normal(size=ASSETS) * 0.01,
        shift=random.normal(size=(STEPS, ASSETS)) * 0.02,
        jump=jump,
        maps=np.eye(ASSETS) + random.normal(size=(maps, ASSETS, ASSETS)) * 0.3,
        which=np.arange(STEPS) % (maps + 1) - 1,
    )


def levels(
    model: PriceModel, *, block: int = STEPS, first: int = 0, precision: Precision = "float64"
) -> np.ndarray:
    """Return (paths, steps + 1, assets) log prices relative to the start."""
    schedule = Schedule(steps=STEPS, block=block, monitoring="step", precision=precision)
    dtype = jnp.dtype(precision)
    prices = price_paths(
        model,
        jnp.ones(ASSETS, dtype),
        jnp.asarray(7, jnp.uint32),
        first + jnp.arange(PATHS, dtype=jnp.uint32),
        schedule=schedule,
    )
    return np.log(np.asarray(prices, np.float64))


def plain(returns: np.ndarray, overlay: Steps) -> np.ndarray:
    """The composition step by step, path by path."""
    moved = np.empty_like(returns)
    for path in range(returns.shape[0]):
        for step in range(returns.shape[1]):
            own = returns[path, step]
            row = overlay.which[step]
            if row >= 0:
                own = overlay.maps[row] @ (own - overlay.mean) + overlay.mean
            moved[path, step] = own + overlay.shift[step] + overlay.jump[step]
    return moved


class TestComposition:
    @pytest.mark.parametrize("maps", [0, 1, 2])
    def test_twin(self, maps: int) -> None:
        overlay = steps(maps)
        before = np.diff(levels(gbm()), axis=1)
        after = np.diff(levels(Overlaid(gbm(), lay(overlay, "float64"))), axis=1)
        np.testing.assert_allclose(after, plain(before, overlay), atol=1e-14)

    def test_outside_of_it_the_digits_are_the_model_s(self) -> None:
        """Before the first step with an effect, and in float32 too."""
        overlay = steps(1)._replace(
            shift=np.zeros((STEPS, ASSETS)), which=np.where(np.arange(STEPS) == 7, 0, -1)
        )
        overlay.jump[:] = 0
        for precision in ("float32", "float64"):
            model = gbm(precision)
            before = levels(model, precision=precision)
            after = levels(Overlaid(model, lay(overlay, precision)), precision=precision)
            np.testing.assert_array_equal(after[:, :8], before[:, :8])
            assert (after[:, 8:] != before[:, 8:]).all()

    def test_any_block_and_chunk(self) -> None:
        model = Overlaid(gbm(), lay(steps(), "float64"))
        whole = levels(model)
        np.testing.assert_array_equal(levels(model, block=4), whole)
        np.testing.assert_array_equal(levels(model, first=3)[:-3], whole[3:])

    def test_given_paths(self) -> None:
        """A model that reads its returns instead of drawing them, and keeps a state."""
        random = np.random.default_rng(4_102)
        prices = np.exp(np.cumsum(random.normal(size=(PATHS, STEPS + 1, ASSETS)) * 0.02, axis=1))
        prices /= prices[:, :1]
        model = GivenPaths.build(prices, price=np.ones(ASSETS), precision="float64")
        overlay = steps()
        after = np.diff(levels(Overlaid(model, lay(overlay, "float64"))), axis=1)
        expected = plain(np.diff(np.log(prices), axis=1), overlay)
        np.testing.assert_allclose(after, expected, atol=1e-13)

    def test_a_source_gives_the_same_model_again(self) -> None:
        source = OverlaidSource(Constant(gbm()), lay(steps(), "float64"))
        numbers = np.arange(PATHS, dtype=np.uint32)
        first, second = source.block(numbers), source.block(numbers)
        assert first.model is second.model
        assert jax.tree.structure(first) == jax.tree.structure(second)


@register_part
@dataclass(frozen=True)
class _Jumping:
    """A model that states what its steps are like inside, and how far prices went."""

    root: jax.Array
    jumps: jax.Array
    low: jax.Array

    assets = ASSETS

    @property
    def covariance_root(self) -> jax.Array:
        return jnp.full((ASSETS, ASSETS), jnp.nan)

    def init(self, paths: jax.Array) -> tuple[()]:
        return ()

    def step(
        self, state: tuple[()], normals: jax.Array, keys: jax.Array
    ) -> tuple[tuple[()], jax.Array]:
        return (), jnp.einsum("abp,bp->ap", self.root, normals) + self.jumps

    def inside(self, state: tuple[()]) -> Inside:
        return Inside(self.root, self.jumps)

    def extremes(self, state: tuple[()]) -> tuple[jax.Array, jax.Array]:
        return self.low, -self.low


class TestInside:
    def at(self, model: Overlaid, step: int) -> object:
        """Return the state after a step."""
        own = model.model.init(jnp.arange(PATHS))
        return model.init(jnp.arange(PATHS))._replace(
            own=own, step=jnp.full(PATHS, step, jnp.int32)
        )

    def test_roots_and_jumps_go_through_the_map(self) -> None:
        random = np.random.default_rng(4_103)
        root = random.normal(size=(ASSETS, ASSETS, PATHS))
        jumps = random.normal(size=(ASSETS, PATHS))
        overlay = steps()
        low = -jnp.abs(jnp.asarray(jumps))
        model = Overlaid(
            _Jumping(jnp.asarray(root), jnp.asarray(jumps), low), lay(overlay, "float64")
        )
        for step in range(1, STEPS + 1):
            found = inside(model, self.at(model, step))
            row = overlay.which[step - 1]
            map_ = overlay.maps[row] if row >= 0 else np.eye(ASSETS)
            expected = np.einsum("ab,bcp->acp", map_, root)
            np.testing.assert_allclose(found.root, expected, atol=1e-14)
            moved = map_ @ jumps + overlay.jump[step - 1][:, None]
            np.testing.assert_allclose(found.jump, moved, atol=1e-14)

    def test_of_a_model_whose_steps_are_alike(self) -> None:
        overlay = steps()
        model = Overlaid(gbm(), lay(overlay, "float64"))
        found = inside(model, self.at(model, 5))
        np.testing.assert_allclose(
            found.root[:, :, 0], overlay.maps[overlay.which[4]] @ gbm().covariance_root, atol=1e-15
        )
        np.testing.assert_array_equal(found.jump[:, 0], overlay.jump[4])
        assert not knows_extremes(model)

    def test_extremes_are_seen_from_behind_the_jump(self) -> None:
        """Lows and highs of 3 percent around an end that is then 20 percent lower."""
        low = jnp.full((ASSETS, PATHS), -0.03)
        still = jnp.zeros((ASSETS, ASSETS, PATHS))
        double = steps(1)._replace(maps=2 * np.eye(ASSETS)[None], which=np.full(STEPS, -1))
        double.which[7] = 0
        model = Overlaid(_Jumping(still, jnp.zeros_like(low), low), lay(double, "float64"))
        assert knows_extremes(model)
        below, above = model.extremes(self.at(model, 5))
        np.testing.assert_allclose(below[:, 0], [0.0, -0.13, -0.08], atol=1e-12)
        np.testing.assert_allclose(above[:, 0], [0.23, 0.0, 0.0], atol=1e-12)
        below, above = model.extremes(self.at(model, 8))
        np.testing.assert_allclose([below, above], [2 * low, -2 * low])

    def test_no_variance_stays_no_variance(self) -> None:
        model = GivenPaths.build(
            np.ones((PATHS, STEPS + 1, ASSETS)), price=np.ones(ASSETS), precision="float64"
        )
        assert np.isnan(Overlaid(model, lay(steps(), "float64")).covariance_root).all()


class TestCorrelationMap:
    @pytest.mark.parametrize(
        "wanted", [np.full((3, 3), 0.95), np.ones((3, 3)), np.eye(3), np.full((3, 3), -0.4)]
    )
    def test_variances_stay_and_correlations_change(self, wanted: np.ndarray) -> None:
        wanted = wanted.copy()
        np.fill_diagonal(wanted, 1.0)
        deviation = np.array([0.3, 0.8, 1.5])
        map_ = correlation_map(deviation, CORRELATION, wanted)
        before = deviation[:, None] * symmetric_root(CORRELATION)
        after = map_ @ before
        expected = deviation[:, None] * wanted * deviation
        np.testing.assert_allclose(after @ after.T, expected, atol=1e-12)

    def test_the_own_correlation_leaves_returns_alone(self) -> None:
        map_ = correlation_map(np.array([0.3, 0.8, 1.5]), CORRELATION, CORRELATION)
        np.testing.assert_allclose(map_, np.eye(3), atol=1e-12)


def test_lowers_for_cuda() -> None:
    schedule = Schedule(steps=STEPS, block=4, monitoring="step", precision="float32")
    lowered = export.export(
        jax.jit(price_paths, static_argnames=("schedule",)), platforms=["cuda"]
    )(
        Overlaid(gbm("float32"), lay(steps(), "float32")),
        jnp.asarray(PRICE, jnp.float32),
        jnp.asarray(1, jnp.uint32),
        jnp.arange(64, dtype=jnp.uint32),
        schedule=schedule,
    )
    assert lowered.platforms == ("cuda",)
    assert "callback" not in lowered.mlir_module()


def test_no_map_no_product() -> None:
    """Moves alone cost an addition: the kernel has the one product of the model."""

    def products(overlay: Steps) -> int:
        model = Overlaid(gbm(), lay(overlay, "float64"))
        state = model.init(jnp.arange(PATHS))
        keys = jax.random.split(jax.random.key(0), PATHS)
        text = jax.jit(model.step).lower(state, jnp.ones((ASSETS, PATHS)), keys).as_text()
        return text.count("stablehlo.multiply")

    # few assets: a multiplication for each column of a matrix
    assert products(steps(0)) == ASSETS
    assert products(steps(1)) == 2 * ASSETS
