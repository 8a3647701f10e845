"""Historical windows against the history, and what becomes of gaps, strides and thinner steps."""

from __future__ import annotations

from datetime import UTC, datetime

import jax.numpy as jnp
import numpy as np
import pytest

from stress.engine.block import Schedule
from stress.engine.paths import price_paths
from stress.errors import InputError
from stress.market import knows_extremes
from stress.runner.resampling import ResamplingSource, resampling_source
from tests.market.histories import clock, history, market

RETURNS = np.random.default_rng(5).normal(0.001, 0.03, (40, 2))
MEAN = -(0.6**2) / 2 / 365
"""Of a bar of a day: the drift is 0 and the volatility 0.6."""


def walked(source: ResamplingSource, steps: int, paths: int) -> np.ndarray:
    """Return (paths, steps, assets) log returns of single steps."""
    schedule = Schedule(steps=steps, block=steps, monitoring="step", precision="float64")
    prices = price_paths(
        source.model,
        jnp.ones(2),
        jnp.asarray(3, jnp.uint32),
        jnp.arange(paths, dtype=jnp.uint32),
        schedule=schedule,
    )
    return np.diff(np.log(np.asarray(prices)), axis=1)


def first_rows(source: ResamplingSource) -> list[int]:
    assert source.windows is not None
    return list(source.windows.first)


class TestWindows:
    def test_path_i_is_window_i(self) -> None:
        """As the file has them, but for the mean; what pads the block is the last one."""
        source = resampling_source(market("historical"), clock(steps=5), history(RETURNS))
        found = walked(source, 5, 40)
        expected = RETURNS - RETURNS.mean(axis=0) + MEAN
        for window in range(36):
            np.testing.assert_allclose(found[window], expected[window : window + 5], atol=1e-14)
        np.testing.assert_array_equal(found[36:], np.broadcast_to(found[35], (4, 5, 2)))
        assert source.design_effect == 5.0

    def test_the_mean_may_stay(self) -> None:
        source = resampling_source(
            market("historical", demean=False), clock(steps=5), history(RETURNS)
        )
        np.testing.assert_allclose(walked(source, 5, 40)[7], RETURNS[7:12], atol=1e-14)

    @pytest.mark.parametrize(
        ("stride", "first", "effect"),
        [("1d", list(range(36)), 5.0), ("3d", list(range(0, 36, 3)), 5 / 3), ("1w", None, 1.0)],
    )
    def test_strides(self, stride: str, first: list[int] | None, effect: float) -> None:
        source = resampling_source(
            market("historical", stride=stride), clock(steps=5), history(RETURNS)
        )
        assert first_rows(source) == (first or list(range(0, 36, 7)))
        assert source.design_effect == pytest.approx(effect)

    def test_no_window_runs_over_a_gap(self) -> None:
        """Bar 20 is missing: so are the returns into it and out of it."""
        source = resampling_source(
            market("historical"), clock(steps=5), history(RETURNS, missing=(20,))
        )
        # rows are bars 1 to 19 and 22 to 40
        assert first_rows(source) == [*range(15), *range(19, 34)]
        assert any("missing bar" in notice for notice in source.notices)
        late = walked(source, 5, 30)[15]
        kept = np.delete(RETURNS, [19, 20], axis=0)
        np.testing.assert_allclose(late, (kept - kept.mean(axis=0) + MEAN)[19:24], atol=1e-14)

    def test_named_windows(self) -> None:
        """Each begins with the first bar stamped at its moment or later."""
        starts = (datetime(2024, 1, 4, tzinfo=UTC), datetime(2024, 1, 6, 12, tzinfo=UTC))
        source = resampling_source(
            market("historical", starts=starts), clock(steps=5), history(RETURNS)
        )
        # the first row ends on 2 January
        assert first_rows(source) == [2, 5]
        # two bars of five are shared
        assert source.design_effect == pytest.approx(1 + 2 / 5)

    @pytest.mark.parametrize(
        ("day", "missing", "reason"), [(8, (9,), "missing inside"), (38, (), "ends inside")]
    )
    def test_a_named_window_must_be_whole(
        self, day: int, missing: tuple[int, ...], reason: str
    ) -> None:
        start = datetime(2024, 1, 1, tzinfo=UTC).replace(day=1)
        start = datetime.fromtimestamp(start.timestamp() + (day - 1) * 86_400, UTC)
        with pytest.raises(InputError, match=reason):
            resampling_source(
                market("historical", starts=(start,)),
                clock(steps=5),
                history(RETURNS, missing=missing),
            )

    def test_a_horizon_that_no_window_has_is_refused(self) -> None:
        with pytest.raises(InputError, match="no 41 bars in a row"):
            resampling_source(market("historical"), clock(steps=41), history(RETURNS))


class TestSteps:
    def test_a_finer_history_is_thinned_to_the_step(self) -> None:
        """Hourly closes, steps of four hours: sums of four returns, at whole steps of the day."""
        hourly = np.random.default_rng(1).normal(0, 0.01, (48, 2))
        source = resampling_source(
            market("historical"), clock("4h", steps=3), history(hourly, bar="1h")
        )
        summed = hourly.reshape(12, 4, 2).sum(axis=1)
        expected = summed - summed.mean(axis=0) + MEAN / 6
        np.testing.assert_allclose(walked(source, 3, 10)[9], expected[9:12], atol=1e-13)
        assert source.rows.bar_steps == 1

    def test_a_coarser_history_is_a_bridge_inside_its_bars(self) -> None:
        source = resampling_source(market("historical"), clock("6h", steps=12), history(RETURNS))
        found = walked(source, 12, 10).reshape(10, 3, 4, 2)
        expected = RETURNS - RETURNS.mean(axis=0) + MEAN
        for window in range(10):
            np.testing.assert_allclose(
                found[window].sum(axis=1), expected[window : window + 3], atol=1e-13
            )
        assert found.std(axis=2).min() > 0
        assert np.isfinite(source.model.covariance_root).all()
        assert any("Brownian bridge" in notice for notice in source.notices)

    def test_steps_that_do_not_fit_are_refused(self) -> None:
        with pytest.raises(InputError, match="no whole number of steps"):
            resampling_source(market("historical"), clock("7h"), history(RETURNS))


class TestExtremes:
    LOW = -np.abs(np.random.default_rng(6).normal(0, 0.02, (41, 2)))
    HIGH = np.abs(np.random.default_rng(7).normal(0, 0.02, (41, 2)))

    def source(self, step: str = "1d") -> ResamplingSource:
        bars = history(RETURNS, ranges=(self.LOW, self.HIGH))
        return resampling_source(market("historical"), clock(step, steps=5), bars)

    def test_lows_and_highs_are_those_of_the_bar(self) -> None:
        model = self.source().model
        assert knows_extremes(model)
        state = model.init(jnp.arange(3, dtype=jnp.uint32))
        keys = jnp.zeros(3, jnp.uint32)  # nothing is drawn
        for step in range(5):
            state, _ = model.step(state, jnp.zeros((2, 3)), keys)
            low, high = model.extremes(state)
            for path in range(3):
                np.testing.assert_allclose(low[:, path], self.LOW[path + step + 1], atol=1e-14)
                np.testing.assert_allclose(high[:, path], self.HIGH[path + step + 1], atol=1e-14)

    def test_only_where_a_bar_is_a_step(self) -> None:
        assert not knows_extremes(self.source("12h").model)
        plain = resampling_source(market("historical"), clock(), history(RETURNS))
        assert not knows_extremes(plain.model)

    def test_of_a_longer_step_they_are_the_farthest(self) -> None:
        """Twelve two-day steps: the lowest of both bars' lows, over the second close."""
        bars = history(RETURNS, ranges=(self.LOW, self.HIGH))
        source = resampling_source(market("historical"), clock("2d", steps=5), bars)
        close = np.cumsum(np.vstack([np.zeros(2), RETURNS]), axis=0)
        # 1 January 2024 is an odd number of days after 1970
        ends = np.arange(3, 41, 2)
        lows = np.minimum((self.LOW + close)[ends], (self.LOW + close)[ends - 1]) - close[ends]
        np.testing.assert_allclose(source.rows.low, lows, atol=1e-13)
        highs = np.maximum((self.HIGH + close)[ends], (self.HIGH + close)[ends - 1]) - close[ends]
        np.testing.assert_allclose(source.rows.high, highs, atol=1e-13)

    def test_the_volatility_inside_a_bar_is_of_its_range(self) -> None:
        """Rogers and Satchell; the open is the close before."""
        rows = self.source("12h").rows
        opening = -RETURNS
        low, high = self.LOW[1:], self.HIGH[1:]
        variance = high * (high - opening) + low * (low - opening)
        np.testing.assert_allclose(rows.deviation, np.sqrt(np.maximum(variance, 0)), atol=1e-13)
        assert rows.ranged


def test_rogers_and_satchell_on_brownian_motion_with_drift() -> None:
    """The range of a fine random walk in a bar: the mean variance, whatever the drift."""
    rng = np.random.default_rng(8)
    deviation, fine = 0.05, 2_000
    walk = np.cumsum(rng.normal(0.1 / fine, deviation / np.sqrt(fine), (600, fine)), axis=1)
    closes = walk[:, -1]
    low = np.minimum(walk.min(axis=1), 0) - closes
    high = np.maximum(walk.max(axis=1), 0) - closes
    pad = np.zeros(1)
    ranges = tuple(np.append(pad, values)[:, None] for values in (low, high))
    source = resampling_source(
        market("historical", 1), clock("12h"), history(closes[:, None], ranges=ranges)
    )
    found = (source.rows.deviation**2).mean() / deviation**2
    # discreteness of the walk takes 3 percent off; the spread of one bar's is 0.6
    assert found == pytest.approx(1.0, abs=0.03 + 4 * 0.6 / np.sqrt(600))
