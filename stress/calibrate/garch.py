"""GJR-GARCH(1,1) with t innovations and constant correlation, in two steps.

First each asset by itself: mean, omega, alpha, gamma, beta by maximum likelihood with t innovations
(the package ``arch``), with standard errors that hold for another law, too (Bollerslev and
Wooldridge 1992). Then the standardised residuals of all assets: their correlation, and the degrees
of freedom that they share, by the likelihood of the multivariate t of unit variance. The errors of
the second step take the first for exact.

``filtered_variance`` is the recursion itself, for whoever standardises returns:

    h' = omega + (alpha + gamma 1[e < 0]) e^2 + beta h,
    omega = target (1 - alpha - gamma / 2 - beta).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from stress.calibrate.sample import Estimate, Parameters, Sample, by_asset, missing
from stress.calibrate.student_t import (
    freedom_given_covariance,
    freedom_of,
    t_log_density,
    t_scatter,
)
from stress.types import Floats

__all__ = ["Variances", "filtered_variance", "fit_garch", "fit_variances", "log_score"]

_MOST_PERSISTENCE = 0.999
"""Most alpha + gamma / 2 + beta: at 1 there is no variance to return to."""


def filtered_variance(
    returns: Floats,
    alpha: Floats,
    gamma: Floats,
    beta: Floats,
    *,
    omega: Floats | None = None,
    target: Floats | None = None,
    start: Floats | None = None,
) -> Floats:
    """Return each bar's conditional variance, and that of the bar after the last.

    Parameters
    ----------
    returns
        (bars, assets) log returns, their mean taken out. Where one is NaN the variance goes on as
        expected.
    alpha, gamma, beta
        (assets,).
    omega, target
        (assets,) the constant of the recursion, or the unconditional variance of a bar that implies
        it; one of the two.
    start
        (assets,) variance of the first bar; the mean square of the returns if not given.

    Returns
    -------
    variance
        (bars + 1, assets), the last row that of the next bar.
    """
    if (omega is None) == (target is None):
        raise ValueError("give omega or target, and not both")
    persistence = alpha + gamma / 2 + beta
    constant = omega if target is None else target * (1 - persistence)
    squares = returns**2
    weight = np.where(returns < 0, alpha + gamma, alpha)
    news = weight * squares
    known = np.isfinite(returns)
    variance = np.empty((len(returns) + 1, returns.shape[1]))
    variance[0] = np.nanmean(squares, axis=0) if start is None else start
    for bar in range(len(returns)):
        before = variance[bar]
        shock = np.where(known[bar], news[bar], (persistence - beta) * before)
        variance[bar + 1] = constant + shock + beta * before
    return variance


@dataclass(frozen=True)
class Variances:
    """Each asset's own GARCH, (assets,) arrays; returns and variances are per bar.

    Attributes
    ----------
    mean, omega, alpha, gamma, beta
        Estimates.
    errors
        Of alpha, gamma and beta.
    next_variance
        Of the bar after the last.
    residuals
        (times, assets) returns less their mean over the conditional standard deviation.
    at_bound
        Which assets' persistence was pulled to the most that is let.
    """

    mean: Floats
    omega: Floats
    alpha: Floats
    gamma: Floats
    beta: Floats
    errors: dict[str, Floats]
    next_variance: Floats
    residuals: Floats
    at_bound: tuple[str, ...]

    @property
    def unconditional(self) -> Floats:
        """(assets,) variance that each returns to."""
        return self.omega / (1 - self.alpha - self.gamma / 2 - self.beta)


def fit_variances(sample: Sample, innovations: Literal["t", "normal"] = "t") -> Variances:
    """Fit each asset's GARCH from its own whole history.

    Parameters
    ----------
    innovations
        ``t``, or ``normal`` for the quasi-likelihood that holds for any law of the innovations.

    Raises
    ------
    InputError
        The package ``arch`` is not installed.
    """
    columns = [_fit_one(sample.own(column), innovations) for column in range(len(sample.assets))]
    found, errors = (
        {key: np.array([column[part][key] for column in columns]) for key in columns[0][part]}
        for part in (0, 1)
    )
    bound = found.pop("bound")
    centred = sample.returns - found["mu"]
    variance = filtered_variance(
        centred, found["alpha"], found["gamma"], found["beta"], omega=found["omega"]
    )
    # rows before an asset's own first return only bring its variance nearer to its mean
    return Variances(
        mean=found["mu"],
        omega=found["omega"],
        alpha=found["alpha"],
        gamma=found["gamma"],
        beta=found["beta"],
        errors=errors,
        next_variance=variance[-1],
        residuals=centred / np.sqrt(variance[:-1]),
        at_bound=tuple(asset for asset, pulled in zip(sample.assets, bound, strict=True) if pulled),
    )


def _fit_one(
    returns: Floats, innovations: Literal["t", "normal"]
) -> tuple[dict[str, float], dict[str, float]]:
    try:
        # an optional dependency, and slow to import: only this function needs it
        from arch import arch_model
    except ImportError as error:
        raise missing("arch", "fit a GARCH model") from error
    # arch wants a variance between 1 and 1000
    unit = 100 * float(returns.std()) ** -1 / 50
    model = arch_model(
        returns * unit, mean="Constant", vol="GARCH", p=1, o=1, q=1, dist=innovations, rescale=False
    )
    with warnings.catch_warnings():
        # what arch says of its optimiser is told by the estimates: bounds are looked at below
        warnings.simplefilter("ignore")
        fitted = model.fit(disp="off", show_warning=False)
        covariance = np.asarray(fitted.param_cov, np.float64)
    names = list(fitted.params.index)
    place = {name: names.index(f"{name}[1]") for name in ("alpha", "gamma", "beta")}
    values = {name: float(fitted.params.iloc[row]) for name, row in place.items()}
    values["alpha"] = max(values["alpha"], 0.0)
    values["gamma"] = max(values["gamma"], -values["alpha"])
    persistence = values["alpha"] + values["gamma"] / 2 + values["beta"]
    bound = persistence > _MOST_PERSISTENCE
    if bound:
        values["beta"] -= persistence - _MOST_PERSISTENCE
    values["mu"] = float(fitted.params["mu"]) / unit
    values["omega"] = float(fitted.params["omega"]) / unit**2
    values["bound"] = float(bound)
    # at a bound of the parameters the matrix need not be one of variances
    variances = np.clip(np.nan_to_num(np.diag(covariance), nan=0.25), 1e-10, 0.25)
    return values, {name: float(np.sqrt(variances[row])) for name, row in place.items()}


def fit_garch(sample: Sample) -> Estimate:
    """Estimate each asset's GARCH, and the correlation and tail of all innovations."""
    variances = fit_variances(sample)
    rows = np.isfinite(variances.residuals).all(axis=1)
    residuals = variances.residuals[rows]
    _, scatter = t_scatter(residuals, freedom_of(residuals))
    deviation = np.sqrt(np.diag(scatter))
    correlation = scatter / np.outer(deviation, deviation)
    # innovations have variance 1 by what a variance filter is, whatever their scatter says
    white = np.linalg.solve(np.linalg.cholesky(correlation), residuals.T).T
    freedom, error = freedom_given_covariance(white)
    annual = 1 / np.sqrt(sample.years)
    table: dict[str, Any] = {
        "interval": sample.interval,
        "degrees_of_freedom": freedom,
        "alpha": by_asset(sample.assets, variances.alpha),
        "gamma": by_asset(sample.assets, variances.gamma),
        "beta": by_asset(sample.assets, variances.beta),
        "initial_volatility": by_asset(sample.assets, np.sqrt(variances.next_variance) * annual),
    }
    parameters = Parameters(
        assets=sample.assets,
        mean=variances.mean,
        deviation=np.sqrt(variances.unconditional),
        correlation=correlation,
        years=sample.years,
        table=table,
    )
    size = len(sample.assets)
    errors = {name: by_asset(sample.assets, value) for name, value in variances.errors.items()}
    return Estimate(
        table=table,
        standard_errors={"degrees_of_freedom": error, **errors},
        parameters=parameters,
        scores=log_score(sample.common, parameters),
        count=5 * size + size * (size - 1) // 2 + 1,
        notes=persistence_notes(variances),
    )


def persistence_notes(variances: Variances) -> tuple[str, ...]:
    """Return what is to be said of variances that do not return."""
    return tuple(
        f"{asset}: alpha + gamma / 2 + beta came out above {_MOST_PERSISTENCE} and beta was lowered"
        f" to make it {_MOST_PERSISTENCE}: the history does not say what its variance returns to"
        for asset in variances.at_bound
    )


def log_score(returns: Floats, parameters: Parameters, *, going_on: bool = False) -> Floats:
    """Return each bar's log density given the bars before it, (bars,).

    Parameters
    ----------
    returns
        (bars, assets) log returns of consecutive bars.
    going_on
        Whether they follow on the history of the estimate, so that the first bar's variance is that
        of ``initial_volatility``; else it is their mean square.
    """
    freedom = float(parameters.table["degrees_of_freedom"])
    centred = returns - parameters.mean
    start = None
    if going_on:
        start = parameters.numbers("initial_volatility") ** 2 * parameters.years
    alpha, gamma, beta = (parameters.numbers(key) for key in ("alpha", "gamma", "beta"))
    variance = filtered_variance(
        centred, alpha, gamma, beta, target=parameters.deviation**2, start=start
    )[:-1]
    scatter = parameters.correlation * (freedom - 2) / freedom
    density = t_log_density(centred / np.sqrt(variance), scatter, freedom)
    return density - 0.5 * np.log(variance).sum(axis=1)
