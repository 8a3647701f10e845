"""The calibration file of all models: what is in it, and that every model's scenario takes it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stress.calibrate.command import calibrate_command
from stress.calibrate.fit import MODELS
from stress.calibrate.scores import SCORED
from stress.cli import main
from stress.scenario.load import load_scenario
from tests.calibrate.histories import clustered

BARS = 300


def write(folder: Path, *, wick: bool = True) -> Path:
    """Bars of three assets, with one close that comes back and one high that nothing confirms."""
    returns = clustered(np.random.default_rng(21), BARS)
    close = 100 * np.exp(np.cumsum(np.vstack([np.zeros((1, 3)), returns]), axis=0))
    high, volume = 1.01 * close, np.array([5.0, 7.0, 9.0])
    if wick:
        high[50, 1] = 5 * close[50, 1]
        close[100, 0], high[100, 0] = 3 * close[100, 0], 4 * close[100, 0]
    days = np.datetime64("2022-01-01") + np.arange(BARS + 1)
    lines = ["timestamp,asset,high,close,volume"]
    lines += [
        f"{day},{asset},{high[row, column]!r},{close[row, column]!r},{volume[column]}"
        for row, day in enumerate(days)
        for column, asset in enumerate(("BTC", "ETH", "SOL"))
    ]
    path = folder / "prices.csv"
    path.write_text("\n".join(lines).replace("np.float64(", "").replace(")", "") + "\n")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("calibrated")
    assert calibrate_command(write(place), place / "market.toml") == 0
    (place / "accounts.csv").write_text("account,cash\na,100\n")
    (place / "positions.csv").write_text("account,asset,quantity,entry_price\na,ETH,1,100\n")
    return place


def found(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "market.toml").read_text(encoding="utf-8"))


def scenario(folder: Path, model: str, **venue: Any) -> Any:
    market: dict[str, Any] = {
        "assets": ["SOL", "ETH"],
        "model": model,
        "calibration": "market.toml",
    }
    if model in ("bootstrap", "filtered-historical"):
        market["history"] = "prices.csv"
    return load_scenario(
        {
            "name": "calibrated",
            "market": market,
            "book": {"accounts": "accounts.csv", "positions": "positions.csv"},
            "venue": {"tiers": {"default": [{"floor": 0, "rate": 0.01}]}, **venue},
        },
        base=folder,
    )


def test_what_was_cleaned_is_said_with_its_time(folder: Path) -> None:
    source = found(folder)["calibration"]
    assert source["wicks_removed"] == {"BTC": 1, "ETH": 0, "SOL": 0}
    assert source["wicks_clipped"] == {"BTC": 0, "ETH": 1, "SOL": 0}
    told = [(one["asset"], one["timestamp"], one["column"]) for one in source["wicks"]]
    assert told == [
        ("ETH", "2022-02-20T00:00:00Z", "high"),
        ("BTC", "2022-04-11T00:00:00Z", "close"),
    ]
    assert source["gaps"]["BTC"] == 1
    assert 100 < source["effective_observations"] <= source["common_observations"] == BARS - 2


def test_every_model_has_its_numbers_errors_and_fit(folder: Path) -> None:
    file = found(folder)
    assert set(file["fits"]) == set(MODELS)
    assert set(file["models"]) == set(MODELS) - {"gbm"}
    assert set(file["standard_errors"]) == set(SCORED) - {"gbm"} | {"filtered-historical"}
    for model in SCORED:
        assert {"log_likelihood", "parameters", "aic", "bic"} <= file["fits"][model].keys()
    assert any("rate and size" in note for note in file["fits"]["jump-diffusion"]["notes"])
    assert file["adv"]["ETH"] > 0


def test_matrices_are_written_by_rows(folder: Path) -> None:
    text = (folder / "market.toml").read_text(encoding="utf-8")
    number = r"-?[\d.e-]+"
    row = rf"\n +\[{number}, {number}, {number}\],"
    # the shared correlation and those of two regimes, and the regimes' errors
    assert len(re.findall(rf"correlation = \[({row}){{3}}\n\]", text)) == 5
    assert re.search(rf"transition = \[(\n +\[{number}, {number}\],){{2}}\n\]", text)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_loads_from_the_file(folder: Path, model: str) -> None:
    file, market = found(folder), scenario(folder, model).market
    assert market.volatility == {asset: file["volatility"][asset] for asset in ("SOL", "ETH")}
    if model == "gbm":
        return
    estimates, table = file["models"][model], market.table.model_dump()
    for key in ("interval", "degrees_of_freedom", "block"):
        if key in estimates:
            assert table[key] == estimates[key]
    for key in ("alpha", "beta", "skewness", "exposure"):
        if key in estimates:
            assert table[key]["ETH"] == estimates[key]["ETH"]
    if model == "regime":
        state, estimate = table["states"][1], estimates["states"][1]
        assert state["volatility"]["SOL"] == estimate["volatility"]["SOL"]
        assert state["correlation"][0][1] == estimate["correlation"][2][1]
    if model == "jump-diffusion":
        assert table["own"]["SOL"]["rate"] == estimates["own"]["SOL"]["rate"]


def test_the_volume_is_the_calibrations_where_the_law_needs_it(folder: Path) -> None:
    adv = found(folder)["adv"]
    needed = {"impact": {"kind": "square-root"}}
    assert scenario(folder, "gbm", **needed).venue.impact.adv == {
        asset: adv[asset] for asset in ("SOL", "ETH")
    }
    stated = {"impact": {"kind": "square-root", "adv": {"ETH": 1e9}}}
    assert scenario(folder, "gbm", **stated).venue.impact.adv == {"SOL": adv["SOL"], "ETH": 1e9}
    assert scenario(folder, "gbm").venue.impact.adv == {}


def test_the_command_chooses_models_and_keeps_wicks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices, output = write(tmp_path), tmp_path / "o.toml"
    options = ["--models", "student-t,bootstrap", "--keep-wicks", "--no-page"]
    assert main(["calibrate", str(prices), "-o", str(output), *options]) == 0
    file = tomllib.loads(output.read_text(encoding="utf-8"))
    assert list(file["fits"]) == ["student-t", "bootstrap"]
    assert file["calibration"]["wicks"] == []
    assert file["volatility"]["BTC"] > 1.5
    printed = capsys.readouterr().out
    assert re.search(r"\nmodel +log likelihood +parameters +AIC +BIC\n", printed)
    assert re.search(r"\nstudent-t +[\d,.]+ +10 +-[\d,.]+ +-[\d,.]+\n", printed)
    assert re.search(r"\nbootstrap +none\n", printed)
    options = ["--models", "gbm", "--no-page"]
    assert main(["calibrate", str(prices), "-o", str(output), *options]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"\nwick: BTC close [\d.]+ at 2022-04-11T00:00:00Z, left out\n", printed)
