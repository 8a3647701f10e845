"""What importance sampling gains: fifty random accounts, each with a stated rare probability.

The book: 50 accounts over 8 assets, one day in hourly steps, bridges. Volatilities are even between
0.4 and 1.2 a year, the correlation has one common factor. An account holds two to five assets, each
long with probability 0.6, of notionals that are lognormal; its cash is such that to first order it
is liquidated with the stated probability, ``2 Phi(-beta) = p``. Everything comes from ``SEED``.

``python -m benchmarks.importance`` prints, for p of 1e-3 and 1e-5, by how much the variance of one
path falls against plain sampling, per path and at equal run time. Plain sampling is a hit or none,
``p (1 - p)``; where it can be measured, also the weights of bridges that a plain run has. The
square error is also measured, from runs with other seeds, so that nothing rests on what the
estimator believes of itself.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from stress.runner.analyses.importance import weigh
from stress.runner.analyses.importance_design import design
from stress.runner.drive import drive, driver_over
from stress.runner.measured import nothing_measured
from stress.runner.prepare import Job, prepare
from stress.runner.progress import Silent
from stress.runner.simulate import job_spread
from stress.sampling.design_points import Terminal, design_points
from stress.scenario.load import load_scenario
from stress.scenario.schema import Scenario
from stress.types import Floats

__all__ = ["SEED", "documented_job", "documented_scenario", "ratios"]

SEED = 20_261_122
ACCOUNTS, ASSETS, STEPS = 50, 8, 24
RATE = 0.005
YEAR = 365.0


class _Book(NamedTuple):
    """``volatility`` (assets,), ``correlation``, ``price``; (accounts, assets) ``quantity``."""

    volatility: Floats
    correlation: Floats
    price: Floats
    quantity: Floats

    @classmethod
    def drawn(cls, accounts: int) -> _Book:
        rng = np.random.default_rng(SEED)
        volatility = rng.uniform(0.4, 1.2, ASSETS)
        factor = rng.uniform(0.6, 0.95, ASSETS)
        correlation = np.outer(factor, factor)
        np.fill_diagonal(correlation, 1.0)
        price = np.exp(rng.uniform(0, 10, ASSETS))
        notional = np.zeros((accounts, ASSETS))
        for row in notional:
            held = rng.choice(ASSETS, rng.integers(2, 6), replace=False)
            side = np.where(rng.random(len(held)) < 0.6, 1.0, -1.0)
            row[held] = side * rng.lognormal(10, 0.7, len(held))
        return cls(volatility, correlation, price, notional / price)

    def terminal(self, cash: Floats) -> Terminal:
        """Return the excess of the accounts at the horizon."""
        values, vectors = np.linalg.eigh(self.correlation)
        root = (vectors * np.sqrt(values)) @ vectors.T
        years = 1 / YEAR
        shape = self.quantity.shape
        return Terminal(
            price=self.price,
            mean=-(self.volatility**2) / 2 * years,
            root=self.volatility[:, None] * np.sqrt(years) * root,
            cash=cash,
            asset=np.broadcast_to(np.arange(ASSETS), shape),
            quantity=self.quantity,
            entry=np.broadcast_to(self.price, shape),
            rate=np.full((*shape, 1), RATE),
            amount=np.zeros((*shape, 1)),
        )

    def cash_for(self, probability: Floats) -> Floats:
        """Return (accounts,) the cash with which each has its first-order probability."""
        wanted = -ndtri(probability / 2)
        gross = (np.abs(self.quantity) * self.price).sum(axis=1)
        low, high = 0.006 * gross, gross
        for _ in range(30):
            cash = np.sqrt(low * high)
            points = design_points(self.terminal(cash))
            nearest = np.full(len(cash), np.inf)
            np.minimum.at(nearest, points.pool, points.distance)
            low, high = (
                np.where(nearest < wanted, cash, low),
                np.where(nearest < wanted, high, cash),
            )
        return np.sqrt(low * high)


def documented_scenario(
    folder: Path,
    probability: float | Floats,
    *,
    accounts: int = ACCOUNTS,
    paths: int,
    model: str = "gbm",
    **simulation: object,
) -> Scenario:
    """Write the book to a folder and return the scenario about it.

    Parameters
    ----------
    probability
        First-order probability of each account, or (accounts,) of them.
    """
    book = _Book.drawn(accounts)
    cash = book.cash_for(np.broadcast_to(np.asarray(probability, float), accounts))
    names = [f"account {number}" for number in range(accounts)]
    assets = [f"A{number}" for number in range(ASSETS)]
    _write(folder / "accounts.csv", ("account", "cash"), zip(names, cash, strict=True))
    _write(
        folder / "positions.csv",
        ("account", "asset", "quantity", "entry_price"),
        (
            (names[owner], assets[asset], book.quantity[owner, asset], book.price[asset])
            for owner, asset in np.argwhere(book.quantity)
        ),
    )
    raw = {
        "name": "documented",
        "simulation": {
            "horizon": "1d",
            "step": f"{86_400 // STEPS}s",
            "paths": paths,
            "monitoring": "bridge",
            "estimator": "importance",
            **simulation,
        },
        "analysis": {"curves": False},
        "market": {
            "model": model,
            "assets": assets,
            "price": dict(zip(assets, book.price.tolist(), strict=True)),
            "volatility": dict(zip(assets, book.volatility.tolist(), strict=True)),
            "correlation": book.correlation.tolist(),
        },
        "book": {"accounts": "accounts.csv", "positions": "positions.csv"},
        "venue": {
            "amount": "all",
            "tiers": {asset: [{"floor": 0.0, "rate": RATE}] for asset in assets},
        },
    }
    return load_scenario(raw, base=folder)


def _write(file: Path, header: Sequence[str], rows: Iterator[Sequence[object]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)


def documented_job(probability: float | Floats, **asked: object) -> Job:
    """Return the job of the documented book, ready to run."""
    with tempfile.TemporaryDirectory() as folder:
        return prepare(documented_scenario(Path(folder), probability, **asked))  # type: ignore[arg-type]


def with_seed(job: Job, seed: int) -> Job:
    """Return the same job with other draws."""
    simulation = job.scenario.simulation.model_copy(update={"seed": seed})
    return replace(job, scenario=job.scenario.model_copy(update={"simulation": simulation}))


class Ratios(NamedTuple):
    """Variance ratios, stated and measured, and estimates, (accounts,) each; seconds of both."""

    stated: Floats
    measured: Floats
    probability: Floats
    seconds: float
    plain_seconds: float
    plain_weights: Floats


def ratios(probability: float, paths: int, seeds: int) -> Ratios:
    """Run the documented book so many times and compare variances of one path."""
    job = documented_job(probability, paths=paths)
    plan, spread = design(job), job_spread(job)
    weigh(job, plan, spread)
    start = time.perf_counter()
    runs = [weigh(with_seed(job, 1000 + seed), plan, spread) for seed in range(seeds)]
    seconds = (time.perf_counter() - start) / seeds
    value = np.array([run.probability.value for run in runs])
    p = value.mean(axis=0)
    stated = p * (1 - p) / np.array([run.variance for run in runs]).mean(axis=0)
    measured = p * (1 - p) / (paths * value.var(axis=0, ddof=1))
    measure = nothing_measured(job)
    driver = driver_over(job, spread)
    start = time.perf_counter()
    drive(driver, measure, paths, Silent())
    plain = time.perf_counter() - start
    moments = measure.worlds[job.main_mode].by_account["liquidation"]
    return Ratios(stated, measured, p, seconds, plain, moments.variance)


def _said(name: str, values: Floats) -> str:
    low, middle, high = np.quantile(values, [0, 0.5, 1])
    return f"  {name:<44} median {middle:>9,.0f}   worst {low:>9,.0f}   best {high:>9,.0f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paths", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=40)
    options = parser.parse_args()
    for probability in (1e-3, 1e-5):
        found = ratios(probability, options.paths, options.seeds)
        slower = found.seconds / found.plain_seconds
        print(
            f"p about {probability:g}: estimates {found.probability.min():.3g} to "
            f"{found.probability.max():.3g}"
        )
        print(_said("variance ratio per path, stated", found.stated))
        print(_said(f"the same, measured over {options.seeds} seeds", found.measured))
        if probability * options.paths >= 10:
            gain = found.probability * (1 - found.probability) / found.plain_weights
            print(_said("stated, against a plain run's weights", found.stated / gain))
        print(_said("stated, at equal run time", found.stated / slower))
        print(
            f"  seconds for {options.paths:,} paths: {found.seconds:.2f}, plain "
            f"{found.plain_seconds:.2f} ({slower:.1f} times)"
        )


if __name__ == "__main__":
    main()
