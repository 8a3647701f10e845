"""Two accounts on one path: joint liquidations against two-dimensional closed forms.

Hits are drawn from bridges that share one normal per asset and step. That gives two barriers on one
asset and side their exact joint law. For others it is an approximation of what goes on inside a
step, and long steps show it: over half a week two accounts that fall together are right to half a
percent, where independent draws would be 2 to 5 % low. Two that move apart cannot both be hit in
one step: with two steps a week "both" is up to 8 % low, and it is asked for from four steps on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import stress
from tests.reference import barrier, joint

from .books import Asset, Owner, Position, correlated_pairs, values, write_book
from .problems import FLAT, YEAR
from .scores import binomial_scores, check_each

Floats = NDArray[np.float64]
Side = Literal["long", "short"]
SIDES: tuple[Side, Side] = ("long", "short")

SEED = 20_261_130
DAYS = 7
PRICE, SIZE = 100.0, 10.0
LEVERAGES = (10.0, 8.0)
VOLATILITIES = (0.6, 0.8)
RUNS = ((2, 100_000), (4, 200_000), (32, 50_000))
"""Steps and paths."""


@dataclass(frozen=True)
class Pair:
    """Two accounts on two assets."""

    sides: tuple[Side, Side]
    correlation: float

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return f"{self.sides[0]}-{self.sides[1]}-{self.correlation:+g}"

    @property
    def falls_together(self) -> bool:
        """Whether what brings the one to its barrier brings the other to its own."""
        return (self.correlation > 0) == (self.sides[0] == self.sides[1])

    def truth(self) -> joint.Joint:
        """Probabilities of a liquidation of the first, the second, at least one, both."""
        levels = [liquidation_price(*terms) for terms in zip(self.sides, LEVERAGES, strict=True)]
        return joint.joint(
            (PRICE, PRICE),
            (levels[0], levels[1]),
            VOLATILITIES,
            (0.0, 0.0),
            self.correlation,
            DAYS / YEAR,
        )


PAIRS = (
    Pair(("long", "long"), 0.8),
    Pair(("long", "short"), 0.8),
    Pair(("short", "short"), -0.5),
    Pair(("short", "long"), -0.5),
)
NAMES = [pair.name for pair in PAIRS]


def liquidation_price(side: Side, leverage: float) -> float:
    """Return where a position of that side and leverage is liquidated."""
    return barrier.liquidation_price(side, PRICE, SIZE, PRICE * SIZE / leverage, FLAT)


def owner(name: str, asset: str, side: Side, leverage: float) -> Owner:
    """Return an account of one position that is a group by itself."""
    quantity = SIZE if side == "long" else -SIZE
    cash = PRICE * SIZE / leverage
    return Owner(name, cash, (Position(asset, quantity, PRICE),), group=name)


def run_pairs(folder: Path, steps: int, paths: int) -> xr.DataTree:
    """Run all pairs, and a long and a short of one asset, each independent of the others."""
    assets, owners = [], []
    for pair in PAIRS:
        terms = zip("ab", pair.sides, LEVERAGES, VOLATILITIES, strict=True)
        for letter, side, leverage, volatility in terms:
            name = f"{pair.name}-{letter}"
            assets.append(Asset(name, volatility))
            owners.append(owner(name, name, side, leverage))
    assets.append(Asset("corridor", VOLATILITIES[0]))
    owners += [owner(f"corridor-{side}", "corridor", side, LEVERAGES[0]) for side in SIDES]
    scenario = write_book(
        folder,
        assets,
        owners,
        correlation=correlated_pairs([pair.correlation for pair in PAIRS], len(assets)),
        monitoring="bridge",
        days=DAYS,
        steps=steps,
        paths=paths,
        seed=SEED + steps,
    )
    return stress.run(scenario)


def corridor_truth(longs: float, shorts: float) -> tuple[float, float, float]:
    """Return P(either), P(both) and P(the long one) of a long and a short of one asset."""
    ends = liquidation_price("long", longs), liquidation_price("short", shorts)
    either = barrier.corridor(PRICE, *ends, VOLATILITIES[0], 0.0, DAYS / YEAR)
    alone = [barrier.continuous(PRICE, end, VOLATILITIES[0], 0.0, DAYS / YEAR) for end in ends]
    return either, sum(alone) - either, alone[0]


@pytest.mark.parametrize(
    ("steps", "paths"),
    [*(pytest.param(*run, marks=pytest.mark.slow) for run in RUNS[:2]), RUNS[2]],
)
def test_two_accounts(tmp_path: Path, steps: int, paths: int) -> None:
    """Both, either and the first of two accounts, on the same side and on opposite sides."""
    tree = run_pairs(tmp_path, steps, paths)
    together = values(tree, "groups", "joint_liquidation_probability")[0]
    each = values(tree, "groups", "any_liquidation_probability")[0]
    assert np.array_equal(together, together.T)
    assert np.allclose(np.diag(together), each, rtol=0, atol=1e-12)

    asked = [pair.falls_together or steps > 2 for pair in PAIRS] + [True]
    names = [name for name, wanted in zip((*NAMES, "corridor"), asked, strict=True) if wanted]
    first = 2 * np.flatnonzero(asked)
    both, alone = together[first, first + 1], each[first]
    either = alone + each[first + 1] - both
    laws = [pair.truth() for pair in PAIRS]
    truth = np.array(
        [
            *((law.any, law.both, law.first) for law in laws),
            corridor_truth(LEVERAGES[0], LEVERAGES[0]),
        ]
    )[asked].T
    for found, known in zip((either, both, alone), truth, strict=True):
        check_each(binomial_scores(found, known, paths), names)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    """Run accounts on one asset, every outcome kept: three longs, and two shorts of two sizes."""
    asset = [Asset("X", VOLATILITIES[0])]
    owners = [
        owner("near-long", "X", "long", 14.0),
        owner("long", "X", "long", 10.0),
        owner("far-long", "X", "long", 6.0),
        owner("short", "X", "short", 12.0),
        Owner("big-short", 400.0, (Position("X", -5 * SIZE, PRICE),), group="big-short"),
    ]
    scenario = write_book(
        tmp_path_factory.mktemp("shared"),
        asset,
        owners,
        monitoring="bridge",
        days=DAYS,
        steps=48,
        paths=20_000,
        seed=SEED + 1_000,
        detail=True,
    )
    return stress.run(scenario)


@pytest.mark.slow
class TestOneAsset:
    """Accounts that watch the same price."""

    @pytest.mark.parametrize(
        ("near", "far"),
        [("near-long", "long"), ("long", "far-long"), ("near-long", "far-long")],
    )
    def test_the_nearer_barrier_is_reached_first(
        self, shared: xr.DataTree, near: str, far: str
    ) -> None:
        """On every path: whoever is further away is never liquidated before the other."""
        steps = shared["detail"]["liquidation_step"]
        first, second = steps.sel(account=near).to_numpy(), steps.sel(account=far).to_numpy()
        fallen = second >= 0
        assert 100 < fallen.sum() < np.sum(first >= 0)
        assert np.all(first[fallen] >= 0)
        assert np.all(first[fallen] <= second[fallen])

    def test_so_do_shorts_of_other_sizes(self, shared: xr.DataTree) -> None:
        """12.5x against 12x: the barriers lie close, and size does not matter."""
        steps = shared["detail"]["liquidation_step"]
        first = steps.sel(account="big-short").to_numpy()
        second = steps.sel(account="short").to_numpy()
        assert np.all(first[second >= 0] >= 0)
        assert np.all(first[second >= 0] <= second[second >= 0])

    def test_joint_probability_is_that_of_the_rarer(self, shared: xr.DataTree) -> None:
        """Exactly, not within an error."""
        groups = shared["groups"]
        together = groups["joint_liquidation_probability"]
        alone = groups["any_liquidation_probability"]
        for near, far in (("near-long", "long"), ("long", "far-long"), ("big-short", "short")):
            both = float(together.sel(group=near, other_group=far))
            assert both == pytest.approx(float(alone.sel(group=far)), rel=1e-12)
            assert both < float(alone.sel(group=near))

    def test_corridor(self, shared: xr.DataTree) -> None:
        """A long and a short: at least one is liquidated when the price leaves the corridor."""
        groups = shared["groups"]
        alone = groups["any_liquidation_probability"]
        both = groups["joint_liquidation_probability"].sel(group="long", other_group="short")
        either = float(alone.sel(group="long") + alone.sel(group="short") - both)
        known = np.array(corridor_truth(10.0, 12.0)[:2])
        scores = binomial_scores(np.array([either, float(both)]), known, 20_000)
        check_each(scores, ["either", "both"])
