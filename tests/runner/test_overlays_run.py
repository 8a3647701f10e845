"""``[[stress]]`` from the file to the result: moments, first passage, depth and halts."""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

import stress
from stress.errors import InputError
from stress.market import Constant
from stress.market.overlay import OverlaidSource
from stress.pytree import register_part
from stress.report.page import render
from stress.runner.overlays import build_environment, build_steps, overlay_notices, overlay_words
from stress.runner.prepare import build_market, prepare
from stress.scenario.build import build_setting
from stress.scenario.schema import Scenario
from tests.reference import barrier

ASSETS = ("BTC", "ETH", "COIN")
VOLATILITY = np.array([0.5, 0.8, 0.3])
CORRELATION = np.array([[1.0, 0.7, 0.1], [0.7, 1.0, 0.2], [0.1, 0.2, 1.0]])
DAY = 1 / 365
BOUND = 4.5
"""Standard errors."""

POSITIONS = "account,asset,quantity,entry_price\nlong,BTC,10,100\n"
SHOCK = {"kind": "shock", "at": "2d", "over": "3d", "return": {"BTC": -0.15}, "beta_to": "BTC"}
AT_ONCE = {"kind": "shock", "at": "2d", "return": {"ETH": -0.3}}
DRIFT = {"kind": "drift", "at": "1d", "window": "4d", "rate": {"BTC": 2.0, "COIN": -1.0}}
WILD = {"kind": "volatility", "at": "3d", "window": "3d", "multiplier": {"BTC": 3.0, "ETH": 2.0}}
ALIKE = {"kind": "correlation", "at": "4d", "window": "4d", "target": 0.9, "weight": 0.5}
IMPOSSIBLE = {**ALIKE, "target": -0.9, "weight": 1.0}
LINEAR = {"impact": {"kind": "linear", "depth_1pct": dict.fromkeys(ASSETS, 1e5)}}


def scenario(
    folder: Path,
    *overlays: dict[str, Any],
    accounts: str = "account,cash\nlong,150\n",
    positions: str = POSITIONS,
    venue: dict[str, Any] | None = None,
    **simulation: Any,
) -> Scenario:
    """Return a scenario of eight days in three assets at 100 USD; rate 0.05, no fee."""
    (folder / "accounts.csv").write_text(accounts)
    (folder / "positions.csv").write_text(positions)
    content = {
        "name": "stressed",
        "simulation": {
            "paths": 64,
            "horizon": "8d",
            "step": "1d",
            "precision": "float64",
            "seed": 11,
            **simulation,
        },
        "market": {
            "assets": list(ASSETS),
            "price": dict.fromkeys(ASSETS, 100.0),
            "volatility": dict(zip(ASSETS, VOLATILITY.tolist(), strict=True)),
            "drift": {"BTC": 0.4},
            "correlation": CORRELATION.tolist(),
        },
        "book": {"accounts": "accounts.csv", "positions": "positions.csv", "mode": "cross"},
        "venue": {
            "amount": "all",
            "fee": 0.0,
            "tiers": {"default": [{"floor": 0, "rate": 0.05}]},
            **(venue or {}),
        },
        "stress": list(overlays),
    }
    return stress.load_scenario(content, base=folder)


def log_prices(of: Scenario, **options: Any) -> np.ndarray:
    """Return (paths, nodes, assets) log prices relative to the start."""
    return np.log(stress.simulate_prices(of, **options).values / 100.0)


class TestPrices:
    def test_moves_are_what_they_say(self, tmp_path: Path) -> None:
        """On every path, whatever the volatility of that time: the sum is exact to rounding."""
        calm = log_prices(scenario(tmp_path))
        moved = log_prices(scenario(tmp_path, SHOCK, AT_ONCE, WILD))
        wild = log_prices(scenario(tmp_path, WILD))
        plan = np.zeros((9, 3))
        beta = CORRELATION[0] * VOLATILITY / VOLATILITY[0]
        plan += np.clip(np.arange(9) - 2, 0, 3)[:, None] / 3 * np.log(0.85) * beta
        plan[2:, 1] += np.log(0.7)
        np.testing.assert_allclose(moved - wild, np.broadcast_to(plan, moved.shape), atol=1e-13)
        only = log_prices(scenario(tmp_path, SHOCK))
        np.testing.assert_array_equal(only[:, :3], calm[:, :3])

    def test_moments(self, tmp_path: Path) -> None:
        """Mean and covariance of every step's log return, and E[S] where nothing is stated."""
        paths = 20_000
        stressed = scenario(tmp_path, DRIFT, WILD, ALIKE, paths=paths)
        levels = log_prices(stressed)
        steps = np.diff(levels, axis=1)
        rate, usual = np.array([2.0, 0.0, -1.0]), np.array([0.4, 0.0, 0.0])
        blend = 0.5 * CORRELATION + 0.5 * np.full((3, 3), 0.9)
        np.fill_diagonal(blend, 1.0)
        for step in range(8):
            wild, alike = 3 <= step < 6, 4 <= step < 8
            deviation = VOLATILITY * (np.array([3.0, 2.0, 1.0]) if wild else 1.0)
            mean = (usual + rate * (1 <= step < 5) - deviation**2 / 2) * DAY
            deviation = deviation * np.sqrt(DAY)
            correlation = blend if alike else CORRELATION
            covariance = deviation[:, None] * correlation * deviation
            found = steps[:, step]
            score = (found.mean(axis=0) - mean) / (deviation / np.sqrt(paths))
            assert np.abs(score).max() < BOUND
            spread = deviation[:, None] ** 2 * deviation**2 + covariance**2
            score = (np.cov(found.T) - covariance) / np.sqrt(spread / paths)
            assert np.abs(score).max() < BOUND
        years = DAY * np.arange(9)
        drifted = DAY * np.clip(np.arange(9) - 1, 0, 4)
        expected = np.exp(usual * years[:, None] + rate * drifted[:, None])
        found = np.exp(levels)
        error = found[:, 1:].std(axis=0) / np.sqrt(paths)
        score = (found.mean(axis=0)[1:] - expected[1:]) / error
        assert np.abs(score).max() < BOUND

    def test_the_order_of_kinds_does_not_matter(self, tmp_path: Path) -> None:
        expected = log_prices(scenario(tmp_path, SHOCK, WILD, ALIKE, DRIFT))
        for order in itertools.permutations([SHOCK, WILD, ALIKE, DRIFT]):
            np.testing.assert_allclose(log_prices(scenario(tmp_path, *order)), expected, atol=1e-13)

    def test_any_number_of_paths(self, tmp_path: Path) -> None:
        stressed = scenario(tmp_path, SHOCK, WILD, ALIKE, paths=100)
        few = log_prices(stressed, paths=3)
        np.testing.assert_array_equal(few, log_prices(stressed)[:3])

    def test_without_overlays_the_model_is_the_model(self, tmp_path: Path) -> None:
        thin = {"kind": "liquidity", "at": 0, "multiplier": 0.1}
        law = {"impact": {"kind": "linear", "depth_1pct": dict.fromkeys(ASSETS, 1e6)}}
        for each in (scenario(tmp_path), scenario(tmp_path, thin, venue=law)):
            assert isinstance(build_market(each, build_setting(each)), Constant)
        stressed = scenario(tmp_path, SHOCK)
        source = build_market(stressed, build_setting(stressed))
        assert isinstance(source, OverlaidSource)

    def test_a_user_s_model_is_stressed_too(self, tmp_path: Path) -> None:
        moved = log_prices(scenario(tmp_path, AT_ONCE), market=Still(jnp.zeros(3)))
        expected = np.zeros((9, 3))
        expected[2:, 1] = np.log(0.7)
        np.testing.assert_allclose(moved, np.broadcast_to(expected, moved.shape), atol=1e-15)

    def test_maps_are_kept_once_each(self, tmp_path: Path) -> None:
        stressed = scenario(tmp_path, WILD, ALIKE)
        steps = build_steps(stressed, build_setting(stressed))
        assert steps is not None
        assert len(steps.maps) == 3
        assert steps.which.tolist() == [-1, -1, -1, 0, 1, 1, 2, 2]


class TestRepair:
    def test_the_nearest_is_used_and_its_distance_told(self, tmp_path: Path) -> None:
        stressed = scenario(tmp_path, IMPOSSIBLE)
        (notice,) = overlay_notices(stressed)
        assert "the nearest that is one is used" in notice
        distance = float(notice.split(", ")[-1].split(" away")[0])
        # the nearest has -1/2 for all pairs: six entries are 0.4 away
        assert distance == pytest.approx(np.sqrt(6) * 0.4, rel=5e-3)
        assert f"{distance:.3g}" in overlay_words(stressed)[0]
        assert notice in prepare(stressed).notices
        steps = build_steps(stressed, build_setting(stressed))
        assert steps is not None
        root = steps.maps[0] @ (VOLATILITY[:, None] * np.linalg.cholesky(CORRELATION))
        found = root @ root.T / (VOLATILITY[:, None] * VOLATILITY)
        np.testing.assert_allclose(found, np.full((3, 3), -0.5) + 1.5 * np.eye(3), atol=1e-5)

    def test_without_the_extra_it_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stressed = scenario(tmp_path, IMPOSSIBLE)
        monkeypatch.setitem(sys.modules, "statsmodels.stats.correlation_tools", None)
        with pytest.raises(InputError, match=r"stress\[0\]\.target: .*margin-stress\[calibrate\]"):
            build_market(stressed, build_setting(stressed))
        assert overlay_notices(scenario(tmp_path, ALIKE)) == ()


@register_part
@dataclass(frozen=True)
class Still:
    """Prices that stand still but for what is laid over them."""

    log_return: jax.Array

    @property
    def assets(self) -> int:
        return self.log_return.shape[0]

    @property
    def covariance_root(self) -> jax.Array:
        return jnp.zeros((self.assets, self.assets), self.log_return.dtype)

    def init(self, paths: jax.Array) -> tuple[()]:
        return ()

    def step(
        self, state: tuple[()], normals: jax.Array, keys: jax.Array
    ) -> tuple[tuple[()], jax.Array]:
        return (), jnp.broadcast_to(self.log_return[:, None], normals.shape)


def fall(at: str, by: float, **more: Any) -> dict[str, Any]:
    return {"kind": "shock", "at": at, "return": {"BTC": by}, **more}


class TestFirstPassage:
    """A long that a shock at once may hit, against the closed form restarted behind it.

    10 units from 100 with 300 of cash and a rate of 0.05: the barrier is 700 / 9.5 USD.
    """

    BARRIER = np.log(7.0 / 9.5)
    SIGMA, DRIFT = 0.5, 0.4 - 0.125
    JUMP = np.log(0.88)

    def alive(self, level: float, years: float) -> float:
        """Return the density of the log price among those that have not touched the barrier."""
        deviation = self.SIGMA * np.sqrt(years)
        image = np.exp(2 * self.DRIFT * self.BARRIER / self.SIGMA**2)
        direct = norm.pdf(level, self.DRIFT * years, deviation)
        mirrored = norm.pdf(level, 2 * self.BARRIER + self.DRIFT * years, deviation)
        return float(direct - image * mirrored)

    def survives(self, level: float, years: float) -> float:
        """Return the probability of not touching the barrier from a level above it."""
        distance = level - self.BARRIER
        hit = barrier.log_first_passage(distance, self.DRIFT, self.SIGMA, years)
        return float(-np.expm1(hit))

    def truth(self, early: float, late: float) -> float:
        """Return the probability of a hit where the jump falls between two stretches of years."""
        stay = quad(
            lambda x: self.alive(x, early) * (self.survives(x + self.JUMP, late) if late else 1.0),
            self.BARRIER - self.JUMP,
            2.0,
            epsabs=1e-12,
        )[0]
        return 1 - stay

    @pytest.mark.parametrize(
        ("day", "step"),
        [
            pytest.param(day, step, marks=pytest.mark.slow)
            for day, step in ((40, "20d"), (20, "20d"), (20, "5d"))
        ],
    )
    def test_an_instant_shock_under_the_bridge(self, tmp_path: Path, day: int, step: str) -> None:
        """At the end of the run it shows that a jump is no part of the bridge before it."""
        paths = 40_000
        stressed = scenario(
            tmp_path,
            fall(f"{day}d", -0.12),
            accounts="account,cash\nlong,300\n",
            monitoring="bridge",
            horizon="40d",
            step=step,
            paths=paths,
        )
        tree = stress.run(stressed)
        found = float(tree["accounts"]["liquidation_probability"].values[0])
        expected = self.truth(day * DAY, (40 - day) * DAY)
        assert 0.1 < expected < 0.9
        error = np.sqrt(expected * (1 - expected) / paths)
        assert abs(found - expected) < BOUND * error

    def test_the_truth_without_a_shock(self) -> None:
        """The quadrature is the closed form where nothing jumps."""
        whole = quad(
            lambda x: self.alive(x, 20 * DAY) * self.survives(x, 20 * DAY), self.BARRIER, 2.0
        )[0]
        assert whole == pytest.approx(self.survives(0.0, 40 * DAY), rel=1e-8)

    def test_a_shock_hits_at_its_moment(self, tmp_path: Path) -> None:
        """10 units from 100, cash 150: 89.47 is the barrier; 88 is reached on day 3, not before."""
        for overlay, day in ((fall("3d", -0.12), 3), (fall("3d", -0.24, over="2d"), 4)):
            stressed = scenario(tmp_path, overlay, detail=True, paths=2)
            tree = stress.run(stressed, market=Still(jnp.zeros(3)))
            assert tree["detail"]["liquidation_step"].values[:, 0].tolist() == [day, day]


class TestVenue:
    def mark(self, folder: Path, *overlays: dict[str, Any]) -> float:
        """Return BTC's mark after a forced sale of 880 USD on day 3."""
        venue = {"impact": {**LINEAR["impact"], "permanent": 1.0}}
        stressed = scenario(folder, fall("3d", -0.12), *overlays, venue=venue, detail=True, paths=2)
        tree = stress.run(stressed, market=Still(jnp.zeros(3)))
        assert tree["detail"]["liquidation_step"].values[0, 0] == 3
        return float(tree["detail"]["mark_end"].values[0, 0])

    @pytest.mark.parametrize(
        ("overlay", "depth"),
        [
            pytest.param(None, 1.0, marks=pytest.mark.slow),
            ({"at": "3d", "window": "1d", "multiplier": 0.1}, 0.1),
            ({"at": "2d", "window": "1d", "multiplier": {"BTC": 0.1}}, 0.1),
            ({"at": "1d", "window": "1d", "multiplier": 0.1}, 1.0),
            ({"at": "4d", "multiplier": 0.1}, 1.0),
            ({"at": 0, "multiplier": {"ETH": 0.1}}, 1.0),
        ],
    )
    def test_depth(self, tmp_path: Path, overlay: dict[str, Any] | None, depth: float) -> None:
        """It is that of the looks in the window, both ends included."""
        overlays = [] if overlay is None else [{"kind": "liquidity", **overlay}]
        expected = 88 * np.exp(-0.01 * 880 / (1e5 * depth))
        assert self.mark(tmp_path, *overlays) == pytest.approx(expected, rel=1e-12)

    def test_the_window_that_begins_takes_over(self, tmp_path: Path) -> None:
        thin = {"kind": "liquidity", "at": "1d", "window": "2d", "multiplier": 0.1}
        thinner = {"kind": "liquidity", "at": "3d", "window": "2d", "multiplier": 0.05}
        stressed = scenario(tmp_path, thinner, thin, venue=LINEAR)
        environment = build_environment(stressed, build_setting(stressed), "float64")
        assert environment is not None
        expected = [1, 0.1, 0.1, 0.05, 0.05, 0.05, 1, 1, 1]
        np.testing.assert_array_equal(environment.depth[:, 1], expected)
        assert not np.asarray(environment.halted).any()

    def test_nobody_is_liquidated_in_a_halt(self, tmp_path: Path) -> None:
        """At 88 on day 3 the pool is in breach; the first look after a halt of two days acts."""
        halt = {"kind": "gap", "at": "3d", "over": "2d"}
        found = {}
        for name, overlays in {
            "open": [fall("3d", -0.12)],
            "halted": [fall("3d", -0.12), halt],
            "within": [{**halt, "return": {"BTC": -0.12}}],
            "back": [fall("3d", -0.12), {**halt, "return": {"BTC": 0.1}}],
        }.items():
            stressed = scenario(tmp_path, *overlays, detail=True, paths=2)
            tree = stress.run(stressed, market=Still(jnp.zeros(3)))
            found[name] = int(tree["detail"]["liquidation_step"].values[0, 0])
        assert found == {"open": 3, "halted": 5, "within": 5, "back": -1}


def test_the_report_says_what_was_laid_over(tmp_path: Path) -> None:
    stressed = scenario(tmp_path, SHOCK, WILD, ALIKE, paths=2)
    tree = stress.run(stressed)
    words = tree.attrs["stress"].splitlines()
    assert words[0].startswith("Shock, from 2d over 3d: prices move: BTC -15 %, ETH -16.64 %")
    assert words[1] == "Volatility, from 3d over 3d: volatility is multiplied by BTC 3, ETH 2."
    assert words[2] == (
        "Correlation, from 4d over 4d: correlations go 50 % of the way to 0.9 for all pairs."
    )
    page = render(tree)
    assert '<section id="stress">' in page or 'id="stress"' in page
    assert "Volatility, from 3d over 3d" in page
    assert "shock at 2d, volatility at 3d, correlation at 4d" in tree.attrs["assumptions"]
