"""The most likely fatal move: kernels, search and judge against cases solved by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_ndtr, ndtr
from scipy.stats import t as student

from stress.engine.reverse import Noise, Straight, crossings, log_move
from stress.market.gbm import GeometricBrownianMotion
from stress.market.jump_diffusion import DoubleExponentialSizes, JumpDiffusion, NormalSizes
from stress.market.overlay import Overlaid, Steps, lay
from stress.market.student_t import StudentT
from stress.measure.typical_path import Event
from stress.runner.analyses.reverse_law import Jump, Kind, law_of, sampled_law
from stress.runner.analyses.reverse_search import Point, Sought, field_of, points
from stress.runner.analyses.reverse_trial import Move, Trial, jump_size, nearest
from stress.runner.prepare import Job, prepare
from stress.runner.simulate import job_spread
from tests.truth.books import Asset, Owner, Position, write_book

Floats = NDArray[np.float64]

SIGMA, RHO, DAYS, STEPS, RATE = np.array([0.6, 0.8]), 0.8, 7, 8, 0.005
YEARS = DAYS / 365
OWNERS = (
    # long one asset, short the other, the same notional, 20 times each: solved below by hand
    Owner("pair", 10.0, (Position("A", 1.0), Position("B", -1.0))),
    Owner("long", 10.0, (Position("A", 1.0),)),
    Owner("short", 12.0, (Position("B", -1.0),)),
    # two pools: dies when one asset falls, and when the other one rises
    Owner("both ways", 0.0, (Position("A", 1.0, margin=12.0), Position("B", -1.0, margin=15.0))),
)
ROWS = {owner.name: row for row, owner in enumerate(OWNERS)}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Four accounts on two assets."""
    flat = ((0.0, RATE),)
    assets = [Asset(name, sigma, tiers=flat) for name, sigma in zip("AB", SIGMA, strict=True)]
    scenario = write_book(
        tmp_path_factory.mktemp("reverse"),
        assets,
        OWNERS,
        correlation=np.array([[1.0, RHO], [RHO, 1.0]]),
        paths=64,
        seed=3,
        precision="float64",
        days=DAYS,
        steps=STEPS,
    )
    return prepare(scenario)


@pytest.fixture(scope="module")
def sought(job: Job) -> Sought:
    """Return the question of each account's liquidation."""
    everybody = np.ones(len(OWNERS), bool)
    return Sought(field_of(job, everybody), np.eye(4), np.full(4, 0.5), annealed=False)


@pytest.fixture(scope="module")
def found(job: Job, sought: Sought) -> dict[str, list[Point]]:
    """Return the points of each account, nearest first."""
    kind = kind_of(job)
    return {
        name: sorted(
            (one for one in points(sought, kind, STEPS) if one.event == row),
            key=lambda one: one.radius,
        )
        for name, row in ROWS.items()
    }


def kind_of(job: Job) -> Kind:
    law = law_of(job.model, STEPS, job.setting.assets)
    assert law is not None
    (kind,) = law.kinds
    return kind


def moved(kind: Kind, point: Point) -> Floats:
    """Return (assets,) prices over the starting ones."""
    return np.exp(Move(kind, STEPS, point.direction).log_prices(point.radius))


@cache
def pair_by_hand() -> tuple[float, Floats]:
    """Return distance and prices of the pair's most likely end, on the line where excess is 0.

    ``10 + (A - 100) - (B - 100) - 0.005 (A + B) = 0`` gives B for each A; what is left is a search
    in one number for the smallest Mahalanobis distance of the two log prices.
    """
    mean = -(SIGMA**2) / 2 * YEARS
    covariance = np.outer(SIGMA, SIGMA) * np.array([[1, RHO], [RHO, 1]]) * YEARS

    def prices(first: float) -> Floats:
        return np.array([first, (0.10 + (1 - RATE) * first) / (1 + RATE)])

    def square(first: float) -> float:
        away = np.log(prices(first)) - mean
        return float(away @ np.linalg.solve(covariance, away))

    best = minimize_scalar(square, bounds=(0.5, 2.0), method="bounded", options={"xatol": 1e-12})
    return float(np.sqrt(best.fun)), prices(float(best.x))


def single(side: float, cash: float, sigma: float) -> float:
    """Return how far the barrier of one position is: ``|b - nu T| / s``."""
    barrier = (1 - side * cash / 100) / (1 - side * RATE)
    nu = -(sigma**2) / 2 * YEARS
    return abs(np.log(barrier) - nu) / (sigma * np.sqrt(YEARS))


class TestDesignPoints:
    def test_the_neutral_pair_by_hand(self, job: Job, found: dict[str, list[Point]]) -> None:
        distance, prices = pair_by_hand()
        # to the six digits to which the case is known elsewhere
        assert distance == pytest.approx(1.310273, abs=1e-6)
        assert prices == pytest.approx([1.01761, 1.106987], abs=1e-5)
        best = found["pair"][0]
        assert best.radius == pytest.approx(distance, rel=1e-4)
        assert moved(kind_of(job), best) == pytest.approx(prices, abs=2e-3)

    @pytest.mark.parametrize(
        ("name", "asset", "side", "cash"), [("long", 0, 1.0, 10.0), ("short", 1, -1.0, 12.0)]
    )
    def test_one_position_is_as_far_as_its_barrier(
        self, name: str, asset: int, side: float, cash: float, found: dict[str, list[Point]]
    ) -> None:
        distance = single(side, cash, SIGMA[asset])
        assert found[name][0].radius == pytest.approx(distance, rel=1e-4)

    def test_the_other_asset_goes_along_as_correlation_has_it(
        self, job: Job, found: dict[str, list[Point]]
    ) -> None:
        mean = -(SIGMA**2) / 2 * YEARS
        move = np.log(moved(kind_of(job), found["long"][0])) - mean
        assert move[1] / move[0] == pytest.approx(RHO * SIGMA[1] / SIGMA[0], rel=0.02)

    def test_two_ways_to_die_are_two_answers(self, job: Job, found: dict[str, list[Point]]) -> None:
        both = found["both ways"]
        falls = [one for one in both if moved(kind_of(job), one)[0] < 0.9]
        rises = [one for one in both if moved(kind_of(job), one)[1] > 1.1]
        assert falls[0].radius == pytest.approx(single(1.0, 12.0, SIGMA[0]), rel=1e-4)
        assert rises[0].radius == pytest.approx(single(-1.0, 15.0, SIGMA[1]), rel=1e-4)

    def test_a_share_of_the_book_is_where_the_last_account_it_needs_falls(
        self, job: Job, sought: Sought
    ) -> None:
        # long and "both ways" together: the further of their two barriers on A
        two = Sought(
            sought.field, np.array([[0.0], [0.5], [0.0], [0.5]]), np.array([0.75]), annealed=True
        )
        best = min(points(two, kind_of(job), STEPS), key=lambda one: one.radius)
        barriers = [single(1.0, cash, SIGMA[0]) for cash in (10.0, 12.0)]
        assert best.radius == pytest.approx(max(barriers), rel=1e-3)

    def test_a_student_t_has_the_same_directions(
        self, job: Job, sought: Sought, found: dict[str, list[Point]]
    ) -> None:
        model = StudentT.build(
            volatility=SIGMA,
            drift=np.zeros(2),
            correlation=np.array([[1.0, RHO], [RHO, 1.0]]),
            degrees_of_freedom=4.0,
            step_years=YEARS / STEPS,
            bar_steps=STEPS,
            precision="float64",
        )
        law = law_of(model, STEPS, job.setting.assets)
        assert law is not None
        other = [one for one in points(sought, law.kinds[0], STEPS) if one.event == 0]
        best = min(other, key=lambda one: one.radius)
        assert best.direction == pytest.approx(found["pair"][0].direction, abs=1e-9)
        assert best.radius == pytest.approx(found["pair"][0].radius, rel=1e-9)


def test_the_straight_way_is_the_likeliest_path() -> None:
    """Over all paths of noise into a loss, the least square sum is that of a straight one."""
    steps, root = 4, np.array([[0.3, 0.05], [0.05, 0.4]])
    mean = np.array([-0.01, 0.02])
    model = GeometricBrownianMotion(jnp.asarray(mean), jnp.asarray(root))

    @jax.jit
    @jax.value_and_grad
    def excess(flat: jax.Array) -> jax.Array:
        noise = flat.reshape(steps, 2)

        def one(level: jax.Array, normal: jax.Array) -> tuple[jax.Array, jax.Array]:
            _, log_return = model.step((), normal[:, None], jnp.zeros(1, jnp.uint32))
            level = level + log_return[:, 0]
            return level, level

        _, levels = jax.lax.scan(one, jnp.zeros(2), noise)
        prices = jnp.exp(levels)
        return (0.8 + prices[:, 0] - 1.2 * prices[:, 1]).min()

    best = minimize(
        lambda flat: (flat @ flat / 2, flat),
        np.random.default_rng(2).standard_normal(2 * steps),
        jac=True,
        method="SLSQP",
        constraints={
            "type": "ineq",
            "fun": lambda flat: -float(excess(flat)[0]),
            "jac": lambda flat: -np.asarray(excess(flat)[1]),
        },
        options={"ftol": 1e-14, "maxiter": 500},
    )
    noise = best.x.reshape(steps, 2)
    assert best.success
    assert noise == pytest.approx(np.broadcast_to(noise.mean(axis=0), noise.shape), abs=1e-4)
    # and the way of the kind of market is that path
    kind = Kind("normal", np.tile(mean, (steps, 1)), (root @ root.T)[None], np.zeros(steps, int))
    moved_by = root @ noise.sum(axis=0)
    assert kind.push(steps, moved_by)[0] == pytest.approx(root @ noise.mean(axis=0), abs=1e-4)


def test_a_ray_meets_every_barrier_where_it_is(job: Job, sought: Sought) -> None:
    root = np.diag(SIGMA) * np.sqrt(YEARS)
    zero: Any = jnp.zeros(())
    noise = Noise(jnp.zeros(2), jnp.asarray(root), jnp.zeros(2), zero, zero, zero)
    ray = jnp.asarray([[-1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    radii = jnp.broadcast_to(jnp.linspace(0.0, 4.0, 401)[:, None], (401, 2))
    crossed = np.asarray(crossings(noise, sought.field, ray, radii, accounts=4))
    fall = -np.log(0.90 / (1 - RATE)) / root[0, 0]
    rise = np.log(1.12 / (1 + RATE)) / root[1, 1]
    assert crossed[ROWS["long"], 0] == pytest.approx(fall, rel=1e-5)
    assert crossed[ROWS["short"], 1] == pytest.approx(rise, rel=1e-5)
    assert np.isinf(crossed[ROWS["short"], 0])


@pytest.fixture(scope="module")
def trial(job: Job) -> Trial:
    """Return the engine as judge of each account's liquidation."""
    events = tuple(Event(name, "account", account=row) for name, row in ROWS.items())
    notional = np.full(len(OWNERS), 200.0)
    return Trial(job, job_spread(job), events, notional, kind_of(job))


class TestJudge:
    def test_the_engine_confirms_the_distance(
        self, job: Job, trial: Trial, found: dict[str, list[Point]]
    ) -> None:
        best = [found[name][0] for name in ROWS]
        moves = [Move(kind_of(job), STEPS, one.direction) for one in best]
        rows = np.arange(len(moves))
        far = nearest(trial, moves, rows, np.array([one.radius for one in best]))
        assert far == pytest.approx([one.radius for one in best], rel=1e-4)
        # at that distance it happens, and a hair before it does not
        assert trial.happens(moves, far)[rows, rows].all()
        assert not trial.happens(moves, far * (1 - 1e-4))[rows, rows].any()

    def test_a_guess_far_off_is_mended(
        self, job: Job, trial: Trial, found: dict[str, list[Point]]
    ) -> None:
        best = found["long"][0]
        move = Move(kind_of(job), STEPS, best.direction)
        for guess in (0.2 * best.radius, 5 * best.radius):
            far = nearest(trial, [move], np.array([1]), np.array([guess]), rounds=8)
            assert far[0] == pytest.approx(best.radius, rel=1e-3)

    def test_what_never_happens_is_not_found(self, job: Job, trial: Trial) -> None:
        up = Move(kind_of(job), STEPS, np.array([1.0, 0.0, 0.0]))
        assert np.isinf(nearest(trial, [up], np.array([1]), np.ones(1), rounds=2))[0]


class TestStraight:
    def test_it_walks_the_mean_of_the_noise_given_its_end(self) -> None:
        """Two covariances in turn: the regression of every level on the last, done at once."""
        rng = np.random.default_rng(5)
        covariance = np.stack([root @ root.T for root in rng.normal(0, 0.1, (2, 2, 2))])
        which = np.array([0, 1, 1, 0, 1, 0])
        mean = rng.normal(0, 0.01, (6, 2))
        kind = Kind("normal", mean, covariance, which)
        end, last = np.array([0.3, -0.2]), 5
        model = Straight(
            mean=jnp.asarray(mean),
            push=jnp.asarray(kind.push(last, end)[:, :, None]),
            which=jnp.asarray(which),
            jump=jnp.asarray([[0.0], [0.05]]),
            last=jnp.asarray([last], jnp.int32),
        )
        state, level, levels = model.init(jnp.zeros(1)), np.zeros((2, 1)), []
        for _ in range(6):
            state, log_return = model.step(state, jnp.zeros((2, 1)), jnp.zeros(1))
            level = level + np.asarray(log_return)
            levels.append(level[:, 0])
        so_far = covariance[which].cumsum(axis=0)
        for step in range(1, 7):
            expected = so_far[min(step, last) - 1] @ np.linalg.solve(so_far[last - 1], end)
            expected = expected + mean[:step].sum(axis=0)
            expected[1] += 0.05 if step >= last else 0.0
            assert levels[step - 1] == pytest.approx(expected, rel=1e-12)

    def test_an_overlay_moves_the_mean_and_turns_the_noise(self) -> None:
        model = GeometricBrownianMotion(jnp.asarray([0.01, 0.0]), jnp.eye(2) * 0.1)
        twice = np.diag([2.0, 1.0])
        steps = Steps(
            mean=np.array([0.01, 0.0]),
            shift=np.zeros((4, 2)),
            jump=np.array([[0.0, 0.0], [-0.2, 0.0], [0.0, 0.0], [0.0, 0.0]]),
            maps=twice[None],
            which=np.array([-1, -1, 0, 0]),
        )
        law = law_of(Overlaid(model, lay(steps, "float64")), 4, ("A", "B"))
        assert law is not None
        (kind,) = law.kinds
        assert kind.mean_at(4) == pytest.approx([0.04 - 0.2, 0.0])
        assert kind.root_at(4) == pytest.approx(np.diag([np.sqrt(0.02 + 0.08), 0.2]))


class TestLaws:
    def test_the_probability_of_a_distance(self, job: Job) -> None:
        assert kind_of(job).probability(np.array(1.5), STEPS) == pytest.approx(ndtr(-1.5))

    @pytest.mark.parametrize("bars", [1, 4])
    def test_the_scale_of_a_student_t_is_averaged_over(self, bars: int) -> None:
        model = StudentT.build(
            volatility=np.array([0.5]),
            drift=np.zeros(1),
            correlation=np.eye(1),
            degrees_of_freedom=5.0,
            step_years=0.01,
            bar_steps=4 // bars,
            precision="float64",
        )
        law = law_of(model, 4, ("A",))
        assert law is not None
        chance = float(law.kinds[0].probability(np.array(3.0), 4))
        if bars == 1:
            assert chance == pytest.approx(student.sf(3.0 * np.sqrt(5 / 3), 5), rel=1e-3)
        else:
            rng = np.random.default_rng(1)
            draws = rng.standard_t(5, (400_000, bars)) * np.sqrt(3 / 5)
            counted = (draws.mean(axis=1) * np.sqrt(bars) > 3.0).mean()
            error = np.sqrt(counted / 400_000)
            assert abs(chance - counted) < 5 * error + 0.03 * chance

    def test_jumps_are_kinds_of_their_own(self) -> None:
        rate = np.array([20.0, 0.0, 10.0])
        shared: dict[str, Any] = {
            "volatility": np.array([0.8, 0.9]),
            "drift": np.zeros(2),
            "correlation": np.eye(2),
            "rate": rate,
            "exposure": np.array([1.0, 0.5]),
            "step_years": 0.001,
            "precision": "float64",
        }
        merton = NormalSizes(np.array([-0.05, 0.0, 0.01]), np.array([0.04, 0.03, 0.02]))
        model = JumpDiffusion.build(sizes=merton, **shared)
        law = law_of(model, 10, ("A", "B"))
        assert law is not None
        assert [kind.name for kind in law.kinds] == ["no jump", "common jump", "jump of B"]
        common = law.kinds[1]
        assert common.jump is not None
        assert common.jump.rate == pytest.approx(0.02, rel=1e-5)
        assert jump_size(common, 2.0) == pytest.approx(np.array([0.03, 0.015]))
        expected = -np.expm1(-0.2) * ndtr(-2.0)
        assert common.probability(np.array(2.0), 10) == pytest.approx(expected, rel=1e-5)
        kou = DoubleExponentialSizes(np.array([0.4] * 3), np.full(3, 0.02), np.full(3, 0.03))
        sides = law_of(JumpDiffusion.build(sizes=kou, **shared), 10, ("A", "B"))
        assert sides is not None
        up, down = sides.kinds[1:3]
        # a normal of 1.5 and the exponential of the same probability
        size = -np.log(ndtr(-1.5))
        assert jump_size(up, 1.5) == pytest.approx(0.02 * size * np.array([1.0, 0.5]))
        assert jump_size(down, 1.5) == pytest.approx(-0.03 * size * np.array([1.0, 0.5]))
        assert size == pytest.approx(-float(log_ndtr(-1.5)))

    def test_a_jump_is_the_likelier_way_where_it_is(self, job: Job, sought: Sought) -> None:
        """One common jump of mean -8 percent nearly reaches the barrier without any noise."""
        calm = replace(kind_of(job), covariance=kind_of(job).covariance / 100)
        with_jump = replace(calm, jump=_falling(), name="common jump")
        row = ROWS["long"]
        near = {
            kind.name: min(one.radius for one in points(sought, kind, STEPS) if one.event == row)
            for kind in (calm, with_jump)
        }
        # by hand: what the mean of the jump leaves to the barrier, over all the variance there is
        left = np.log(0.90 / (1 - RATE)) - calm.mean_at(STEPS)[0] + 0.08
        total = np.sqrt(calm.root_at(STEPS)[0] @ calm.root_at(STEPS)[0] + 0.05**2)
        expected = -left / total
        assert near["common jump"] == pytest.approx(expected, rel=1e-3)
        assert near["normal"] > 10 * near["common jump"]

    def test_an_unknown_model_is_described_by_its_paths(self) -> None:
        rng = np.random.default_rng(4)
        levels = rng.normal(0.02, 0.1, (500, 2)) @ np.array([[1.0, 0.3], [0.0, 1.0]])
        law = sampled_law(levels, 10)
        assert law is not None
        (kind,) = law.kinds
        assert kind.mean_at(10) == pytest.approx(levels.mean(axis=0))
        root = kind.root_at(10)
        assert root @ root == pytest.approx(np.cov(levels, rowvar=False))
        assert np.isnan(kind.probability(np.array(1.0), 10))
        assert sampled_law(levels[:20], 10) is None

    def test_the_noise_is_the_kind(self, job: Job) -> None:
        """The kernel and the host agree on where a point is."""
        kind = replace(kind_of(job), jump=_falling())
        point = np.array([0.3, -0.4, 1.2])
        way = Move(kind, STEPS, point / np.linalg.norm(point))
        jump = kind.jump
        assert jump is not None
        noise = Noise(
            *(
                jnp.asarray(number)
                for number in (
                    kind.mean_at(STEPS),
                    kind.root_at(STEPS),
                    jump.exposure,
                    jump.location,
                    jump.scale,
                    jump.tail,
                )
            )
        )
        there = np.asarray(log_move(noise, jnp.asarray(point)[:, None]))[:, 0]
        assert way.log_prices(float(np.linalg.norm(point))) == pytest.approx(there, rel=1e-12)


def _falling() -> Jump:
    return Jump(rate=0.05, exposure=np.ones(2), location=-0.08, scale=0.05)


def test_the_reference_pair_has_the_stated_noise() -> None:
    """In the coordinates of a triangular root the pair's point is (0.251635, 1.285883)."""
    distance, prices = pair_by_hand()
    triangular = np.linalg.cholesky(np.array([[1, RHO], [RHO, 1]]))
    scaled = (np.log(prices) + SIGMA**2 / 2 * YEARS) / (SIGMA * np.sqrt(YEARS))
    noise = np.linalg.solve(triangular, scaled)
    assert noise == pytest.approx([0.251635, 1.285883], abs=2e-6)
    assert np.linalg.norm(noise) == pytest.approx(distance)
