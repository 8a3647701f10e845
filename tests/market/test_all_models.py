"""What every price model promises, whatever it is: same digits, both precisions, mean, variance."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from stress.engine.block import Schedule
from stress.engine.paths import price_paths
from stress.market import ModelSource
from stress.runner.prepare import build_market
from stress.scenario.build import build_setting
from stress.scenario.schema import Scenario
from stress.types import Integers, Precision
from tests.market.models import DRAWN, MODELS, model_scenario
from tests.test_lowering import HOST

STEPS = 24
"""Six bars of four steps."""
WIDTH = 64
BOUND = 4.5
"""Standard errors: 7 in a million on both sides, some sixty times in this file."""


class Market:
    """A model with its scenario in one precision, and its prices on blocks of paths."""

    def __init__(self, scenario: Scenario, precision: Precision) -> None:
        simulation = scenario.simulation.model_copy(update={"precision": precision})
        self.scenario = scenario.model_copy(update={"simulation": simulation})
        self.precision: Precision = precision
        self.setting = build_setting(self.scenario)
        self.source: ModelSource = build_market(self.scenario, self.setting)

    def schedule(self, steps: int = STEPS, block: int = STEPS) -> Schedule:
        return Schedule(steps=steps, block=block, monitoring="step", precision=self.precision)

    def arguments(self, numbers: Integers) -> tuple[jax.Array, ...]:
        price = jnp.asarray(self.setting.price, jnp.dtype(self.precision))
        return price, jnp.asarray(21, jnp.uint32), jnp.asarray(numbers, jnp.uint32)

    def levels(self, numbers: Integers, steps: int = STEPS, block: int = STEPS) -> np.ndarray:
        """Return (paths, steps + 1, assets) logs of prices over those at the start."""
        model = self.source.block(numbers.astype(np.uint32))
        schedule = self.schedule(steps, block)
        prices = price_paths(model, *self.arguments(numbers), schedule=schedule)
        return np.log(np.asarray(prices) / self.setting.price)


Build = Callable[[str, Precision], Market]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    known: dict[tuple[str, Precision], Market] = {}

    def market(model: str, precision: Precision) -> Market:
        key = model, precision
        if key not in known:
            folder: Path = tmp_path_factory.mktemp(model)
            known[key] = Market(model_scenario(folder, model), precision)
        return known[key]

    return market


FIRST = np.arange(WIDTH)


@pytest.mark.parametrize("model", MODELS)
class TestDigits:
    def test_a_path_does_not_know_its_neighbours(self, model: str, build: Build) -> None:
        """Any numbers in any order give each path what it has in its own block."""
        market = build(model, "float64")
        shuffled = np.random.default_rng(3).permutation(2 * WIDTH)
        found = np.empty((2 * WIDTH, STEPS + 1, 4))
        for part in np.split(shuffled, 2):
            found[part] = market.levels(part)
        np.testing.assert_array_equal(found[:WIDTH], market.levels(FIRST))
        np.testing.assert_array_equal(found[WIDTH:], market.levels(FIRST + WIDTH))

    def test_another_device(self, model: str, build: Build) -> None:
        numbers = np.arange(WIDTH)
        here = build(model, "float64").levels(numbers)
        with jax.default_device(jax.devices()[5]):
            there = build(model, "float64").levels(numbers)
        np.testing.assert_array_equal(there, here)

    def test_horizon_and_time_blocks(self, model: str, build: Build) -> None:
        """A shorter horizon in other blocks of time is the beginning of the longer one."""
        market = build(model, "float64")
        found = market.levels(FIRST, steps=17, block=6)
        np.testing.assert_array_equal(found, market.levels(FIRST)[:, :18])

    def test_single_precision_is_near(self, model: str, build: Build) -> None:
        """The draws are the same: what differs is rounding."""
        single, double = (
            build(model, precision).levels(FIRST) for precision in ("float32", "float64")
        )
        np.testing.assert_allclose(single, double, atol=2e-4)

    @pytest.mark.parametrize("precision", ["float32", "float64"])
    def test_lowers_for_cuda(self, model: str, build: Build, precision: Precision) -> None:
        """On a machine without a GPU; nothing is called on the host, nothing computed in double."""
        market, numbers = build(model, precision), np.arange(2_048)
        arguments = market.source.block(FIRST.astype(np.uint32)), *market.arguments(numbers)
        if model == "given":
            # its model is as wide as its block
            arguments = arguments[0], *market.arguments(FIRST)
        exported = export.export(
            jax.jit(price_paths, static_argnames=("schedule",)), platforms=["cuda"]
        )(*arguments, schedule=market.schedule())
        text = exported.mlir_module()
        assert exported.platforms == ("cuda",)
        assert HOST.search(text) is None
        if precision == "float32":
            assert re.search(r"tensor<(\d+x)*2048x(\d+x)*f64>", text) is None


@pytest.fixture(scope="module")
def ends(build: Build) -> Callable[[str], tuple[np.ndarray, Market]]:
    known: dict[str, tuple[np.ndarray, Market]] = {}

    def at_end(model: str) -> tuple[np.ndarray, Market]:
        if model not in known:
            market = build(model, "float64")
            blocks = [market.levels(FIRST + WIDTH * number)[:, -1] for number in range(150)]
            known[model] = np.concatenate(blocks), market
        return known[model]

    return at_end


def _scores(sample: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return (sample.mean(axis=0) - truth) / (sample.std(axis=0) / np.sqrt(len(sample)))


Ends = Callable[[str], tuple[np.ndarray, Market]]


@pytest.mark.parametrize("model", DRAWN)
class TestLaw:
    def test_drift(self, model: str, ends: Ends) -> None:
        """Compensated, ``E[S_T] = S_0 exp(drift T)``, or the mean log return is set."""
        levels, market = ends(model)
        setting = market.setting
        years = STEPS * setting.step_years
        if model == "jump-diffusion":
            scores = _scores(np.exp(levels), np.exp(setting.drift * years))
        else:
            scores = _scores(levels, (setting.drift - setting.volatility**2 / 2) * years)
        assert np.abs(scores).max() < BOUND
        assert (setting.drift != 0).any()


# filtered-historical begins at the variance that its filter ends with: its own tests say so
@pytest.mark.parametrize("model", [model for model in DRAWN if model != "filtered-historical"])
def test_volatility(model: str, ends: Ends) -> None:
    """Total: jumps, regimes and clusters are inside it."""
    levels, market = ends(model)
    years = STEPS * market.setting.step_years
    squares = (levels - levels.mean(axis=0)) ** 2
    scores = _scores(squares, market.setting.volatility**2 * years)
    assert np.abs(scores).max() < BOUND


def test_another_seed_is_another_market(build: Build) -> None:
    """The arguments above are not constants of a compiled kernel."""
    market = build("gbm", "float64")
    seeds = (jnp.asarray(seed, jnp.uint32) for seed in (1, 2))
    price, _, numbers = market.arguments(FIRST)
    model = market.source.block(FIRST.astype(np.uint32))
    one, two = (
        price_paths(model, price, seed, numbers, schedule=replace(market.schedule()))
        for seed in seeds
    )
    assert (np.asarray(one)[:, 1:] != np.asarray(two)[:, 1:]).all()
