"""Random books and violent prices for the cascade: files for the program, plain objects for a twin.

Every book has the same accounts in the same places (twelve, ``_KINDS``): the numbers differ, the
shapes do not, so that a kernel is compiled once for each set of rules. ``covering`` returns sets of
rules in which every pair of choices occurs together somewhere.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import stress
from stress.scenario.schema import Scenario
from tests.reference.cascade import PlainAccount, PlainBook, PlainPosition, PlainVenue

__all__ = [
    "ASSETS",
    "CHOICES",
    "LAWS",
    "PATHS",
    "STEPS",
    "Case",
    "Decision",
    "Plan",
    "Written",
    "all_pairs",
    "backstops",
    "covering",
    "pairs",
    "plain_book",
    "plain_venue",
    "plans",
    "price_paths",
    "scenario_of",
    "write_case",
]

Floats = NDArray[np.float64]
Decision = tuple[str, int, int]
"""Kind, delay in steps, shards."""

ASSETS = ("ONE", "TWO", "TEN", "COIN")
"""COIN has no positions: it only serves as collateral."""
TRADED = 3
PRICE = (128.0, 60_000.0, 2_500.0, 0.75)
VOLATILITY = (0.9, 0.6, 0.8, 1.3)
HAIRCUT = (0.05, 0.0, 0.1, 0.4)
TIERS: tuple[tuple[tuple[float, float], ...], ...] = (
    # floors of ONE are whole numbers of its units, so that a pool can stand exactly on an edge
    ((0.0, 0.015625), (65_536.0, 0.03125), (262_144.0, 0.0625)),
    ((0.0, 0.004), (50_000.0, 0.01), (400_000.0, 0.05)),
    ((0.0, 0.01), (30_000.0, 0.02), (200_000.0, 0.1)),
)
MARGIN_LEVEL = 0.03
SHARDS = {2: (0, 1, 1, 0), 3: (0, 1, 2, 1)}
FUNDS = {"empty": 0.0, "small": 4_000.0, "large": 1e7}
FUNDING_RATE = (0.001, -0.0005, 0.002, 0.0)
ADV = (6e6, 1.2e7, 8e6, 1.5e6)
DEPTH_1PCT = (1.5e5, 3e5, 2e5, 4e4)
STEPS = 27
PATHS = 4
STEP = "30min"
YEARS = {"30min": 1_800 / 31_536_000, "1h": 3_600 / 31_536_000, "4h": 14_400 / 31_536_000}


@dataclass(frozen=True)
class Case:
    """The rules of a venue, one choice of each factor; ``decision`` is kind, delay, shards."""

    order: str = "largest-loss"
    amount: str = "restore"
    impact: str = "square-root"
    permanent: float = 0.4
    relaxation: str = "1h"
    elasticity: float = 0.0
    backstop: str = "none"
    fund: str = "small"
    decision: Decision = ("leader", 0, 1)
    controls: str = "none"
    trigger: str = "maintenance"
    rounds: int = 8
    funding: int = 0
    fee: float = 0.004
    buffer: float = 0.05
    step_fraction: float = 0.25

    @property
    def label(self) -> str:
        """The choices in one word, for the name of a test."""
        kind, delay, shards = self.decision
        parts = (self.order, self.amount, self.impact, self.backstop, self.fund)
        return "-".join([*parts, kind, f"{delay}of{shards}", self.controls, f"r{self.rounds}"])


CHOICES: dict[str, tuple[Any, ...]] = {
    "order": ("largest-loss", "largest-margin", "largest-notional", "pro-rata"),
    "amount": ("restore", "step", "tier", "position", "all"),
    "impact": ("none", "linear", "square-root"),
    "permanent": (0.0, 0.4, 1.0),
    "relaxation": ("1h", "4h"),
    "elasticity": (0.0, 0.6),
    "backstop": ("none", "socialised", "auto-deleverage"),
    "fund": ("empty", "small", "large"),
    "decision": (
        ("leader", 0, 1),
        ("leader", 1, 1),
        ("leader", 3, 1),
        ("sharded", 0, 2),
        ("sharded", 1, 3),
        ("sharded", 2, 2),
        ("sharded", 2, 3),
    ),
    "controls": ("none", "stops", "top-ups", "both"),
    "trigger": ("maintenance", "margin-level"),
    "rounds": (1, 2, 8),
    "funding": (0, 4),
    "fee": (0.0, 0.004, 0.03),
    "buffer": (0.0, 0.05, 0.5),
    "step_fraction": (0.2, 0.5, 1.0),
}


# --- sets of rules --------------------------------------------------------------------------------

Choices = Mapping[str, tuple[Any, ...]]
_Pair = tuple[tuple[str, Any], tuple[str, Any]]


def pairs(case: Mapping[str, Any]) -> set[_Pair]:
    """Return the pairs of choices that occur together in a case, factors in the order given."""
    return set(combinations(case.items(), 2))


def _refused(case: Mapping[str, Any]) -> bool:
    return case["order"] == "pro-rata" and case["amount"] in ("tier", "position")


def all_pairs(choices: Choices) -> set[_Pair]:
    """Return all pairs of choices that a case can have."""
    wanted = set()
    for (one, ones), (other, others) in combinations(choices.items(), 2):
        for value, second in product(ones, others):
            pair = {"order": None, "amount": None, one: value, other: second}
            if not _refused(pair):
                wanted.add(((one, value), (other, second)))
    return wanted


def covering(seed: int = 0, tries: int = 40) -> list[Case]:
    """Return cases in which every pair of choices that is not refused occurs."""
    return [Case(**case) for case in _covering(CHOICES, np.random.default_rng(seed), tries)]


def _covering(choices: Choices, rng: np.random.Generator, tries: int) -> list[dict[str, Any]]:
    """Return choices in which every pair occurs that is not refused, found greedily.

    Each next case begins with a pair that is still missing and is the best of ``tries`` random
    completions, each bettered choice by choice.
    """
    missing = all_pairs(choices)
    found = []
    while missing:
        start = dict(sorted(missing, key=repr)[int(rng.integers(len(missing)))])
        candidates = [_completed(choices, rng, start, missing) for _ in range(tries)]
        best = max(candidates, key=lambda case: len(pairs(case) & missing))
        missing -= pairs(best)
        found.append(best)
    return found


def _completed(
    choices: Choices, rng: np.random.Generator, start: Mapping[str, Any], missing: set[_Pair]
) -> dict[str, Any]:
    """Return a case with the choices of ``start``, others drawn, in the order of ``choices``."""
    while True:
        case = {
            name: start[name] if name in start else values[int(rng.integers(len(values)))]
            for name, values in choices.items()
        }
        if not _refused(case):
            break
    for name in rng.permutation([name for name in choices if name not in start]):
        options = [{**case, str(name): value} for value in choices[str(name)]]
        allowed = [option for option in options if not _refused(option)]
        gains = [len(pairs(option) & missing) for option in allowed]
        best = [option for option, gain in zip(allowed, gains, strict=True) if gain == max(gains)]
        case = best[int(rng.integers(len(best)))]
    return case


LAWS = ("none", "linear", "square-root")

DECISIONS: tuple[tuple[Decision, ...], ...] = (
    (("leader", 0, 1),),
    (("leader", 1, 1), ("sharded", 1, 3)),
    (("sharded", 2, 2), ("sharded", 2, 3), ("leader", 0, 1)),
    (("leader", 3, 1), ("sharded", 0, 2)),
)
"""Decision rules that can stand side by side in one kernel: all that are late are equally late."""

STRUCTURES: Choices = {
    "order": CHOICES["order"],
    "amount": CHOICES["amount"],
    "elasticity": CHOICES["elasticity"],
    "backstop": CHOICES["backstop"],
    "decisions": DECISIONS,
    "controls": CHOICES["controls"],
    "rounds": CHOICES["rounds"],
    "funding": CHOICES["funding"],
    "everyone": (False, True),
}
"""What a kernel is compiled for; the other choices are numbers that it is given."""


@dataclass(frozen=True)
class Plan:
    """Books that share one compiled kernel.

    ``everyone``: whether every pool is judged at every look. ``variants``: laws and decisions side
    by side, the first decision under every law. ``books``: the rules of each book; their ``impact``
    and ``decision`` are those of the first variant.
    """

    everyone: bool
    variants: tuple[tuple[str, Decision], ...]
    books: tuple[Case, ...]

    @property
    def label(self) -> str:
        """The structure in one word, for the name of a test."""
        case = self.books[0]
        parts = (case.order, case.amount, case.backstop, *self.variants[0][1][:2], case.controls)
        return "-".join([*map(str, parts), f"r{case.rounds}", "all" if self.everyone else "some"])

    def rules(self, case: Case) -> list[Case]:
        """Return the rules of a book in each variant."""
        return [replace(case, impact=law, decision=decision) for law, decision in self.variants]


def plans(books: int, seed: int = 0, tries: int = 40) -> list[Plan]:
    """Return kernels in which every two choices of structure meet, ``books`` books for each.

    The numbers of each book are those that make most new pairs, structure included.
    """
    rng = np.random.default_rng(seed)
    missing = all_pairs(CHOICES)
    found = []
    for number, structure in enumerate(_covering(STRUCTURES, rng, tries)):
        group = structure["decisions"]
        ways = group[number % len(group) :] + group[: number % len(group)]
        others = [(LAWS[(number + k) % len(LAWS)], way) for k, way in enumerate(ways[1:])]
        variants = (*((law, ways[0]) for law in LAWS), *others)
        fixed = {name: structure[name] for name in STRUCTURES if name in CHOICES}
        fixed |= {"impact": LAWS[0], "decision": ways[0]}
        plan = Plan(structure["everyone"], variants, ())
        for _ in range(books):
            case = Case(**_completed(CHOICES, rng, fixed, missing))
            for rules in plan.rules(case):
                missing -= pairs({name: getattr(rules, name) for name in CHOICES})
            plan = replace(plan, books=(*plan.books, case))
        found.append(plan)
    return found


def backstops(seed: int = 0) -> list[Case]:
    """Return cases in which the fund runs dry: deleveraging under every decision, socialisation.

    In ``covering`` few cases have both a backstop and a fund that empties.
    """
    rng = np.random.default_rng(seed)
    found = []
    for number, (kind, decision) in enumerate(
        product(("auto-deleverage", "socialised"), CHOICES["decision"])
    ):
        start = {"backstop": kind, "decision": decision, "fund": ("empty", "small")[number % 2]}
        found.append(Case(**_completed(CHOICES, rng, start, set())))
    return found


# --- books ----------------------------------------------------------------------------------------


def _required(item: PlainPosition) -> float:
    """Return the larger of both triggers' requirements at the start."""
    held = abs(item.quantity) * PRICE[item.asset]
    table = TIERS[item.asset]
    floors = [*(floor for floor, _ in table[1:]), np.inf]
    tiers = sum(
        rate * (min(held, top) - floor)
        for (floor, rate), top in zip(table, floors, strict=True)
        if held > floor
    )
    return max(float(tiers), MARGIN_LEVEL * held)


def _profit(items: Sequence[PlainPosition]) -> float:
    return sum(item.quantity * (PRICE[item.asset] - item.entry) for item in items)


def _gross(items: Sequence[PlainPosition]) -> float:
    return sum(abs(item.quantity) * PRICE[item.asset] for item in items)


def _position(
    rng: np.random.Generator, asset: int | None = None, side: float | None = None
) -> PlainPosition:
    """Return a position of 20 thousand to 800 thousand dollars; two of three are long."""
    chosen = int(rng.integers(TRADED)) if asset is None else asset
    sign = float(rng.choice([1.0, 1.0, -1.0])) if side is None else side
    held = 10.0 ** rng.uniform(4.3, 5.9)
    entry = PRICE[chosen] * rng.uniform(0.96, 1.04)
    return PlainPosition(chosen, float(sign * held / PRICE[chosen]), float(entry))


def _coin(asset: int, value: float) -> tuple[int, float]:
    """Return coins worth ``value`` after haircut."""
    return asset, float(value / (PRICE[asset] * (1.0 - HAIRCUT[asset])))


def _cushion(rng: np.random.Generator, items: Sequence[PlainPosition]) -> float:
    """Return an equity above the requirement: by a third of a percent to 25 percent of gross."""
    required = sum(_required(item) for item in items)
    return float(required + _gross(items) * 10.0 ** rng.uniform(-2.5, -0.6))


def _cross(
    rng: np.random.Generator,
    items: list[PlainPosition],
    coins: Sequence[int] = (),
    *,
    share: float = 0.4,
    equity: float | None = None,
) -> PlainAccount:
    """Return a cross account; each coin is up to ``share`` of its equity."""
    backed = _cushion(rng, items) if equity is None else equity
    worth = [abs(backed) * share * rng.uniform(0.3, 1.0) for _ in coins]
    held = [_coin(asset, value) for asset, value in zip(coins, worth, strict=True)]
    return PlainAccount(float(backed - sum(worth) - _profit(items)), held, items)


def _isolated(rng: np.random.Generator, item: PlainPosition) -> PlainPosition:
    """Return the position with a margin of its own, never nothing."""
    margin = _cushion(rng, [item]) - _profit([item])
    return replace(item, margin=float(max(margin, 1e-3 * _gross([item]))))


def single(rng: np.random.Generator) -> PlainAccount:
    """One long."""
    return _cross(rng, [_position(rng, side=1.0)])


def several(rng: np.random.Generator) -> PlainAccount:
    """Four positions on all traded assets, two coins."""
    items = [_position(rng, asset) for asset in (0, 1, 2, 0)]
    return _cross(rng, items, (1, 3), share=0.3)


def hedged(rng: np.random.Generator) -> PlainAccount:
    """Long of one asset and short of another, of like size, thinly backed."""
    long, short = _position(rng, 0, 1.0), _position(rng, 1, -1.0)
    size = abs(long.quantity) * PRICE[0] * rng.uniform(0.7, 1.2)
    short.quantity = -size / PRICE[1]
    items = [long, short]
    required = sum(_required(item) for item in items)
    equity = required + 0.02 * rng.uniform(0.2, 1.0) * _gross(items)
    return _cross(rng, items, equity=equity)


def straddled(rng: np.random.Generator) -> PlainAccount:
    """Long and short of the same asset in one pool, with coins of that asset."""
    long, short = _position(rng, 2, 1.0), _position(rng, 2, -1.0)
    return _cross(rng, [long, short], (2,))


def coin_backed(rng: np.random.Generator) -> PlainAccount:
    """Two longs backed by coins only: cash is often negative, sales of coins cover debts."""
    return _cross(rng, [_position(rng, side=1.0) for _ in range(2)], (3, 0), share=1.4)


def mixed(rng: np.random.Generator) -> PlainAccount:
    """Two cross positions with a coin, and two isolated ones between them."""
    first, second = _position(rng), _position(rng)
    account = _cross(rng, [first, second], (1,))
    one, two = (_isolated(rng, _position(rng)) for _ in range(2))
    account.positions = [first, one, second, two]
    return account


def isolated_alone(rng: np.random.Generator) -> PlainAccount:
    """Two isolated positions, and cash and coins that do not back them."""
    items = [_isolated(rng, _position(rng, side=side)) for side in (1.0, -1.0)]
    return PlainAccount(float(rng.uniform(0.0, 1e4)), [_coin(0, 5e3)], items)


def idle(rng: np.random.Generator) -> PlainAccount:
    """No position; cash and coins."""
    return PlainAccount(float(rng.uniform(0.0, 1e5)), [_coin(3, 2e3)])


def broken(rng: np.random.Generator) -> PlainAccount:
    """Below its requirement at the start, often under water, with coins to sell."""
    items = [_position(rng) for _ in range(2)]
    # 0.6: below the requirement of either trigger, unless its tiers ask for little
    equity = 0.6 * sum(_required(item) for item in items) * rng.uniform(-1.0, 0.99)
    return _cross(rng, items, (3, 1), share=0.5, equity=float(equity))


def at_edge(rng: np.random.Generator) -> PlainAccount:
    """Two positions exactly at floors of their tiers, entered at the price."""
    items = [PlainPosition(0, 2_048.0, 128.0), PlainPosition(0, 512.0, 128.0)]
    return _cross(rng, items, equity=float(np.round(_cushion(rng, items))))


def tied(rng: np.random.Generator) -> PlainAccount:
    """Two equal positions, and a third."""
    item = _position(rng, 2, 1.0)
    return _cross(rng, [item, replace(item), _position(rng, 1)])


def winner(rng: np.random.Generator) -> PlainAccount:
    """Shorts of every asset, well backed: the takers of a deleveraging, unless prices rise."""
    items = [_position(rng, asset, -1.0) for asset in range(TRADED)]
    required = sum(_required(item) for item in items)
    return _cross(rng, items, equity=required + 0.25 * _gross(items))


_KINDS: tuple[Callable[[np.random.Generator], PlainAccount], ...] = (
    single,
    several,
    hedged,
    straddled,
    coin_backed,
    mixed,
    isolated_alone,
    idle,
    broken,
    at_edge,
    tied,
    winner,
)


def plain_book(seed: int, case: Case) -> PlainBook:
    """Return the book of a seed; stops and reserves are drawn always and kept as the case says."""
    rng = np.random.default_rng([seed, 1])
    accounts = [kind(rng) for kind in _KINDS]
    for account in accounts:
        stops, reserve, trigger, target = (
            rng.uniform(size=len(account.positions)),
            float(_gross(account.positions) * rng.uniform(0.01, 0.1)),
            float(rng.uniform(0.5, 0.98)),
            float(rng.uniform(0.5, 0.95)),
        )
        if case.controls in ("stops", "both"):
            for item, draw in zip(account.positions, stops, strict=True):
                if draw < 0.4:
                    away = 0.02 + 0.2 * draw
                    item.stop = PRICE[item.asset] * (1.0 - np.sign(item.quantity) * away)
        if case.controls in ("top-ups", "both") and account.positions and reserve > 0.0:
            account.reserve = reserve
            account.top_up_trigger, account.top_up_target = trigger, trigger * target
    if case.amount == "tier" and case.order in ("largest-margin", "largest-notional"):
        for account in accounts:
            _put_apart(rng, account)
    return PlainBook(accounts)


def _put_apart(rng: np.random.Generator, account: PlainAccount) -> None:
    """Move a second cross position of an asset to another asset, or give it its own margin.

    Both would come to stand at the floor of one tier: a tie by size that rounding decides. Where an
    asset is free the shape of the book stays; four positions need a margin in every book.
    """
    seen: set[int] = set()
    for place, item in enumerate(account.positions):
        free = sorted(set(range(TRADED)) - seen)
        if item.margin is not None:
            continue
        if item.asset in seen and free:
            ratio = PRICE[free[0]] / PRICE[item.asset]
            stop = None if item.stop is None else item.stop * ratio
            item = replace(
                item,
                asset=free[0],
                quantity=item.quantity / ratio,
                entry=item.entry * ratio,
                stop=stop,
            )
        elif item.asset in seen:
            item = _isolated(rng, item)
        account.positions[place] = item
        seen.add(item.asset)


# --- prices ---------------------------------------------------------------------------------------


def price_paths(seed: int, paths: int = PATHS, steps: int = STEPS) -> Floats:
    """Return fundamental prices (paths, steps + 1, assets): falls, rises and whipsaws in turn.

    A few percent a step with a common part, and jumps of all assets at once.
    """
    rng = np.random.default_rng([seed, 2])
    beta = np.array([1.0, 0.8, 1.1, 1.4])
    shape = (paths, steps)
    common = 0.015 * rng.standard_t(4.0, shape)
    jump = (rng.uniform(size=shape) < 0.12) * rng.uniform(0.03, 0.18, shape)
    sign = np.where(rng.uniform(size=shape) < 0.75, -1.0, 1.0)
    bias = np.array([-1.0, 1.0, -1.0, -1.0])[np.arange(paths) % 4, None]
    whip = (np.arange(paths) % 4 == 3)[:, None] * 0.03 * (-1.0) ** np.arange(steps)
    moved = common + whip - bias * sign * jump + bias * 0.004
    own = 0.008 * rng.standard_normal((*shape, len(ASSETS)))
    returns = moved[..., None] * beta + own
    logs = np.concatenate([np.zeros((paths, 1, len(ASSETS))), np.cumsum(returns, axis=1)], axis=1)
    prices: Floats = np.array(PRICE) * np.exp(logs)
    prices[:, 0] = PRICE  # not off by rounding
    return prices


# --- files and plain objects ----------------------------------------------------------------------


def plain_venue(case: Case) -> PlainVenue:
    """Return the rules as the plain twin reads them."""
    kind, delay, shards = case.decision
    return PlainVenue(
        tiers=[*(list(table) for table in TIERS), [(0.0, 0.0)]],
        volatility=list(VOLATILITY),
        step=YEARS[STEP],
        trigger=MARGIN_LEVEL if case.trigger == "margin-level" else None,
        order=case.order,
        amount=case.amount,
        step_fraction=case.step_fraction,
        buffer=case.buffer,
        fee=case.fee,
        rounds=case.rounds,
        haircut=list(HAIRCUT),
        impact=case.impact,
        adv=list(ADV),
        depth_1pct=list(DEPTH_1PCT),
        permanent=case.permanent,
        relaxation=YEARS[case.relaxation],
        depth_elasticity=case.elasticity,
        fund=FUNDS[case.fund],
        deleveraging=case.backstop,
        decision=kind,
        latency=delay if kind == "leader" else 0,
        lag=delay if kind == "sharded" else 0,
        shards=list(SHARDS[shards]) if kind == "sharded" else None,
        funding_rate=list(FUNDING_RATE),
        funding_steps=case.funding,
    )


def _named(values: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(ASSETS, values, strict=True))


def scenario_of(case: Case, *, paths: int = PATHS) -> dict[str, Any]:
    """Return the scenario as a user would write it."""
    kind, delay, shards = case.decision
    decision: dict[str, Any] = {"kind": kind}
    if kind == "sharded":
        decision |= {"shards": _named(SHARDS[shards]), "lag": delay}
    else:
        decision["latency"] = delay
    venue: dict[str, Any] = {
        "trigger": "maintenance",
        "order": case.order,
        "amount": case.amount,
        "step_fraction": case.step_fraction,
        "buffer": case.buffer,
        "fee": case.fee,
        "rounds_per_step": case.rounds,
        "haircut": _named(HAIRCUT),
        "tiers": {
            asset: [{"floor": floor, "rate": rate} for floor, rate in table]
            for asset, table in zip(ASSETS, TIERS, strict=False)
        },
        "impact": {
            "kind": case.impact,
            "adv": _named(ADV),
            "depth_1pct": _named(DEPTH_1PCT),
            "permanent": case.permanent,
            "relaxation": case.relaxation,
            "depth_elasticity": case.elasticity,
        },
        "fund": {"balance": FUNDS[case.fund]},
        "deleveraging": {"kind": case.backstop},
        "decision": decision,
    }
    if case.trigger == "margin-level":
        venue["trigger"] = {"margin_level": MARGIN_LEVEL}
    if case.funding:
        venue["funding"] = {"rate": _named(FUNDING_RATE), "interval": f"{30 * case.funding}min"}
    return {
        "name": "cascade-book",
        "simulation": {
            "paths": paths,
            "horizon": f"{30 * STEPS}min",
            "step": STEP,
            "seed": 5,
            "precision": "float64",
            "detail": True,
        },
        "market": {
            "model": "given",
            "file": "paths.nc",
            "assets": list(ASSETS),
            "price": _named(PRICE),
            "volatility": _named(VOLATILITY),
            "correlation": np.eye(len(ASSETS)).tolist(),
        },
        "book": {
            "accounts": "accounts.csv",
            "positions": "positions.csv",
            "collateral": "collateral.csv",
            "mode": "as-booked",
        },
        "venue": venue,
    }


class Written(NamedTuple):
    """A case on disk and in memory: ``prices`` (paths, steps + 1, assets)."""

    scenario: Scenario
    prices: Floats
    book: PlainBook
    venue: PlainVenue


def write_case(
    folder: Path,
    seed: int,
    case: Case,
    *,
    paths: int = PATHS,
    simulation: Mapping[str, Any] | None = None,
    model: str = "given",
) -> Written:
    """Write a book and its price paths to ``folder``; load the scenario of a case.

    ``simulation``: what to state there instead; ``model``: another market than these paths.
    """
    book, prices = plain_book(seed, case), price_paths(seed, paths)
    _write_tables(folder, book)
    _write_prices(folder / "paths.nc", prices)
    stated = scenario_of(case, paths=paths)
    stated["simulation"] |= dict(simulation or {})
    stated["market"]["model"] = model
    if model != "given":
        del stated["market"]["file"]
    scenario = stress.load_scenario(stated, base=folder)
    return Written(scenario, prices, book, plain_venue(case))


def _write_prices(file: Path, prices: Floats) -> None:
    days = np.arange(prices.shape[1]) / 48.0
    array = xr.DataArray(
        prices,
        dims=("path", "time", "asset"),
        coords={"time": ("time", days, {"units": "days"}), "asset": list(ASSETS)},
        name="price",
    )
    array.to_dataset().to_netcdf(file, engine="h5netcdf")


def _write_tables(folder: Path, book: PlainBook) -> None:
    labels = [f"{kind.__name__}-{number}" for number, kind in enumerate(_KINDS)]
    controls = ("reserve", "top_up_trigger", "top_up_target")
    _write(
        folder / "accounts.csv",
        ("account", "cash", *controls),
        (
            {"account": label, "cash": account.cash}
            | {name: getattr(account, name) for name in controls}
            for label, account in zip(labels, book.accounts, strict=True)
        ),
    )
    names = [entry.name for entry in fields(PlainPosition)]
    columns = {
        name: {"entry": "entry_price", "stop": "stop_price"}.get(name, name) for name in names
    }
    _write(
        folder / "positions.csv",
        ("account", *columns.values()),
        (
            {"account": label}
            | {columns[name]: getattr(item, name) for name in names}
            | {"asset": ASSETS[item.asset]}
            for label, account in zip(labels, book.accounts, strict=True)
            for item in account.positions
        ),
    )
    _write(
        folder / "collateral.csv",
        ("account", "asset", "quantity"),
        (
            {"account": label, "asset": ASSETS[asset], "quantity": units}
            for label, account in zip(labels, book.accounts, strict=True)
            for asset, units in account.coins
        ),
    )


def _write(file: Path, columns: Sequence[str], rows: Iterator[dict[str, Any]]) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        # repr keeps every digit of a float
        for row in rows:
            cells = {key: "" if value is None else value for key, value in row.items()}
            writer.writerow(
                {k: repr(float(v)) if isinstance(v, float) else v for k, v in cells.items()}
            )
