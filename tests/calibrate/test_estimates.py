"""Estimates against histories whose volatility and correlation are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from stress.calibrate.gbm import Calibration, calibrate, say
from stress.data.prices import PriceHistory
from stress.errors import InputError
from stress.types import Floats

VOLATILITY = np.array([0.6, 0.8, 1.2])
CORRELATION = np.array([[1.0, 0.8, 0.5], [0.8, 1.0, 0.6], [0.5, 0.6, 1.0]])
DAY = np.timedelta64(1, "D")


def history(close: Floats, bar: np.timedelta64 = DAY, labels: str = "ABCDEFGHIJ") -> PriceHistory:
    times = np.datetime64("2021-01-01", "ms") + bar * np.arange(len(close))
    count = close.shape[1]
    return PriceHistory(
        source=Path("/history.csv"),
        sha256="0" * 64,
        assets=tuple(labels[:count]),
        timestamps=times,
        close=close,
        duplicates=np.zeros(count, dtype=np.int64),
        out_of_order=0,
    )


def simulated(
    generator: np.random.Generator,
    bars: int,
    bar: np.timedelta64 = DAY,
    freedom: float | None = None,
) -> PriceHistory:
    """Correlated GBM, or with ``freedom`` a common-scale t of the same volatility."""
    draws = generator.standard_normal((bars, 3)) @ np.linalg.cholesky(CORRELATION).T
    if freedom is not None:
        scale = generator.chisquare(freedom, (bars, 1)) / freedom
        draws *= np.sqrt((freedom - 2) / freedom / scale)
    years = float(bar / np.timedelta64(365, "D"))
    returns = VOLATILITY * np.sqrt(years) * draws + 0.3 * years
    path = np.exp(np.cumsum(np.vstack([np.zeros((1, 3)), returns]), axis=0))
    return history(100 * path, bar)


def refusal(bad: PriceHistory) -> str:
    with pytest.raises(InputError) as caught:
        calibrate(bad)
    text = str(caught.value)
    assert "\n" not in text
    assert "/history.csv" in text
    return text


def covered(found: Calibration) -> NDArray[np.bool_]:
    return np.asarray(np.abs(found.volatility - VOLATILITY) <= 1.96 * found.standard_error)


@pytest.mark.parametrize(("freedom", "bars"), [(None, 500), (8.0, 1500)])
def test_volatility_intervals_cover_the_truth(freedom: float | None, bars: int) -> None:
    """400 histories; each asset's count of covered truths is Binomial(400, 0.95) up to the bias of
    order 1/n of an estimated standard error: between its 0.0005 and 0.9995 quantiles, 364 and 393.
    """
    generator = np.random.default_rng(20240607)
    found = [calibrate(simulated(generator, bars, freedom=freedom)) for _ in range(400)]
    low, high = scipy.stats.binom.interval(0.999, 400, 0.95)
    hits = np.sum([covered(one) for one in found], axis=0)
    assert ((hits >= low) & (hits <= high)).all(), hits
    if freedom is not None:
        # the error that assumes normal returns is too small by a factor of 1.3 here and must fail
        naive = [
            np.abs(one.volatility - VOLATILITY) <= 1.96 * one.volatility / np.sqrt(2 * bars)
            for one in found
        ]
        assert np.sum(naive, axis=0).mean() < low


def test_standard_errors_of_normal_and_heavy_returns_in_closed_form() -> None:
    """A t(8) has kurtosis 4.5, so its error is sqrt(3.5 / 2) of the normal one."""
    generator = np.random.default_rng(11)
    for freedom, kurtosis, slack in ((None, 3.0, 0.02), (8.0, 4.5, 0.2)):
        found = calibrate(simulated(generator, 40_000, freedom=freedom))
        expected = found.volatility * np.sqrt((kurtosis - 1) / (4 * 40_000))
        np.testing.assert_allclose(found.standard_error, expected, rtol=slack)


@pytest.mark.parametrize("freedom", [None, 8.0])
def test_correlation_is_consistent(freedom: float | None) -> None:
    """Each entry within 4 of its standard errors (1 - rho^2) sqrt(c / n), c = 1 for normal returns
    and (nu - 2) / (nu - 4) for a t, at both lengths; the shrinkage vanishes like 1 / n.
    """
    generator = np.random.default_rng(5)
    factor = 1.0 if freedom is None else (freedom - 2) / (freedom - 4)
    for bars in (1_000, 16_000):
        found = calibrate(simulated(generator, bars, freedom=freedom))
        error = (1 - CORRELATION**2) * np.sqrt(factor / bars)
        assert (np.abs(found.correlation - CORRELATION) <= 4 * error + found.shrinkage).all()
        assert 0 < found.shrinkage < 20 / bars
        assert found.common_observations == bars


def test_shrinkage_is_that_of_ledoit_and_wolf() -> None:
    """Their equations (lemma 3.2 to 3.5) written out, on standardised returns."""
    one = simulated(np.random.default_rng(2), 60)
    found = calibrate(one)
    returns = np.diff(np.log(one.close), axis=0)
    x = (returns - returns.mean(axis=0)) / returns.std(axis=0)
    n, p = x.shape
    sample = x.T @ x / n
    mean = np.trace(sample) / p
    distance = np.sum((sample - mean * np.eye(p)) ** 2) / p
    spread = sum(np.sum((np.outer(row, row) - sample) ** 2) / p for row in x) / n**2
    shrinkage = min(spread, distance) / distance
    assert found.shrinkage == pytest.approx(shrinkage, rel=1e-9)
    expected = shrinkage * np.eye(p) + (1 - shrinkage) * sample
    np.testing.assert_allclose(found.correlation, expected, rtol=1e-9)
    assert found.least_eigenvalue == pytest.approx(np.linalg.eigvalsh(expected)[0], rel=1e-9)


def test_more_assets_than_the_bars_support_still_give_a_positive_definite_correlation() -> None:
    draws = np.random.default_rng(3).standard_normal((31, 60)) * 0.03
    found = calibrate(
        history(np.exp(np.cumsum(draws, axis=0)), labels="".join(map(chr, range(60))))
    )
    assert np.linalg.eigvalsh(found.correlation)[0] > 1e-3
    np.testing.assert_array_equal(np.diag(found.correlation), 1.0)
    np.testing.assert_array_equal(found.correlation, found.correlation.T)


def test_one_asset_needs_no_correlation() -> None:
    found = calibrate(simulated(np.random.default_rng(4), 50).choose(["A"]))
    assert found.correlation.tolist() == [[1.0]]
    assert found.shrinkage == 0


@pytest.mark.parametrize(
    ("bar", "text"),
    [
        (np.timedelta64(90, "s"), "90s"),
        (np.timedelta64(5, "m"), "5min"),
        (np.timedelta64(1, "h"), "1h"),
        (DAY, "1d"),
        (np.timedelta64(7, "D"), "7d"),
    ],
)
def test_volatility_is_annualised_from_any_bar(bar: np.timedelta64, text: str) -> None:
    found = calibrate(simulated(np.random.default_rng(6), 4_000, bar))
    assert say(found.bar) == text
    np.testing.assert_allclose(found.volatility, VOLATILITY, atol=4 * found.standard_error.max())


def test_returns_across_gaps_are_left_out_and_counted() -> None:
    """Prices jump tenfold over every gap, so that one return across a gap would show."""
    whole = simulated(np.random.default_rng(7), 400)
    close = whole.close.copy()
    close[100:103] = np.nan
    close[103:] *= 10
    close[200:, 0] *= 10
    close[199, 0] = np.nan
    found = calibrate(history(close))
    assert found.gaps.tolist() == [2, 1, 1]
    # a missing close costs two returns, three in a row cost four
    assert found.observations.tolist() == [394, 396, 396]
    assert found.common_observations == 394
    np.testing.assert_allclose(found.volatility, VOLATILITY, rtol=0.2)


def test_assets_that_begin_later_keep_the_others_whole() -> None:
    whole = simulated(np.random.default_rng(8), 600)
    close = whole.close.copy()
    close[:300, 2] = np.nan
    close[550:, 1] = np.nan
    found = calibrate(history(close))
    assert found.observations.tolist() == [600, 549, 300]
    assert found.common_observations == 249
    assert found.first[2] == whole.timestamps[300]
    assert found.last[1] == whole.timestamps[549]
    np.testing.assert_array_equal(found.price, [close[-1, 0], close[549, 1], close[-1, 2]])
    alone = calibrate(whole)
    assert found.volatility[0] == alone.volatility[0]
    assert found.standard_error[0] == alone.standard_error[0]


def test_too_few_common_bars_name_the_asset_that_begins_last() -> None:
    close = simulated(np.random.default_rng(9), 100).close.copy()
    close[:60, 1] = np.nan
    close[80:, 0] = np.nan
    text = refusal(history(close))
    for part in ("only 19 bars", "B begins last, at 2021-03-02", "A ends first, at 2021-03-21"):
        assert part in text
    assert "--assets" in text
    assert "--since" in text


def test_an_asset_with_few_returns_is_refused() -> None:
    close = simulated(np.random.default_rng(9), 100).close.copy()
    close[::2, 2] = np.nan
    text = refusal(history(close))
    for part in ("asset C has 0 returns across one bar of 1d", "50 closes, 49 gaps", "--assets"):
        assert part in text


@pytest.mark.parametrize("prices", [np.full(100, 2.0), 1.5 * 1.01 ** np.arange(100.0)])
def test_a_price_that_does_not_vary_is_refused(prices: Floats) -> None:
    close = simulated(np.random.default_rng(9), 99).close.copy()
    close[:, 1] = prices
    assert "the price of B does not vary" in refusal(history(close))


def test_two_assets_that_are_one_are_refused() -> None:
    """Two assets that step up and down together by the same amount leave nothing to shrink for."""
    steps = 0.03 * np.where(np.arange(201) % 2, 1, -1)
    one = np.exp(np.cumsum(steps))[:, None]
    text = refusal(history(np.hstack([one, 3 * one])))
    assert "A and B move as one" in text
    assert "leave one of the two out" in text


def test_without_scikit_learn_the_remedy_is_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.covariance", None)
    with pytest.raises(InputError, match=r"pip install 'margin-stress\[calibrate\]'"):
        calibrate(simulated(np.random.default_rng(1), 50))


def test_no_spacing_at_all_is_refused() -> None:
    close = np.array([[1.0, np.nan], [np.nan, 2.0]])
    assert "no asset has two closes" in refusal(history(close))
