"""Histories whose law is known, in plain NumPy, and how often intervals hold the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stress.calibrate.fit import fit
from stress.data.prices import PriceHistory
from stress.types import Floats, ModelName

ASSETS = ("A", "B", "C")
DEVIATION = np.array([0.03, 0.04, 0.06])
CORRELATION = np.array([[1.0, 0.8, 0.5], [0.8, 1.0, 0.6], [0.5, 0.6, 1.0]])
ROOT = np.linalg.cholesky(CORRELATION)
ANNUAL = 365**0.5
Z = 1.959963984540054

Draw = Callable[[np.random.Generator, int], Floats]
Truth = dict[str, float]
Read = Callable[
    [Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]], dict[str, tuple[float, float]]
]


def history(returns: Floats, assets: tuple[str, ...] = ASSETS, **columns: Any) -> PriceHistory:
    """Daily closes whose (bars, assets) log returns these are."""
    start = np.zeros((1, returns.shape[1]))
    close = 100 * np.exp(np.cumsum(np.vstack([start, returns]), axis=0))
    return PriceHistory(
        source=Path("/history.csv"),
        sha256="0" * 64,
        assets=assets,
        timestamps=np.datetime64("2015-01-01", "ms")
        + np.timedelta64(1, "D") * np.arange(len(close)),
        close=close,
        duplicates=np.zeros(len(assets), dtype=np.int64),
        out_of_order=0,
        **columns,
    )


def normal(generator: np.random.Generator, bars: int) -> Floats:
    return DEVIATION * (generator.standard_normal((bars, 3)) @ ROOT.T)


def student(generator: np.random.Generator, bars: int) -> Floats:
    mixing = 3.0 / generator.chisquare(5.0, bars)
    return np.sqrt(mixing)[:, None] * normal(generator, bars)


SKEWNESS = np.array([-0.2, -0.1, 0.05])


def skewed(generator: np.random.Generator, bars: int) -> Floats:
    freedom = 7.0
    mean = freedom / (freedom - 2)
    variance = 2 * freedom**2 / ((freedom - 2) ** 2 * (freedom - 4))
    root = np.linalg.cholesky((CORRELATION - variance * np.outer(SKEWNESS, SKEWNESS)) / mean)
    mixing = freedom / generator.chisquare(freedom, bars)[:, None]
    noise = generator.standard_normal((bars, 3)) @ root.T
    return DEVIATION * (SKEWNESS * (mixing - mean) + np.sqrt(mixing) * noise)


ALPHA, GAMMA, BETA = 0.06, 0.06, 0.88


def clustered(generator: np.random.Generator, bars: int) -> Floats:
    target = DEVIATION**2
    variance, early = target.copy(), 500
    returns = np.empty((bars + early, 3))
    for bar in range(bars + early):
        mixing = 4.0 / generator.chisquare(6.0)
        shock = np.sqrt(mixing * variance) * (ROOT @ generator.standard_normal(3))
        returns[bar] = shock
        variance = (
            target * (1 - ALPHA - GAMMA / 2 - BETA)
            + (ALPHA + GAMMA * (shock < 0)) * shock**2
            + BETA * variance
        )
    return returns[early:]


TRANSITION = np.array([[0.97, 0.03], [0.08, 0.92]])
CALM, STRESS = np.array([0.02, 0.03, 0.04]), np.array([0.05, 0.06, 0.10])
TOGETHER = 0.3 * CORRELATION + 0.7 * (0.9 + 0.1 * np.eye(3))


def switching(generator: np.random.Generator, bars: int) -> Floats:
    roots = (CALM[:, None] * ROOT, STRESS[:, None] * np.linalg.cholesky(TOGETHER))
    state, returns = 0, np.empty((bars, 3))
    for bar in range(bars):
        state = state if generator.random() < TRANSITION[state, state] else 1 - state
        returns[bar] = roots[state] @ generator.standard_normal(3)
    return returns


EXPOSURE = DEVIATION / DEVIATION.mean()
COMMON = {"rate": 0.05, "mean": -0.04, "deviation": 0.08}
OWN_RATE, OWN_DEVIATION = 0.05, 0.08
DIFFUSION = 0.8 * DEVIATION


def jumping(generator: np.random.Generator, bars: int) -> Floats:
    """Common jumps with the exposures that the total variances have, and own ones."""
    common = np.array(
        [
            generator.normal(COMMON["mean"], COMMON["deviation"], count).sum()
            for count in generator.poisson(COMMON["rate"], bars)
        ]
    )
    counts = generator.poisson(OWN_RATE, (bars, 3))
    own = np.sqrt(counts) * OWN_DEVIATION * EXPOSURE * generator.standard_normal((bars, 3))
    noise = DIFFUSION * (generator.standard_normal((bars, 3)) @ ROOT.T)
    return noise + common[:, None] * EXPOSURE + own


def _jump_truth() -> Truth:
    common = COMMON["rate"] * (COMMON["mean"] ** 2 + COMMON["deviation"] ** 2) * EXPOSURE**2
    own = OWN_RATE * (OWN_DEVIATION * EXPOSURE) ** 2
    share = (common + own) / (common + own + DIFFUSION**2)
    return {
        **{f"jump share {asset}": float(share[row]) for row, asset in enumerate(ASSETS)},
        **{
            f"common share {asset}": float((common / (common + own))[row])
            for row, asset in enumerate(ASSETS)
        },
    }


def _freedom(
    table: Mapping[str, Any], errors: Mapping[str, Any], _: Any
) -> dict[str, tuple[float, float]]:
    return {"freedom": (table["degrees_of_freedom"], errors["degrees_of_freedom"])}


def _by_asset(key: str) -> Read:
    def read(table: Any, errors: Any, _: Any) -> dict[str, tuple[float, float]]:
        return {f"{key} {asset}": (table[key][asset], errors[key][asset]) for asset in ASSETS}

    return read


def _regime(table: Any, errors: Any, _: Any) -> dict[str, tuple[float, float]]:
    found = {}
    for state, wide in zip(table["states"], errors["states"], strict=True):
        for asset in ASSETS:
            key = f"{state['name']} {asset}"
            found[key] = (state["volatility"][asset], wide["volatility"][asset])
        found[f"{state['name']} A-C"] = (state["correlation"][2][0], wide["correlation"][2][0])
    for one in (0, 1):
        found[f"leaves {one}"] = (
            table["transition"][one][1 - one],
            errors["transition"][one][1 - one],
        )
    return found


def _jumps(_: Any, __: Any, described: Any) -> dict[str, tuple[float, float]]:
    return {
        f"{name} share {asset}": (
            described[f"{name}_share"][asset],
            described[f"{name}_share_standard_error"][asset],
        )
        for name in ("jump", "common")
        for asset in ASSETS
    }


@dataclass(frozen=True)
class Case:
    """A model, a history of it, the numbers it was made with and how they are read."""

    model: ModelName
    draw: Draw
    bars: int
    truth: Truth
    read: tuple[Read, ...]


CASES = {
    case.model: case
    for case in (
        Case("student-t", student, 1200, {"freedom": 5.0}, (_freedom,)),
        Case(
            "skewed-t",
            skewed,
            1500,
            {
                "freedom": 7.0,
                **{f"skewness {a}": float(b) for a, b in zip(ASSETS, SKEWNESS, strict=True)},
            },
            (_freedom, _by_asset("skewness")),
        ),
        Case("jump-diffusion", jumping, 1500, _jump_truth(), (_jumps,)),
        Case(
            "garch",
            clustered,
            2000,
            {
                "freedom": 6.0,
                **{
                    f"{key} {asset}": value
                    for key, value in (("alpha", ALPHA), ("gamma", GAMMA), ("beta", BETA))
                    for asset in ASSETS
                },
            },
            (_freedom, _by_asset("alpha"), _by_asset("gamma"), _by_asset("beta")),
        ),
        Case(
            "regime",
            switching,
            1500,
            {
                **{f"calm {a}": float(v) * ANNUAL for a, v in zip(ASSETS, CALM, strict=True)},
                **{f"stress {a}": float(v) * ANNUAL for a, v in zip(ASSETS, STRESS, strict=True)},
                "calm A-C": float(CORRELATION[2, 0]),
                "stress A-C": float(TOGETHER[2, 0]),
                "leaves 0": 0.03,
                "leaves 1": 0.08,
            },
            (_regime,),
        ),
    )
}


def standardised(case: Case, seed: int, bars: int | None = None) -> dict[str, float]:
    """By parameter: estimate less truth, over the standard error, for one history."""
    generator = np.random.default_rng([seed, 7])
    found = fit(history(case.draw(generator, bars or case.bars)), [case.model], remove_wicks=False)
    estimates: dict[str, tuple[float, float]] = {}
    for read in case.read:
        estimates |= read(
            found.models[case.model],
            found.standard_errors[case.model],
            found.fits[case.model],
        )
    assert estimates.keys() == case.truth.keys()
    return {key: (value - case.truth[key]) / error for key, (value, error) in estimates.items()}
