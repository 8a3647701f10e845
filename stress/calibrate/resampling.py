"""What the models need that draw from the history itself: block lengths and a variance filter.

Block length of the stationary bootstrap: Politis and White (2004), with the correction of Patton,
Politis and White (2009), as in the package ``arch``; of the squared returns, whose memory is that
of the volatility, and the longest over the assets.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stress.calibrate.garch import fit_variances, persistence_notes
from stress.calibrate.sample import Estimate, Parameters, Sample, by_asset, missing
from stress.types import Floats

__all__ = ["block_length", "fit_bootstrap", "fit_filtered_historical"]


def block_length(returns: Floats) -> float:
    """Return the mean length of a block, in bars, for (bars, assets) returns without NaN.

    Raises
    ------
    InputError
        The package ``arch`` is not installed.
    """
    try:
        from arch.bootstrap import optimal_block_length
    except ImportError as error:
        raise missing("arch", "choose the length of blocks") from error
    squares = (returns - returns.mean(axis=0)) ** 2
    lengths = np.asarray(optimal_block_length(squares)["stationary"], np.float64)
    # at most an eighth of the history, so that a path is not one long copy of it
    return float(np.clip(np.nanmax(lengths), 1.0, max(len(returns) / 8, 1.0)))


def fit_bootstrap(sample: Sample) -> Estimate:
    """Choose the length of blocks; there is no density, so no likelihood."""
    block = block_length(sample.common)
    table = {"block": block}
    return Estimate(
        table=table,
        standard_errors={},
        parameters=_sampled(sample, table),
        scores=np.zeros(0),
        count=0,
        notes=("the history is its own law: there is no likelihood to compare",),
    )


def fit_filtered_historical(sample: Sample) -> Estimate:
    """Fit the filter by quasi-likelihood, which asks nothing of the law of the residuals."""
    variances = fit_variances(sample, innovations="normal")
    annual = np.sqrt(variances.next_variance / sample.years)
    table: dict[str, Any] = {
        "block": 1.0,
        "alpha": by_asset(sample.assets, variances.alpha),
        "gamma": by_asset(sample.assets, variances.gamma),
        "beta": by_asset(sample.assets, variances.beta),
        "initial_volatility": by_asset(sample.assets, annual),
    }
    errors = {name: by_asset(sample.assets, value) for name, value in variances.errors.items()}
    return Estimate(
        table=table,
        standard_errors=errors,
        parameters=_sampled(sample, table),
        scores=np.zeros(0),
        count=5 * len(sample.assets),
        notes=(
            "the residuals are their own law: there is no likelihood to compare",
            *persistence_notes(variances),
        ),
    )


def _sampled(sample: Sample, table: dict[str, Any]) -> Parameters:
    deviation = sample.common.std(axis=0)
    return Parameters(
        assets=sample.assets,
        mean=sample.common.mean(axis=0),
        deviation=deviation,
        correlation=np.atleast_2d(np.corrcoef(sample.common, rowvar=False)),
        years=sample.years,
        table=table,
    )
