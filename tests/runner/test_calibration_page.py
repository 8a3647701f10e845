"""The page that holds models against their history, on a history whose law is known."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import plotly.offline
import pytest
from numpy.typing import NDArray
from scipy.stats import multivariate_normal, norm

from stress.calibrate.fit import Fitted, fit
from stress.cli import main
from stress.data.prices import PriceHistory, read_prices
from stress.report.calibration.findings import CalibrationFindings
from stress.report.calibration.page import render_calibration
from stress.runner.calibration_page import (
    calibration_findings,
    out_of_sample,
    simulated_returns,
)
from stress.stats.facts import LEVELS

Floats = NDArray[np.float64]

BARS, REPLICAS = 600, 60
MODELS = ("gbm", "student-t", "bootstrap")
ASSETS = ("BTC", "ETH")
DAILY = np.array([0.03, 0.05])


def history(folder: Path, returns: Floats) -> Path:
    """Write prices with these daily log returns, (bars, assets); return the path."""
    closes = 100 * np.exp(np.vstack([np.zeros(len(ASSETS)), returns.cumsum(axis=0)]))
    days = np.datetime64("2021-01-01") + np.arange(len(closes))
    lines = ["timestamp,asset,close"]
    for day, row in zip(days, closes.tolist(), strict=True):
        lines += [f"{day},{asset},{close!r}" for asset, close in zip(ASSETS, row, strict=True)]
    file = folder / "prices.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def normal_returns(bars: int = BARS) -> Floats:
    draws = np.random.default_rng(3).multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], bars)
    return draws * DAILY


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> PriceHistory:
    return read_prices(history(tmp_path_factory.mktemp("prices"), normal_returns()))


@pytest.fixture(scope="module")
def fitted(prices: PriceHistory) -> Fitted:
    return fit(prices, MODELS)


@pytest.fixture(scope="module")
def found(fitted: Fitted, prices: PriceHistory) -> CalibrationFindings:
    return calibration_findings(fitted, prices, replicas=REPLICAS)


class TestFindings:
    def test_normal_returns_are_those_of_the_normal_model(self, found: CalibrationFindings) -> None:
        gbm = found.models[0]
        assert [model.name for model in found.models] == list(MODELS)
        assert not gbm.missed.any()
        expected = norm.ppf(LEVELS)
        np.testing.assert_allclose(gbm.facts.value.quantiles, expected, atol=0.15)
        assert (gbm.facts.lower.quantiles <= gbm.facts.value.quantiles).all()
        assert (gbm.facts.value.quantiles <= gbm.facts.upper.quantiles).all()
        assert np.abs(gbm.facts.value.autocorrelation).max() < 0.03
        assert np.isnan(found.history.lower.worst).all()

    def test_a_model_that_has_the_law_is_recommended(self, found: CalibrationFindings) -> None:
        """A t with normal tails is as good; the bootstrap has the facts and no score."""
        assert found.recommended in ("gbm", "student-t")
        assert "It has all 5 facts of the history." in found.because
        drawn = found.models[-1]
        assert drawn.score is None
        assert drawn.likelihood is None

    def test_scores_are_of_bars_that_were_not_seen(
        self, found: CalibrationFindings, fitted: Fitted, prices: PriceHistory
    ) -> None:
        """The normal density by SciPy, with the volatility of the first 420 bars alone."""
        tested = out_of_sample(fitted, prices)
        returns = np.diff(np.log(prices.close), axis=0)
        assert tested.first == "2022-02-26"
        seen, rest = returns[:420], returns[420:]
        learnt = fit(prices.choose(until=prices.timestamps[420]), ["gbm"])
        deviation = seen.std(axis=0, ddof=1)
        np.testing.assert_allclose(learnt.volatility, deviation * np.sqrt(365), rtol=1e-12)
        covariance = learnt.correlation * np.outer(deviation, deviation)
        expected = multivariate_normal(-(deviation**2) / 2, covariance).logpdf(rest)
        np.testing.assert_allclose(tested.log_scores["gbm"], expected, rtol=1e-9)
        score = found.models[0].score
        assert score is not None
        assert score.mean == pytest.approx(expected.mean())

    def test_simulations_have_the_history_s_moments(self, fitted: Fitted) -> None:
        returns = simulated_returns(fitted, "gbm", 200, 500)
        assert returns.shape == (500, 200, 2)
        expected = fitted.volatility / np.sqrt(365)
        np.testing.assert_allclose(returns.std(axis=(0, 1)), expected, rtol=0.02)
        drawn = simulated_returns(fitted, "bootstrap", 200, 500)
        np.testing.assert_allclose(drawn.std(axis=(0, 1)), expected, rtol=0.03)

    def test_parameters_have_their_errors(self, found: CalibrationFindings) -> None:
        rows = {(row.model, row.name): row for row in found.parameters}
        volatility = rows["all models", "volatility.BTC"]
        assert volatility.estimate == pytest.approx(0.03 * np.sqrt(365), rel=0.1)
        assert 0 < volatility.standard_error < 0.1
        assert rows["student-t", "degrees_of_freedom"].estimate > 20

    def test_spells_and_crashes_are_missed_by_the_normal_model(self, tmp_path: Path) -> None:
        """Volatility that triples for months, and falls that alone come together."""
        rng = np.random.default_rng(7)
        wild = np.where(np.arange(BARS) // 100 % 2, 3.0, 1.0)[:, None]
        returns = 0.02 * rng.standard_normal((BARS, 2)) * wild
        fall = rng.random(BARS) < 0.04
        returns[fall] = -0.2 - 0.05 * rng.random((fall.sum(), 2))
        prices = read_prices(history(tmp_path, returns))
        found = calibration_findings(fit(prices, ["gbm", "bootstrap"]), prices, replicas=20)
        gbm, bootstrap = found.models
        assert gbm.missed[2:].all()
        assert bootstrap.missed.sum() < gbm.missed.sum()
        assert found.recommended == "gbm"
        assert "No model with a density misses fewer." in found.because
        assert "bootstrap (" in found.because


class TestPage:
    def test_it_is_complete_and_needs_nothing_from_outside(
        self, found: CalibrationFindings
    ) -> None:
        page = render_calibration(found)
        assert page.count(plotly.offline.get_plotlyjs()) == 1
        rest = page.replace(plotly.offline.get_plotlyjs(), "")
        assert not re.search(r"https?://|@import|url\(|//cdn", rest)
        text = re.sub(r"<[^>]+>", " ", rest)
        assert not re.search(r"\bnan\b|\binf\b", re.sub(r"(?s)<script.*?</script>", "", rest))
        for words in (*MODELS, "Recommended: ", "AIC", "BIC", "Behind the best", "co-exceedance"):
            assert words in text
        drawn = re.findall(r'Plotly\.newPlot\(\s*"([^"]+)"', page)
        assert len(drawn) == len(set(drawn)) == 5

    def test_one_asset(self, prices: PriceHistory) -> None:
        """Nothing falls together with it, and three facts are left to judge by."""
        one = prices.choose(["BTC"])
        found = calibration_findings(fit(one, ["gbm"]), one, replicas=4)
        assert "There is one asset" in render_calibration(found)
        assert not found.models[0].missed[3:].any()


def test_the_command_writes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stress.runner.calibration_page.write_page.__kwdefaults__", {"replicas": 4})
    file = history(tmp_path, normal_returns(200))
    words = ["calibrate", str(file), "-o", str(tmp_path / "c.toml"), "--models", "gbm", "--json"]
    assert main(words) == 0
    page = Path(json.loads(capsys.readouterr().out)["page"])
    assert page == tmp_path / "c.html"
    assert "Calibration of BTC, ETH" in page.read_text()
    page.unlink()
    assert main([*words, "--no-page"]) == 0
    assert "page" not in json.loads(capsys.readouterr().out)
    assert not page.exists()
    assert main(["calibrate", str(file), "-o", str(tmp_path / "c.html")]) == 2
    assert "would overwrite the calibration" in capsys.readouterr().err
