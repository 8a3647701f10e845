"""How many devices a run has, and how many paths each takes at a time, changes no digit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tomli_w
import xarray as xr

import stress
from stress.market import Constant
from stress.market.gbm import GeometricBrownianMotion
from stress.market.given import GivenSource
from stress.measure.fan import FanMeasure
from stress.runner import plan, simulate
from stress.runner.device import choose_devices
from stress.runner.fan import Fan, FanWork, fan_accounts_of, fan_grouping
from stress.runner.prepare import Job, prepare
from stress.runner.spread import Models, Spread, compiled, on_host
from stress.scenario.resolve import resolved_toml
from stress.scenario.schema import Scenario
from tests.cascade_books import Case, write_case
from tests.strategies import ASSETS, CORRELATION, PRICE, VOLATILITY, random_book, write_book

SEED = 83
PATHS = 530
"""Nine blocks of paths: on eight devices one and a part of a second block on one of them."""
KINDS = ("cross_coins", "cross_several", "isolated_alone", "idle")
CLOCKS = {"created_at", "compile_seconds", "duration_seconds", "account_path_steps_per_second"}


def cut(
    monkeypatch: pytest.MonkeyPatch, *, devices: int | None = None, together: int | None = None
) -> None:
    """Run on so many devices, with so many paths at a time on each."""
    if devices is not None:
        found = jax.devices()[:devices]
        assert len(found) == devices
        monkeypatch.setattr(simulate, "choose_devices", lambda kind: found)
    if together is not None:
        monkeypatch.setattr(simulate, "paths_together", lambda *of: together)


def check_same(found: xr.DataTree, expected: xr.DataTree, *groups: str) -> None:
    """Compare whole groups of results digit by digit, and what is said of the run."""
    for group in groups or tuple(expected.children):
        xr.testing.assert_identical(found[group].to_dataset(), expected[group].to_dataset())
    assert found.attrs.keys() == expected.attrs.keys()
    for name in expected.attrs.keys() - CLOCKS:
        assert found.attrs[name] == expected.attrs[name], name


Written = Callable[[Path], Scenario]


def passage(folder: Path, **changes: Any) -> Scenario:
    """Return two worlds of a book whose market has a calibration."""
    estimates = {
        "assets": list(ASSETS),
        "price": dict(PRICE),
        "volatility": dict(VOLATILITY),
        "volatility_standard_error": {asset: 0.1 * VOLATILITY[asset] for asset in ASSETS},
        "correlation": [list(row) for row in CORRELATION],
    }
    (folder / "calibration.toml").write_text(tomli_w.dumps(estimates))
    stated = {
        "book.compare": ["isolated"],
        "market.calibration": "calibration.toml",
        "simulation.detail": True,
        "simulation.paths": PATHS,
        "simulation.seed": SEED,
        **changes,
    }
    return write_book(folder, random_book(SEED, KINDS, copies=1), stated)


def bridged(folder: Path) -> Scenario:
    return passage(folder, **{"simulation.monitoring": "bridge", "simulation.detail": False})


def cascading(folder: Path) -> Scenario:
    """Return a venue with all its variants along prices from a file, whose worst path is shown."""
    case = Case(decision=("leader", 1, 1), backstop="auto-deleverage")
    simulation = {"paths": PATHS, "detail": True}
    return write_case(folder, SEED, case, paths=PATHS, simulation=simulation).scenario


RUNS: dict[str, tuple[Written, int, int]] = {
    "passage": (passage, 2, 1),
    "cascade": (cascading, 0, 2),
    "bridge": (bridged, 0, 1),
}
"""What is run, with how many draws of its parameters, and on how few devices besides eight.

For one device XLA (0.10.2) compiles the cascade another way than for several: some paths in a
hundred then differ in the last digit."""


def often(*chosen: str) -> list[Any]:
    """Return runs as parameters: the chosen ones every time, all of them in the full study."""
    return [
        pytest.param(name, marks=() if name in chosen else pytest.mark.slow, id=name)
        for name in RUNS
    ]


@pytest.mark.parametrize("name", often("passage"))
def test_few_devices_and_eight(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole result: measures, per-path tables, the path that is replayed, drawn parameters."""
    written, draws, few = RUNS[name]
    scenario = written(tmp_path)
    trees = []
    for devices in (few, 8):
        cut(monkeypatch, devices=devices)
        trees.append(stress.run(scenario, calibration_draws=draws))
    check_same(*trees)
    tree = trees[0]
    assert (tree["detail" if "detail" in tree else "accounts"].to_dataset().nbytes) > 0
    assert float(tree["book"]["liquidation_probability"]) > 0
    if name == "cascade":
        assert tree["replay"].attrs["path"] > 0
        assert (tree["replay"]["liquidated_notional"].values[-1]) > 0


@pytest.mark.slow
def test_extremes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two kernels of one world, at the worst of the bars and at their closes, on windows."""
    rng = np.random.default_rng(SEED)
    bars = 700
    close = np.array(list(PRICE.values())) * np.exp(
        np.cumsum(0.02 * rng.standard_normal((bars, len(ASSETS))), axis=0)
    )
    first = np.datetime64("2024-01-01T00:00:00")
    rows = [
        f"{first + np.timedelta64(6 * bar, 'h')}Z,{asset},{price},{price * 1.03},{price * 0.97}"
        for bar, prices in enumerate(close)
        for asset, price in zip(ASSETS, prices.tolist(), strict=True)
    ]
    text = "\n".join(["timestamp,asset,close,high,low", *rows])
    (tmp_path / "history.csv").write_text(text + "\n")
    changes = {
        "market.model": "historical",
        "market.history": "history.csv",
        "simulation.monitoring": "extremes",
        "simulation.paths": PATHS,
    }
    scenario = write_book(tmp_path, random_book(SEED, KINDS, copies=1), changes)
    trees = []
    for devices in (1, 8):
        cut(monkeypatch, devices=devices)
        trees.append(stress.run(scenario))
    check_same(*trees)


@pytest.mark.parametrize(
    "together",
    [
        pytest.param(32, marks=pytest.mark.slow),
        pytest.param(16, marks=pytest.mark.slow),
        pytest.param(128, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("name", often("passage"))
def test_paths_at_a_time(
    name: str, together: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path is the same path; only sums over paths are rounded in another order."""
    written, *_ = RUNS[name]
    scenario = written(tmp_path)
    trees = []
    for size in (together, 64):
        cut(monkeypatch, devices=1, together=size)
        trees.append(stress.run(scenario, paths=128))
    found, expected = trees
    groups = ("detail", "paths", "distribution") if "detail" in expected else ("paths",)
    check_same(found, expected, *groups)
    for group in ("accounts", "groups", "book", "fan"):
        xr.testing.assert_allclose(
            found[group].to_dataset(), expected[group].to_dataset(), rtol=1e-12, atol=1e-9
        )


class TestDevicesUsed:
    def test_a_small_run_uses_few(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        used = []

        def seen(job: Any, spread: Spread) -> Any:
            used.append((spread.block, spread.devices))
            raise InterruptedError

        monkeypatch.setattr(simulate, "driver_over", seen)
        scenario = passage(tmp_path)
        for paths in (1, 64, 65, PATHS, 10_000):
            with pytest.raises(InterruptedError):
                stress.run(scenario, paths=paths)
        assert used == [(64, 2), (64, 2), (64, 2), (64, 8), (64, 8)]

    def test_all_of_a_kind(self) -> None:
        assert choose_devices(None) == choose_devices("cpu") == tuple(jax.devices())
        with pytest.raises(stress.InputError, match="no gpu found"):
            choose_devices("gpu")


class TestModels:
    spread = Spread.over(jax.devices()[:4], 16)

    def test_one_for_all_is_put_there_once(self) -> None:
        root = np.eye(2)
        model = GeometricBrownianMotion.build(
            volatility=np.ones(2),
            drift=np.zeros(2),
            correlation=root,
            step_years=1e-3,
            precision="float64",
        )
        models = Models(Constant(model), self.spread)
        first, second = (models.block(np.arange(at, at + 64)) for at in (0, 64))
        pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
        assert all(one is other for one, other in pairs)
        assert all(len(leaf.devices()) == 4 for leaf in jax.tree.leaves(first))

    def test_a_model_of_each_block(self) -> None:
        """Every device holds its own paths' prices, and no others'."""
        prices = np.random.default_rng(SEED).uniform(1, 2, (200, 5, 3))
        source = GivenSource(lambda numbers: prices[numbers], np.ones(3), "float64")
        models = Models(source, self.spread)
        assert not models.is_shared
        (levels,) = jax.tree.leaves(models.block(np.arange(64, 128)))
        assert levels.shape == (4, 5, 3, 16)
        for place, device in enumerate(self.spread.mesh.devices.flat):
            own = levels.addressable_data(place)
            assert own.devices() == {device}
            expected = np.log(prices[64 + 16 * place :][:16]).transpose(1, 2, 0)
            np.testing.assert_array_equal(on_host(own), expected)

    def test_counts(self) -> None:
        """The paths that count come first."""
        assert self.spread.counts(64) == [16, 16, 16, 16]
        assert self.spread.counts(33) == [16, 16, 1, 0]
        assert self.spread.counts(5) == [5, 0, 0, 0]


class TestFanOfALargeBook:
    spread = Spread.over(jax.devices()[:2], 64)

    def drawn(self, job: Job, steps: np.ndarray) -> tuple[FanMeasure, FanWork]:
        """Return the fan where pools are liquidated at these (pools, paths) steps."""
        work = FanWork.of(job, self.spread)
        (kernel,) = compiled(work.work)
        fan = Fan(work, kernel)
        measure = FanMeasure(fan_grouping(job.main), job.fan_schedule.blocks + 1)
        halves = [steps[:, :64], steps[:, 64:]]
        fan.absorb([measure] * 2, fan.start(np.arange(self.spread.width)), halves)
        return measure, work

    def test_it_is_the_fan_of_some_accounts(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Digit by digit that of a book of these accounts alone."""
        accounts = random_book(SEED, ("cross_several", "mixed", "cross_coins"), copies=5)
        monkeypatch.setattr(plan, "_FAN_PAIRS", 64 * 7)
        job = prepare(write_book(tmp_path, accounts))
        rng = np.random.default_rng(SEED)
        steps = rng.integers(-60, 41, (len(job.main.pools.cash), 100)).clip(-1)
        found, work = self.drawn(job, steps)
        chosen = fan_accounts_of(job.main)
        assert len(chosen) == 6
        (tmp_path / "alone").mkdir()
        few = {name: accounts[name] for name in np.array(list(accounts))[chosen].tolist()}
        alone = prepare(write_book(tmp_path / "alone", few))
        expected, whole = self.drawn(alone, steps[work.pools])
        assert len(whole.pools) == len(alone.main.pools.cash) == len(work.pools)
        np.testing.assert_array_equal(found.counts, expected.counts)
        assert found.paths == expected.paths == 64
        assert expected.counts.sum() == 64 * 6 * found.counts.shape[1]


def in_a_new_process(code: str, **environment: str) -> str:
    """Return what Python prints, without this process's choice of devices."""
    kept = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


COUNT = """
import os
{before}
from stress.runner.device import use_all_cores
use_all_cores()
import jax
print(len(jax.devices()))
"""


class TestCommands:
    """Commands make a device of every core; the library leaves JAX as it is."""

    def test_every_core_that_the_process_may_use(self) -> None:
        cores = sorted(os.sched_getaffinity(0))
        assert in_a_new_process(COUNT.format(before="")) == str(max(len(cores), 2))
        one = f"os.sched_setaffinity(0, {{{cores[0]}}})"
        assert in_a_new_process(COUNT.format(before=one)) == "2"

    def test_a_choice_of_the_user_stays(self) -> None:
        plain = COUNT.format(before="")
        assert in_a_new_process(plain, JAX_NUM_CPU_DEVICES="3") == "3"
        flags = "--xla_force_host_platform_device_count=5"
        assert in_a_new_process(plain, XLA_FLAGS=flags) == "5"

    def test_once_jax_has_started(self) -> None:
        """It is too late, and nothing fails."""
        late = COUNT.format(before="import jax; jax.devices()")
        assert in_a_new_process(late) == "1"

    def test_run(self, tmp_path: Path) -> None:
        """Nothing that ``run`` does before has started JAX."""
        scenario = passage(tmp_path)
        file = tmp_path / "scenario.toml"
        file.write_text(resolved_toml(scenario))
        code = (
            "import jax\n"
            "from stress.cli import main\n"
            "from stress.runner import command\n"
            "def seen(*of, **named):\n"
            "    print(len(jax.devices()))\n"
            "    raise KeyboardInterrupt\n"
            "command.simulate = seen\n"
            f"assert main(['run', {str(file)!r}, '--out', {str(tmp_path / 'out')!r}]) == 75\n"
        )
        cores = len(os.sched_getaffinity(0))
        assert in_a_new_process(code) == str(max(cores, 2))

    def test_info(self) -> None:
        """They are shown."""
        code = "from stress.cli import main; main(['info', '--json'])"
        devices = json.loads(in_a_new_process(code))["devices"]
        assert [device["platform"] for device in devices] == ["cpu"] * max(
            len(os.sched_getaffinity(0)), 2
        )
