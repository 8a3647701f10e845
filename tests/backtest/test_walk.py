"""The walk: it never looks ahead, and it tells right models from wrong ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from stress.backtest.forecast import forecast
from stress.backtest.forecasters import estimate
from stress.backtest.judge import co_exceedances, judge_coverage, judge_liquidations
from stress.backtest.load import Requirement, Task, load_backtest
from stress.backtest.plan import make_plan
from stress.backtest.walk import Said, came, walk
from stress.runner.progress import Silent
from stress.types import ModelName
from tests.backtest.histories import history, scenario, write_history


def _task(folder: Path, close: np.ndarray, **keys: str) -> Task:
    write_history(folder / "prices.csv", close)
    return load_backtest(scenario(folder, **keys))


def _said(task: Task, model: ModelName) -> Said:
    said = walk(task, make_plan(task), model, Silent(), 0)
    assert isinstance(said, Said)
    return said


@pytest.mark.parametrize(
    "model", ["gbm", "garch", "regime", "filtered-historical", "historical", "bootstrap"]
)
def test_never_looks_ahead(tmp_path: Path, model: ModelName) -> None:
    """Other prices behind a moment leave all forecasts up to it as they were."""
    close = history(350, law="clustered", seed=1)
    task = _task(tmp_path, close, paths="100", refit='"25d"')
    plan = make_plan(task)
    turn = 15
    row = int(plan.origins[turn])
    other = close.copy()
    other[row + 1 :] *= np.exp(
        0.1 * np.random.default_rng(2).standard_normal(other[row + 1 :].shape)
    )
    changed = replace(task, history=replace(task.history, close=other))
    one, two = _said(task, model), _said(changed, model)
    upto = slice(0, turn + 1)
    # an optimiser may end a millionth elsewhere on the same numbers at another address
    same = {"rtol": 1e-4, "atol": 1e-9}
    assert np.allclose(one.value_at_risk[upto], two.value_at_risk[upto], **same)
    assert np.allclose(one.expected_shortfall[upto], two.expected_shortfall[upto], **same)
    assert np.allclose(one.liquidation[upto], two.liquidation[upto], **same)
    # and behind it the history does matter
    behind = slice(30, None)
    assert not np.allclose(one.value_at_risk[behind], two.value_at_risk[behind], rtol=1e-2)


def test_state_moves_between_refits(tmp_path: Path) -> None:
    """Conditional models follow the last bars, the others stand still until the next refit."""
    task = _task(tmp_path, history(346, law="clustered", seed=3), paths="100")
    for model, moves in (("gbm", False), ("garch", True), ("filtered-historical", True)):
        value = _said(task, model).value_at_risk[:, 0, 0, 0]
        assert (len(np.unique(value)) > 20) == moves


def test_quantiles_of_a_known_model(tmp_path: Path) -> None:
    """A normal history: value at risk of gbm is that of the law it was estimated from."""
    close = history(1500, seed=4)
    task = _task(tmp_path, close, first="2023-09-01", paths="20000")
    said = _said(task, "gbm")
    known = np.log(close[: make_plan(task).origins[0] + 1])
    deviation = np.diff(known, axis=0).std(axis=0, ddof=1)
    expected = 1 - np.exp(-(deviation**2) / 2 + deviation * norm.ppf(0.05))
    assert said.value_at_risk[0, 0, 0, :2] == pytest.approx(expected, rel=0.03)


def test_true_model_passes(tmp_path: Path) -> None:
    """On a normal history gbm and the history itself pass everything."""
    task = _task(tmp_path, history(1900, seed=8), first="2023-12-01", refit='"200d"', paths="2000")
    plan = make_plan(task)
    happened = came(task, plan)
    for model in ("gbm", "historical"):
        said = _said(task, model)
        found = judge_coverage(task, happened, said)
        assert (found.coverage_verdict == "passes").all()
        assert (found.shortfall_verdict == "passes").all()
        books = judge_liquidations(task, plan, happened, said)
        assert (books.verdict == "passes").all()
        # two normal assets of correlation 0.6: 0.29 by numerical integration
        assert co_exceedances(said) == pytest.approx([0.29, 0.29], abs=0.09)


def test_gbm_fails_on_heavy_tails(tmp_path: Path) -> None:
    """Too few losses beyond the 95 % quantile, and those too large; resampling passes."""
    task = _task(
        tmp_path,
        history(2400, law="heavy", seed=6),
        first="2023-12-01",
        refit='"400d"',
        paths="2000",
    )
    happened = came(task, make_plan(task))
    normal = judge_coverage(task, happened, _said(task, "gbm"))
    own = judge_coverage(task, happened, _said(task, "historical"))
    assert (normal.coverage_verdict[0, 0, :2] == "too few").all()
    assert (normal.exceedances[:, 0] < 0.8 * own.exceedances[:, 0]).all()
    assert (own.coverage_verdict == "passes").all()
    assert (own.shortfall_verdict == "passes").all()


@pytest.mark.slow
def test_standing_still_fails_on_clusters(tmp_path: Path) -> None:
    """Volatility that comes in spells: exceedances of gbm cluster, those of garch hardly."""
    task = _task(
        tmp_path, history(900, law="clustered", seed=7), first="2021-03-01", refit='"200d"'
    )
    happened = came(task, make_plan(task))
    normal = judge_coverage(task, happened, _said(task, "gbm"))
    garch = judge_coverage(task, happened, _said(task, "garch"))
    assert normal.independence_statistic.sum() > 2 * garch.independence_statistic.sum()


def test_jumps_keep_pace_with_the_volatility(tmp_path: Path) -> None:
    """Between two slow estimates rates stay, sizes grow with the volatility."""
    task = _task(tmp_path, history(400, law="clustered", seed=10), paths="100")
    plan = make_plan(task)
    first = int(plan.origins[0])
    before = estimate(task, plan, first, "jump-diffusion")
    after = estimate(task, plan, first + 60, "jump-diffusion", before)
    old, new = before.market.jump_diffusion, after.market.jump_diffusion
    assert old is not None
    assert new is not None
    for asset in task.assets:
        growth = after.market.volatility[asset] / before.market.volatility[asset]
        assert growth != pytest.approx(1.0, abs=0.01)
        assert new.own[asset].rate == pytest.approx(old.own[asset].rate)
        assert new.own[asset].deviation == pytest.approx(growth * old.own[asset].deviation)
    assert plan.slow_refits.tolist() == [first] * len(plan.origins)
    assert len(set(plan.refits.tolist())) == 2


def test_forecast_of_equal_ranks() -> None:
    """The quantile of 99 ordered losses at 95 % is the 95th, and the shortfall lies beyond."""
    relative = np.ones((99, 2, 1))
    relative[:, 1, 0] = 1 - np.arange(1, 100) / 1000
    found = forecast(
        relative,
        window=1,
        liquidation_window=1,
        levels=(0.95,),
        books=(),
        notional=1.0,
        requirement=Requirement(np.full((1, 1), 0.01), np.zeros((1, 1))),
    )
    assert found.value_at_risk[0, 0, 0] == pytest.approx(0.095)
    beyond = sum(range(1, 5)) / 1000 / 99
    assert found.expected_shortfall[0, 0, 0] == pytest.approx(0.095 + beyond / 0.05)
    # the short loses least where the long loses most
    assert found.value_at_risk[1, 0, 0] == pytest.approx(-0.005)


@pytest.mark.parametrize("model", ["student-t", "skewed-t", "jump-diffusion"])
def test_other_models_walk(tmp_path: Path, model: ModelName) -> None:
    """They are estimated and forecast: quantiles ascend with the level, shortfalls lie beyond."""
    close = history(330, law="heavy", seed=9)
    said = _said(_task(tmp_path, close, paths="1000", refit='"300d"'), model)
    assert said.problems == ()
    assert np.isfinite(said.value_at_risk).all()
    assert (np.diff(said.value_at_risk, axis=2) > 0).all()
    assert (said.expected_shortfall > said.value_at_risk).all()
    assert ((said.liquidation >= 0) & (said.liquidation <= 1)).all()


@pytest.mark.parametrize("model", ["garch", "filtered-historical"])
def test_a_variance_is_carried_on_at_its_level(tmp_path: Path, model: ModelName) -> None:
    """Three days that doubled the price make the mean variance, and say nothing of today's."""
    close = history(700, seed=13)
    for row in (60, 150, 250):
        close[row:] *= 2.0
    task = _task(tmp_path, close, first="2021-01-01", refit='"400d"', paths="2000")
    plan = make_plan(task)
    losses = -came(task, plan).returns[:, :2]
    share = (losses > _said(task, model).value_at_risk[:, 0, 0, :2]).mean(axis=0)
    # four standard errors of 330 windows
    assert (abs(share - 0.05) < 4 * np.sqrt(0.05 * 0.95 / len(losses))).all()
