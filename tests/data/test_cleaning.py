"""Wicks are found where they were put, and a market's own crashes are left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stress.data.cleaning import clean
from stress.data.prices import PriceHistory
from stress.errors import InputError
from stress.types import Floats

HOUR = np.timedelta64(1, "h")
ROWS = 600


def bars(seed: int = 1, assets: int = 2, heavy: bool = True) -> PriceHistory:
    """Hourly bars of t returns with three degrees of freedom, open at the close before."""
    generator = np.random.default_rng(seed)
    noise = generator.standard_t(3.0, (ROWS, assets)) if heavy else generator.normal(size=(ROWS, 2))
    close = 100 * np.exp(np.cumsum(0.005 * noise, axis=0))
    opened = np.vstack([np.full((1, assets), 100.0), close[:-1]])
    beyond = 1 + 0.002 * generator.random((2, ROWS, assets))
    return PriceHistory(
        source=Path("/history.csv"),
        sha256="0" * 64,
        assets=("A", "B", "C")[:assets],
        timestamps=np.datetime64("2021-01-01T00", "ms") + HOUR * np.arange(ROWS),
        close=close,
        duplicates=np.zeros(assets, np.int64),
        out_of_order=0,
        open=opened,
        high=np.maximum(opened, close) * beyond[0],
        low=np.minimum(opened, close) / beyond[1],
        volume=np.ones((ROWS, assets)),
    )


def changed(history: PriceHistory, **cells: dict[tuple[int, int], float]) -> PriceHistory:
    columns: dict[str, Any] = {name: getattr(history, name).copy() for name in cells}
    for name, values in cells.items():
        for place, value in values.items():
            columns[name][place] = value
    return replace(history, **columns)


def equal(one: PriceHistory, other: PriceHistory) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True)
        for name in ("open", "high", "low", "close", "volume")
    )


@pytest.mark.parametrize("factor", [0.3, 0.85, 1.2, 10_001.0])
def test_a_close_that_comes_back_is_left_out(factor: float) -> None:
    history = bars()
    wick = factor * history.close[300, 0]
    bad = changed(history, close={(300, 0): wick}, open={(301, 0): wick})
    cleaned, cleaning = clean(bad)
    assert [(w.asset, w.column, w.found) for w in cleaning.wicks] == [("A", "close", wick)]
    assert cleaning.wicks[0].timestamp == history.timestamps[300]
    assert np.isnan(cleaning.wicks[0].kept)
    assert cleaning.counts("close").tolist() == [1, 0]
    gone = np.isnan(cleaned.close)
    assert np.argwhere(gone).tolist() == [[300, 0]]
    # a missing close is one spacing of two bars
    assert cleaning.gaps.tolist() == [1, 0]
    assert cleaned.open is not None
    assert np.isnan(cleaned.open[300:302, 0]).all()


@pytest.mark.parametrize("seed", range(5))
def test_heavy_tails_are_not_wicks(seed: int) -> None:
    history = bars(seed)
    cleaned, cleaning = clean(history)
    assert cleaning.wicks == ()
    assert equal(cleaned, history)


def test_a_crash_that_stays_is_no_wick() -> None:
    history = bars()
    close = history.close.copy()
    close[300:, 0] *= 0.5
    cleaned, cleaning = clean(replace(history, close=close, open=None, high=None, low=None))
    assert cleaning.wicks == ()
    np.testing.assert_array_equal(cleaned.close, close)


def test_a_fall_of_which_half_comes_back_is_no_wick() -> None:
    history = bars()
    returns = np.diff(np.log(history.close), axis=0)
    returns[299, 0], returns[300, 0] = -0.4, 0.2
    close = 100 * np.exp(np.vstack([np.zeros((1, 2)), np.cumsum(returns, axis=0)]))
    _, cleaning = clean(replace(history, close=close, open=None, high=None, low=None))
    assert cleaning.wicks == ()


@pytest.mark.parametrize(("name", "factor"), [("high", 3.0), ("low", 0.5)])
def test_an_extreme_that_nothing_confirms_is_clipped(name: str, factor: float) -> None:
    history = bars()
    wick = factor * history.close[300, 1]
    cleaned, cleaning = clean(changed(history, **{name: {(300, 1): wick}}))
    body = history.open[300, 1], history.close[300, 1]  # type: ignore[index]
    kept = max(body) if name == "high" else min(body)
    assert [(w.asset, w.column, w.found, w.kept) for w in cleaning.wicks] == [
        ("B", name, wick, kept)
    ]
    assert getattr(cleaned, name)[300, 1] == kept
    np.testing.assert_array_equal(cleaned.close, history.close)


def test_an_extreme_that_a_neighbour_or_another_asset_confirms_stays() -> None:
    history = bars()
    low = {(300, 0): 0.7 * history.close[300, 0]}
    beside = {**low, (301, 0): 0.75 * history.close[301, 0]}
    together = {**low, (300, 1): 0.8 * history.close[300, 1]}
    for cells in (beside, together):
        bad = changed(history, low=cells)
        cleaned, cleaning = clean(bad)
        assert cleaning.wicks == ()
        assert equal(cleaned, bad)
    assert len(clean(changed(history, low=low))[1].wicks) == 1


def test_wicks_may_be_kept() -> None:
    history = bars()
    bad = changed(history, close={(300, 0): 2 * history.close[300, 0]}, high={(10, 1): 1000.0})
    cleaned, cleaning = clean(bad, remove_wicks=False)
    assert cleaning.wicks == ()
    assert equal(cleaned, bad)


def test_cleaning_twice_is_cleaning_once() -> None:
    history = bars()
    bad = changed(history, close={(300, 0): 2 * history.close[300, 0]}, high={(10, 1): 1000.0})
    once, first = clean(bad)
    twice, second = clean(once)
    assert len(first.wicks) == 2
    assert second.wicks == ()
    assert equal(once, twice)


def test_a_price_that_stands_still_has_no_wicks_of_a_tick() -> None:
    close: Floats = np.ones((ROWS, 1))
    close[::7] += 1e-4
    history = replace(bars(assets=1), close=close, open=None, high=close + 2e-4, low=None)
    assert clean(history)[1].wicks == ()


def test_gaps_and_duplicates_are_counted() -> None:
    history = bars()
    close = history.close.copy()
    close[100:103, 0] = np.nan
    found = clean(replace(history, close=close, duplicates=np.array([0, 4]), out_of_order=2))[1]
    assert (found.gaps.tolist(), found.duplicates.tolist(), found.out_of_order) == (
        [1, 0],
        [0, 4],
        2,
    )


def test_a_price_that_changes_its_unit_is_refused() -> None:
    history = bars()
    close = history.close.copy()
    close[300:, 1] *= 10_000
    with pytest.raises(InputError) as caught:
        clean(replace(history, close=close))
    text = str(caught.value)
    assert "\n" not in text
    for part in ("B moves by a factor of 9.96e+03", "2021-01-13T12:00", "unit"):
        assert part in text
