"""The error of a calibration in the main numbers, against runs that state each draw themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np
import pytest
import tomli_w
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import norm

import stress
from stress.cli import main
from stress.data.prices import read_prices
from stress.errors import InputError
from stress.runner import calibration_draws, cascade, passage
from stress.runner.calibration_draws import drawn_markets, resampled_history
from stress.runner.prepare import build_market, prepare

Floats = NDArray[np.float64]

PRICE, CASH, QUANTITY, RATE = 100.0, 1_200.0, 60.0, 0.01
"""One long: 6,000 USD on 1,200 of cash, 1 percent maintenance."""
VOLATILITY, ERROR, DAYS = 0.8, 0.06, 7
DRAWS, PATHS, SEED = 5, 4_096, 11


def write(folder: Path, *, calibration: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Write a scenario of one position, with its book and calibration; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "accounts.csv").write_text(f"account,cash\nlong,{CASH}\nrich,1e9\n")
    (folder / "positions.csv").write_text(
        f"account,asset,quantity,entry_price\nlong,BTC,{QUANTITY},{PRICE}\n"
        f"rich,BTC,{QUANTITY},{PRICE}\n"
    )
    estimates = {
        "assets": ["BTC"],
        "price": {"BTC": PRICE},
        "volatility": {"BTC": VOLATILITY},
        "volatility_standard_error": {"BTC": ERROR},
        "correlation": [[1.0]],
    }
    (folder / "btc.toml").write_text(tomli_w.dumps({**estimates, **(calibration or {})}))
    raw: dict[str, Any] = {
        "name": "one-position",
        "simulation": {
            "paths": PATHS,
            "horizon": f"{DAYS}d",
            "step": "1d",
            "seed": SEED,
            "monitoring": "bridge",
        },
        "market": {"assets": ["BTC"], "calibration": "btc.toml"},
        "book": {"accounts": "accounts.csv", "positions": "positions.csv"},
        "venue": {"amount": "all", "fee": 0.0, "tiers": {"BTC": [{"floor": 0, "rate": RATE}]}},
    }
    for key, value in changes.items():
        group, _, name = key.partition("__")
        raw[group] = {**raw[group], name.replace("_", "-") if group == "market" else name: value}
    file = folder / "scenario.toml"
    file.write_text(tomli_w.dumps(raw))
    return file


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    file = write(tmp_path_factory.mktemp("drawn"))
    return stress.run(file, calibration_draws=DRAWS)


def probability(volatility: Floats) -> Floats:
    """Return the probability of touching the liquidation price by the horizon, in closed form.

    Equity W + q (S - P) meets maintenance r q S at S = (q P - W) / (q (1 - r)); the log price is a
    Brownian motion with drift -volatility^2 / 2 (reflection principle).
    """
    barrier = (QUANTITY * PRICE - CASH) / (QUANTITY * (1 - RATE))
    b, years = np.log(barrier / PRICE), DAYS / 365
    spread = volatility * np.sqrt(years)
    nu = -(volatility**2) / 2
    return norm.cdf((b - nu * years) / spread) + np.exp(2 * nu * b / volatility**2) * norm.cdf(
        (b + nu * years) / spread
    )


def interval(tree: xr.DataTree, group: str, name: str, kind: str = "calibration") -> Floats:
    return tree[group][f"{name}_{kind}_interval"].to_numpy()


def drawn_volatilities(file: Path, draws: int) -> Floats:
    """Return (draws,) the volatilities that the draws of a scenario come to."""
    with mock.patch.object(calibration_draws, "build_market", wraps=build_market) as built:
        drawn_markets(prepare(stress.load_scenario(file)), draws)
    return np.array([call.args[0].market.volatility["BTC"] for call in built.call_args_list])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("one"))


class TestVolatility:
    """One long position, whose liquidation probability is known for every volatility."""

    def test_an_interval_is_that_of_runs_with_each_draw(
        self, tree: xr.DataTree, file: Path, tmp_path: Path
    ) -> None:
        """Digit by digit: the same normals, and nothing but the volatility is another."""
        estimates, losses = [], []
        for number, volatility in enumerate(drawn_volatilities(file, DRAWS)):
            stated = write(tmp_path / str(number), market__volatility={"BTC": float(volatility)})
            alone = stress.run(stated)
            estimates.append(alone["accounts"]["liquidation_probability"].to_numpy())
            losses.append(alone["book"]["expected_total_loss"].item())
        expected = np.quantile(estimates, [0.025, 0.975], axis=0, method="weibull").T
        found = interval(tree, "accounts", "liquidation_probability")
        np.testing.assert_array_equal(found, expected)
        # five draws reach from the least to the largest
        assert found[0, 0] == np.min(estimates, axis=0)[0]
        expected = np.quantile(losses, [0.025, 0.975], method="weibull")
        np.testing.assert_array_equal(interval(tree, "book", "expected_total_loss"), expected)

    def test_an_interval_is_that_of_the_closed_form(self, tree: xr.DataTree, file: Path) -> None:
        """The probability rises with the volatility: its interval is that of the draws, mapped."""
        exact = probability(drawn_volatilities(file, DRAWS))
        found = interval(tree, "accounts", "liquidation_probability")[0]
        error = np.sqrt(exact.max() / PATHS)
        np.testing.assert_allclose(found, [exact.min(), exact.max()], atol=4 * error)
        value = tree["accounts"]["liquidation_probability"].to_numpy()[0]
        assert abs(value - probability(np.array(VOLATILITY))) < 4 * error

    def test_draws_have_the_stated_error(self, file: Path) -> None:
        """Log-normal around the estimate: the mean and deviation of many logs."""
        logs = np.log(drawn_volatilities(file, 400) / VOLATILITY)
        width = ERROR / VOLATILITY
        assert abs(logs.mean()) < 4 * width / 20
        assert logs.std() == pytest.approx(width, rel=4 / np.sqrt(800))

    def test_a_draw_depends_on_seed_and_number_alone(self, file: Path, tmp_path: Path) -> None:
        few, many = drawn_volatilities(file, 3), drawn_volatilities(file, 6)
        np.testing.assert_array_equal(few, many[:3])
        assert len(set(many)) == 6
        other = write(tmp_path, simulation__seed=SEED + 1)
        assert not np.isin(drawn_volatilities(other, 6), many).any()

    def test_what_the_scenario_states_is_not_drawn(self, tmp_path: Path) -> None:
        stated = write(tmp_path, market__volatility={"BTC": 0.5})
        np.testing.assert_array_equal(drawn_volatilities(stated, 3), 0.5)


def drawn_tables(file: Path, draws: int) -> list[Any]:
    """Return the tables of the model's own parameters that the draws of a scenario come to."""
    with mock.patch.object(calibration_draws, "build_market", wraps=build_market) as built:
        drawn_markets(prepare(stress.load_scenario(file)), draws)
    return [call.args[0].market.table for call in built.call_args_list]


JUMPS = {"rate": 20.0, "mean": -0.03, "deviation": 0.06}
ESTIMATED = {
    "models": {
        "student-t": {"interval": "1d", "degrees_of_freedom": 4.0},
        "jump-diffusion": {"common": JUMPS, "own": {"BTC": JUMPS}, "exposure": {"BTC": 1.0}},
    },
    "standard_errors": {
        "student-t": {"degrees_of_freedom": 0.5},
        "jump-diffusion": {
            "common": {"rate": 10.0, "mean": 0.01, "deviation": 0.01},
            "own": {"BTC": {"rate": 10.0, "deviation": 0.01}},
        },
    },
}


class TestTables:
    """A model's own parameters; nothing is compiled."""

    def test_an_own_parameter_is_drawn(self, tmp_path: Path) -> None:
        file = write(tmp_path, calibration=ESTIMATED, market__model="student-t")
        freedom = np.array([table.degrees_of_freedom for table in drawn_tables(file, 200)])
        # log-normal above 2 around the estimate
        logs = np.log((freedom - 2) / 2)
        assert abs(logs.mean()) < 4 * 0.25 / np.sqrt(200)
        assert logs.std() == pytest.approx(0.25, rel=4 / np.sqrt(400))

    def test_unless_the_scenario_states_it(self, tmp_path: Path) -> None:
        stated = {"market__student_t": {"degrees_of_freedom": 7.0}}
        file = write(tmp_path, calibration=ESTIMATED, market__model="student-t", **stated)
        assert {table.degrees_of_freedom for table in drawn_tables(file, 5)} == {7.0}

    def test_jumps_fit_into_the_kernels_of_the_run(self, tmp_path: Path) -> None:
        """Rates differ from draw to draw, the bars that jumps are drawn for do not."""
        file = write(tmp_path, calibration=ESTIMATED, market__model="jump-diffusion")
        job = prepare(stress.load_scenario(file))
        drawn = drawn_markets(job, 6)
        first = np.arange(1, dtype=np.uint32)
        models = [market.block(first) for market in (job.market, *drawn)]
        shapes = [
            (jax.tree.structure(model), [leaf.shape for leaf in jax.tree.leaves(model)])
            for model in models
        ]
        assert all(shape == shapes[0] for shape in shapes)
        rates = [table.common.rate + table.own["BTC"].rate for table in drawn_tables(file, 6)]
        assert len(set(rates)) == 6
        for rate, model in zip(rates, models[1:], strict=True):
            mean = rate / 365 * model.bar_steps
            expected = -np.expm1(-mean)
            np.testing.assert_allclose(model.exceeding[0], expected, rtol=1e-5)


class TestResult:
    def test_the_run_itself_is_the_same(self, tree: xr.DataTree, file: Path) -> None:
        """Draws add intervals and change no number; twice gives the same digits."""
        alone, again = stress.run(file), stress.run(file, calibration_draws=DRAWS)
        for group in ("accounts", "book"):
            for name, array in again[group].data_vars.items():
                np.testing.assert_array_equal(array, tree[group][name])
                if name in alone[group]:
                    np.testing.assert_array_equal(array, alone[group][name])
                else:
                    assert name.endswith(("_calibration_interval", "_combined_interval"))
        assert alone.attrs["calibration_draws"] == 0
        assert "calibration_draws" not in alone.attrs["notices"]

    def test_both_errors_together(self, tree: xr.DataTree) -> None:
        """Half-widths are the sides of a right angle; bounds of probabilities are ones."""
        name = "liquidation_probability"
        value = tree["accounts"][name].to_numpy()[:, None]
        sampling = tree["accounts"][f"{name}_interval"].to_numpy() - value
        calibration = interval(tree, "accounts", name) - value
        expected = value + [-1, 1] * np.hypot(sampling, calibration)
        found = interval(tree, "accounts", name, "combined")
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
        assert found[1, 0] == 0.0

    def test_few_draws_are_said_to_be_few(self, tree: xr.DataTree) -> None:
        assert tree.attrs["calibration_draws"] == DRAWS
        assert "5 calibration draws give intervals that hold at most 67%" in tree.attrs["notices"]
        assert "39 are needed for 0.95" in tree.attrs["notices"]

    def test_summary_and_report(self, file: Path, tmp_path: Path, capsys: Any) -> None:
        out = tmp_path / "run"
        words = ["run", str(file), "--out", str(out), "--calibration-draws", "2", "--quiet"]
        assert main(words) == 0
        assert "; calibration: " in capsys.readouterr().out
        summary = json.loads((out / "summary.json").read_text())
        for name in ("liquidation_probability", "expected_total_loss"):
            three = summary[name]
            assert three["calibration_lower"] < three["calibration_upper"]
        assert "calibration_lower" not in summary["expected_uncovered_loss"]
        page = (out / "report.html").read_text()
        assert 'id="calibration-uncertainty"' in page


class TestKernels:
    """A draw is another argument of the kernels that are there."""

    def test_first_passage_is_compiled_once(self, file: Path) -> None:
        with mock.patch.object(passage, "compiled", wraps=passage.compiled) as compiled:
            stress.run(file, paths=64, calibration_draws=4)
        assert compiled.call_count == 1

    @pytest.mark.slow
    def test_the_cascade_too(self, tmp_path: Path) -> None:
        """And gives what a run with the drawn volatility gives."""
        venue = {
            "venue__amount": "restore",
            "simulation__monitoring": "step",
            "simulation__paths": 100,
        }
        base = write(tmp_path / "base", **venue)
        with mock.patch.object(cascade, "compiled", wraps=cascade.compiled) as compiled:
            tree = stress.run(base, calibration_draws=2)
        assert compiled.call_count == 1
        expected = []
        for number, volatility in enumerate(drawn_volatilities(base, 2)):
            stated = write(
                tmp_path / str(number), market__volatility={"BTC": float(volatility)}, **venue
            )
            expected.append(stress.run(stated)["book"]["expected_total_loss"].item())
        found = interval(tree, "book", "expected_total_loss")
        np.testing.assert_array_equal(found, np.sort(expected))


def history_file(folder: Path, bars: int = 300) -> Path:
    """Write a history of one asset with highs and lows; return its path."""
    rng = np.random.default_rng(5)
    close = PRICE * np.exp(np.cumsum(0.04 * rng.standard_normal(bars)))
    high, low = close * 1.5, close / 1.25
    days = np.datetime64("2022-01-01") + np.arange(bars)
    rows = [
        f"{day},BTC,{one!r},{upper!r},{lower!r}"
        for day, one, upper, lower in zip(
            days, close.tolist(), high.tolist(), low.tolist(), strict=True
        )
    ]
    file = folder / "history.csv"
    file.write_text("\n".join(["timestamp,asset,close,high,low", *rows]) + "\n")
    return file


class TestHistory:
    def test_rows_are_those_of_the_history(self, tmp_path: Path) -> None:
        """In blocks of 18 bars that stand in the history as they do in the draw."""
        history = read_prices(history_file(tmp_path))
        drawn = resampled_history(history, np.random.default_rng(1))
        own, other = (np.diff(np.log(one.close[:, 0])) for one in (history, drawn))
        assert len(other) == len(own)
        place = np.abs(other[:, None] - own).argmin(axis=1)
        np.testing.assert_allclose(other, own[place], atol=1e-12)
        follows = np.diff(place) % len(own) == 1
        assert 0.9 < follows.mean() < 1.0
        assert drawn.high is not None
        np.testing.assert_allclose(drawn.high[1:] / drawn.close[1:], 1.5)
        assert (np.diff(drawn.timestamps) == np.timedelta64(1, "D")).all()

    @pytest.mark.slow
    @pytest.mark.parametrize("model", ["bootstrap", "filtered-historical"])
    def test_a_model_of_rows_reuses_the_kernel(self, model: str, tmp_path: Path) -> None:
        history_file(tmp_path)
        table = {"market__bootstrap": {"block": 3.0}} if model == "bootstrap" else {}
        file = write(
            tmp_path,
            market__model=model,
            market__history="history.csv",
            simulation__monitoring="step",
            **table,
        )
        with mock.patch.object(passage, "compiled", wraps=passage.compiled) as compiled:
            tree = stress.run(file, paths=256, calibration_draws=3)
        assert compiled.call_count == 1
        low, high = interval(tree, "accounts", "liquidation_probability")[0]
        assert 0 < low < high < 1


class TestRefusals:
    @pytest.mark.parametrize(
        ("draws", "changes", "words"),
        [
            (1, {}, "an interval needs 2 draws or more, got 1"),
            (-3, {}, "an interval needs 2 draws or more, got -3"),
            (
                2,
                {"market__model": "student-t"},
                "holds no standard errors of student-t, which draws need",
            ),
            (
                2,
                {"calibration": {"volatility_standard_error": {}}},
                "holds no standard errors of volatilities, which draws need",
            ),
        ],
    )
    def test_what_cannot_be_drawn(
        self, draws: int, changes: dict[str, Any], words: str, tmp_path: Path
    ) -> None:
        file = write(tmp_path, **changes)
        with pytest.raises(InputError, match=words) as refused:
            stress.run(file, calibration_draws=draws)
        assert "--calibration-draws" in str(refused.value)

    def test_without_a_calibration(self, tmp_path: Path) -> None:
        scenario = stress.load_scenario(write(tmp_path))
        market = scenario.market.model_copy(update={"calibration": None})
        with pytest.raises(InputError, match="the scenario names none"):
            stress.run(scenario.model_copy(update={"market": market}), calibration_draws=2)

    def test_of_prices_from_outside(self, file: Path) -> None:
        scenario = stress.load_scenario(file)
        model = prepare(scenario).model
        with pytest.raises(InputError, match="no parameters to draw"):
            stress.run(scenario, market=model, calibration_draws=2)
        windows = scenario.market.model_copy(update={"model": "historical"})
        job, historical = prepare(scenario), scenario.model_copy(update={"market": windows})
        with pytest.raises(InputError, match="windows of the history are the sample itself"):
            drawn_markets(replace(job, scenario=historical), 2)
