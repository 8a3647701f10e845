"""A price history becomes the estimates of every model.

Price, volatility and correlation are shared by all models (``stress.calibrate.gbm``); a model's own
file estimates what is its own. Each likelihood is given twice: of the model at its maximum, which
information criteria are made of, and of the model as it is simulated, with the shared volatility
and correlation and no drift.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stress.calibrate.garch import fit_garch
from stress.calibrate.gbm import Calibration, calibrate, say
from stress.calibrate.jump_diffusion import fit_jump_diffusion
from stress.calibrate.regime import fit_regime
from stress.calibrate.resampling import fit_bootstrap, fit_filtered_historical
from stress.calibrate.room import with_room
from stress.calibrate.sample import (
    Estimate,
    Parameters,
    Sample,
    by_asset,
    normal_log_density,
    sample_of,
)
from stress.calibrate.scores import SCORED, log_score
from stress.calibrate.skewed_t import fit_skewed_t
from stress.calibrate.student_t import fit_student_t
from stress.data.cleaning import Cleaning, clean
from stress.data.prices import PriceHistory
from stress.errors import InputError
from stress.types import Floats, ModelName

__all__ = ["MODELS", "Fitted", "fit"]

_LEAST_BARS = 100
"""Fewest common bars for a model beyond the gbm; and there must be a few a parameter of a law."""

_LEAST_BARS_AN_ASSET = 20

_ADV_DAYS = np.timedelta64(30, "D")
_DAY = np.timedelta64(1, "D")


def _fit_gbm(sample: Sample) -> Estimate:
    returns = sample.common
    mean = returns.mean(axis=0)
    covariance = np.atleast_2d(np.cov(returns, rowvar=False, ddof=0))
    deviation = np.sqrt(np.diag(covariance))
    parameters = Parameters(
        assets=sample.assets,
        mean=mean,
        deviation=deviation,
        correlation=covariance / np.outer(deviation, deviation),
        years=sample.years,
    )
    size = len(mean)
    return Estimate(
        table={},
        standard_errors={},
        parameters=parameters,
        scores=normal_log_density(returns - mean, covariance),
        count=size + size * (size + 1) // 2,
    )


_ESTIMATORS: Mapping[ModelName, Callable[[Sample], Estimate]] = {
    "gbm": _fit_gbm,
    "student-t": fit_student_t,
    "skewed-t": fit_skewed_t,
    "jump-diffusion": fit_jump_diffusion,
    "garch": fit_garch,
    "regime": fit_regime,
    "bootstrap": fit_bootstrap,
    "filtered-historical": fit_filtered_historical,
}

MODELS: tuple[ModelName, ...] = tuple(_ESTIMATORS)
"""The models that anything can be estimated for."""


@dataclass(frozen=True)
class Fitted:
    """Estimates of some models from one history.

    Attributes
    ----------
    base
        What all models share, and where it comes from.
    cleaning
        What was taken out of the history before.
    adv
        (assets,) mean volume of the last 30 days, USD a day; NaN where there is none.
    models, standard_errors
        By model: its own numbers with the keys of the scenario's table, and their errors.
    fits
        By model: log-likelihood, information criteria, notes.
    parameters
        By model: as it is simulated, per bar, for ``stress.calibrate.scores.log_score``.
    effective_observations
        Bars of normal returns that say as much about a correlation as the common bars do.
    skipped
        By model: why it was not estimated.
    """

    base: Calibration
    cleaning: Cleaning
    adv: Floats
    models: dict[str, dict[str, Any]]
    standard_errors: dict[str, dict[str, Any]]
    fits: dict[str, dict[str, Any]]
    parameters: dict[str, Parameters]
    effective_observations: float
    skipped: dict[str, str]

    @property
    def assets(self) -> tuple[str, ...]:
        """Assets in the order of every array."""
        return self.base.assets

    @property
    def price(self) -> Floats:
        """(assets,) last closes, USD."""
        return self.base.price

    @property
    def volatility(self) -> Floats:
        """(assets,) annualised."""
        return self.base.volatility

    @property
    def standard_error(self) -> Floats:
        """(assets,) of the volatility."""
        return self.base.standard_error

    @property
    def correlation(self) -> Floats:
        """(assets, assets) of log returns, positive definite."""
        return self.base.correlation

    @property
    def bar(self) -> np.timedelta64:
        """Spacing of the history."""
        return self.base.bar


def fit(
    history: PriceHistory,
    models: Sequence[ModelName] | None = None,
    *,
    remove_wicks: bool = True,
) -> Fitted:
    """Clean a history and estimate models from it.

    Parameters
    ----------
    models
        Which; all that the history is long enough for if not given.
    remove_wicks
        Whether single-bar wicks are taken out first (``stress.data.cleaning``).

    Raises
    ------
    InputError
        The history cannot be used (``stress.calibrate.gbm.calibrate``), or not for a model that was
        named; an optional package is not installed.
    """
    cleaned, cleaning = clean(history, remove_wicks=remove_wicks)
    base = calibrate(cleaned)
    sample = sample_of(cleaned, say(base.bar))
    estimates: dict[ModelName, Estimate] = {}
    skipped: dict[str, str] = {}
    for model in models if models is not None else MODELS:
        reason = _too_short(model, sample)
        if not reason:
            try:
                estimates[model] = _ESTIMATORS[model](sample)
            except (np.linalg.LinAlgError, FloatingPointError, ValueError) as error:
                reason = f"the estimate did not succeed ({error})"
        if reason and models is not None:
            raise InputError(
                f"{model} cannot be estimated: {reason}",
                file=history.source,
                remedy="give a longer history, or leave the model out with --models",
            )
        if reason:
            skipped[model] = reason
    shared = {model: _shared(model, base, sample, found) for model, found in estimates.items()}
    return Fitted(
        base=base,
        cleaning=cleaning,
        adv=_adv(cleaned, base.bar),
        models={model: dict(used.table) for model, (used, _) in shared.items() if used.table},
        standard_errors={
            model: found.standard_errors
            for model, found in estimates.items()
            if found.standard_errors
        },
        fits={
            model: _described(model, sample, found, *shared[model])
            for model, found in estimates.items()
        },
        parameters={model: used for model, (used, _) in shared.items()},
        effective_observations=_effective(sample.common),
        skipped=skipped,
    )


def _too_short(model: ModelName, sample: Sample) -> str:
    least = max(_LEAST_BARS, _LEAST_BARS_AN_ASSET * len(sample.assets))
    if model == "gbm" or len(sample.common) >= least:
        return ""
    return f"{len(sample.common)} common bars of {len(sample.assets)} assets, needed are {least}"


def _shared(
    model: ModelName, base: Calibration, sample: Sample, found: Estimate
) -> tuple[Parameters, tuple[str, ...]]:
    """Return the model as it is simulated, and what had to give way for it."""
    deviation = base.volatility * np.sqrt(sample.years)
    used = replace(
        found.parameters,
        mean=-(deviation**2) / 2,
        deviation=deviation,
        correlation=base.correlation,
        table=found.table,
    )
    if model == "jump-diffusion":
        # exposures are shared, too: from the volatilities that are simulated
        exposure = by_asset(used.assets, deviation / deviation.mean())
        used = replace(used, table={**used.table, "exposure": exposure})
    return with_room(model, used)


def _described(
    model: ModelName,
    sample: Sample,
    found: Estimate,
    used: Parameters,
    notes: tuple[str, ...],
) -> dict[str, Any]:
    described: dict[str, Any] = {"observations": len(sample.common)}
    if model in SCORED:
        likelihood, count = float(found.scores.sum()), found.count
        described = {
            "log_likelihood": likelihood,
            "parameters": count,
            "aic": 2 * count - 2 * likelihood,
            "bic": count * float(np.log(len(sample.common))) - 2 * likelihood,
            **described,
            "log_likelihood_as_simulated": float(log_score(model, sample.common, used).sum()),
        }
    return {**described, **found.more, "notes": [*found.notes, *notes]}


def _adv(history: PriceHistory, bar: np.timedelta64) -> Floats:
    """Mean of volume times close over the last 30 days, USD a day, (assets,)."""
    if history.volume is None:
        return np.full(len(history.assets), np.nan)
    recent = history.timestamps > history.timestamps[-1] - _ADV_DAYS
    turnover = (history.volume * history.close)[recent]
    known = np.isfinite(turnover).sum(axis=0)
    total = np.nansum(turnover, axis=0)
    return np.where(known > 0, total / np.maximum(known, 1) * float(_DAY / bar), np.nan)


def _effective(returns: Floats) -> float:
    """Return the common bars over 1 + a third of the mean excess kurtosis.

    A correlation of returns with heavy tails varies by that factor more (Muirhead 1982, section
    5.1.4, for elliptical laws).
    """
    centred = returns - returns.mean(axis=0)
    kurtosis = (centred**4).mean(axis=0) / (centred**2).mean(axis=0) ** 2
    excess = max(float(kurtosis.mean()) - 3, 0.0)
    return len(returns) / (1 + excess / 3)
