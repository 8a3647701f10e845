"""Runs on a price history: what it says of itself, which rows matter, how many paths there are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from stress.errors import InputError
from stress.market.bootstrap import BlockBootstrap
from stress.report.page import render
from stress.result.schema import GROUPS
from stress.runner.prepare import prepare
from stress.runner.simulate import run
from stress.scenario.load import load_scenario, with_options
from stress.stats.confidence import design_effect
from tests.test_lowering import KERNELS, lowers

ROWS = 61
CRASHES = (20, 45)
"""Bars in which the price halves; else it stands nearly still."""


def written(folder: Path, model: str, table: dict[str, Any] | None = None, **changes: Any) -> Any:
    """Write history and book, and return a scenario: a long that each crash liquidates."""
    returns = 0.001 * (-1.0) ** np.arange(ROWS)
    returns[list(CRASHES)] = np.log(0.5)
    returns[30] = -returns.sum() + returns[30]  # so that nothing drifts
    closes = 100 * np.exp(np.append(0.0, returns.cumsum()))
    days = np.datetime64("2025-01-01") + np.arange(ROWS + 1)
    lines = [f"{day},BTC,{close:.9g}" for day, close in zip(days, closes, strict=True)]
    (folder / "h.csv").write_text("\n".join(["timestamp,asset,close", *lines, ""]), "utf-8")
    (folder / "a.csv").write_text("account,cash\nlong,300\nidle,100\n", encoding="utf-8")
    (folder / "p.csv").write_text(
        "account,asset,quantity,entry_price\nlong,BTC,10,100\n", encoding="utf-8"
    )
    market = {"model": model, "assets": ["BTC"], "price": {"BTC": 100.0}, "history": "h.csv"}
    market |= {"volatility": {"BTC": 0.01}, model: {"remove_wicks": False, **(table or {})}}
    venue = {"tiers": {"default": [{"floor": 0, "rate": 0.01}]}, "amount": "all"}
    simulation = {"paths": 3_000, "horizon": "3d", "step": "1d", "precision": "float64"}
    for key, value in changes.items():
        (venue if key in ("amount",) else simulation)[key] = value
    raw = {
        "name": "resampled",
        "simulation": simulation,
        "market": market,
        "book": {"accounts": "a.csv", "positions": "p.csv"},
        "venue": venue,
    }
    return load_scenario(raw, base=folder)


def day(row: int) -> str:
    """Return the timestamp of a bar."""
    return str(np.datetime64("2025-01-01") + row + 1)


def rows_of(tree: xr.DataTree) -> xr.Dataset:
    return tree["influence"].to_dataset()


class TestInfluence:
    @pytest.mark.parametrize("amount", ["all", pytest.param("restore", marks=pytest.mark.slow)])
    @pytest.mark.slow
    def test_two_crashes_carry_half_of_the_answer_each(self, tmp_path: Path, amount: str) -> None:
        """Under first passage and in the cascade; independent rows have a closed form."""
        tree = run(written(tmp_path, "bootstrap", {"block": 1.0}, amount=amount))
        whole = 1 - (1 - 2 / ROWS) ** 3
        accounts = tree["accounts"].to_dataset().sel(account="long")
        low, high = accounts["liquidation_probability_interval"].values
        assert low < whole < high
        assert float(accounts["liquidation_probability"]) == pytest.approx(whole, abs=0.02)
        data = rows_of(tree)
        influence = whole - (1 - (1 - 1 / (ROWS - 1)) ** 3)
        for crash in CRASHES:
            here = data.sel(row=day(crash))
            low, high = here["any_liquidation_probability_interval"].values
            assert low < influence < high
            # the mean over accounts counts the idle one, whom nothing liquidates
            half = float(here["liquidation_probability"])
            assert half == pytest.approx(float(here["any_liquidation_probability"]) / 2)
            share = float(here["any_liquidation_probability_share"])
            assert share == pytest.approx(influence / whole, abs=0.12)
            never = float(here["effective_sample_size"]) / 3_000
            assert never == pytest.approx((1 - 1 / ROWS) ** 3, abs=0.02)
        best = data["account_row"].sel(account="long").values[:2]
        assert set(best) == {day(crash) for crash in CRASHES}
        assert (data["account_row"].sel(account="idle") == "").all()
        page = render(tree)
        assert "Rows of the history that matter" in page
        assert "Much hangs on" in page

    @pytest.mark.slow
    def test_filtered_rows_have_one_too(self, tmp_path: Path) -> None:
        tree = run(written(tmp_path, "filtered-historical", paths=256))
        data = rows_of(tree)
        specified = GROUPS["influence"]
        assert {name for name in data if not str(name).endswith("_interval")} == set(specified)
        for name, variable in specified.items():
            assert data[name].dims == variable.dims
            assert (f"{name}_interval" in data) == variable.estimate
        assert data.sizes == {"row": ROWS, "bound": 2, "account": 2, "place": 5}
        assert (data["paths_using"] + data["effective_sample_size"] == 256).all()

    def test_windows_have_none(self, tmp_path: Path) -> None:
        assert "influence" not in run(written(tmp_path, "historical")).children


class TestWindows:
    def test_there_are_as_many_paths_as_windows(self, tmp_path: Path) -> None:
        """In the resolved scenario and in the result, whoever asks for more."""
        scenario = written(tmp_path, "historical")
        assert scenario.simulation.paths == ROWS - 2
        assert with_options(scenario, paths=1_000).simulation.paths == ROWS - 2
        assert with_options(scenario, paths=7).simulation.paths == 7
        tree = run(scenario)
        assert tree.attrs["paths"] == ROWS - 2
        assert f"the {ROWS - 2} windows of 3 bars that the history has" in tree.attrs["notices"]
        # three windows hold each crash
        probability = tree["accounts"].to_dataset().sel(account="long")["liquidation_probability"]
        assert float(probability) == pytest.approx(6 / (ROWS - 2))

    def test_intervals_count_the_overlap(self, tmp_path: Path) -> None:
        job = prepare(written(tmp_path, "historical"))
        assert design_effect(job.request.confidence) == 3.0
        job = prepare(written(tmp_path, "historical", {"stride": "3d"}))
        assert design_effect(job.request.confidence) == 1.0
        job = prepare(written(tmp_path, "bootstrap", {"block": 2.0}, paths=64))
        assert design_effect(job.request.confidence) == 1.0

    def test_strides_that_fit_no_bar_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"market\.historical\.stride"):
            written(tmp_path, "historical", {"stride": "36h"})


class TestSays:
    def test_the_length_of_blocks(self, tmp_path: Path) -> None:
        job = prepare(written(tmp_path, "bootstrap", paths=64))
        assert any("rule of Politis and White" in notice for notice in job.notices)
        job = prepare(written(tmp_path, "bootstrap", {"block": 4.0}, paths=64))
        assert any("blocks of 4 bars" in notice for notice in job.notices)

    def test_that_prices_vary_as_in_the_history(self, tmp_path: Path) -> None:
        notices = prepare(written(tmp_path, "bootstrap", {"block": 4.0}, paths=64)).notices
        assert any("drift and impact only" in notice for notice in notices)

    def test_a_missing_library(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "arch.bootstrap", None)
        with pytest.raises(InputError, match=r"margin-stress\[calibrate\]"):
            prepare(written(tmp_path, "bootstrap", paths=64))


@pytest.mark.parametrize("model", ["bootstrap", "filtered-historical", "historical"])
@pytest.mark.parametrize("step", ["1d", "6h"])
def test_lowers_for_cuda(tmp_path: Path, model: str, step: str) -> None:
    table = {"block": 3.0} if model == "bootstrap" else {}
    changes: dict[str, Any] = {"step": step, "precision": "float32"}
    lowers(KERNELS["price_paths"], prepare(written(tmp_path, model, table, **changes)), "float32")


class TestBridges:
    def test_need_steps_inside_a_bar(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="bridge"):
            run(written(tmp_path, "bootstrap", {"block": 1.0}, paths=64, monitoring="bridge"))

    def test_inside_a_bar_are_those_of_a_pinned_brownian_motion(self, tmp_path: Path) -> None:
        """P(below b on the way to R) = exp(-2 b (b - R) / deviation^2), for any number of steps."""
        target, deviation = -0.1, 0.3
        model = BlockBootstrap.build(
            returns=np.array([[target]]),
            deviation=np.array([[deviation]]),
            correlation=np.eye(1),
            bar_steps=4,
            block=1.0,
            precision="float64",
        )
        changes: dict[str, Any] = {"step": "6h", "horizon": "1d", "monitoring": "bridge"}
        scenario = written(tmp_path, "bootstrap", {"block": 1.0}, **changes)
        # 10 units bought at 100 with 300, maintenance 1 percent
        barrier = np.log((100 - 30) / 0.99 / 100)
        exact = np.exp(-2 * barrier * (barrier - target) / deviation**2)
        found, errors = [], []
        for seed in range(8):
            tree = run(with_options(scenario, seed=seed), market=model)
            accounts = tree["accounts"].to_dataset().sel(account="long")
            low, high = accounts["liquidation_probability_interval"].values
            found.append(float(accounts["liquidation_probability"]))
            errors.append((high - low) / 2 / 1.96)
        error = np.sqrt(np.square(errors).mean() / len(errors))
        # one interval of twenty misses; eight runs together are not five errors off
        assert abs(np.mean(found) - exact) < 4.5 * error
        assert error < 0.003
