"""Liquidation as venues do it, with feedback: slow, plain loops, to compare a fast kernel with.

One path at a time, Python floats, one function for each rule of the model. A number in brackets
names the part of the model that a function is: [1] nouns, [2] prices, [3] one step (3.1 to 3.6 its
rounds), [4] what is closed, [5] the fund is empty, [6] who decides, [9] measures.

Money is in quote currency, quantities are in units of the asset, longs positive, time in years.
Lists over assets are in the order of the venue's assets; pools and positions are in file order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

__all__ = [
    "Batch",
    "PlainAccount",
    "PlainBook",
    "PlainPosition",
    "PlainResult",
    "PlainVenue",
    "Pool",
    "equity",
    "maintenance",
    "net_worth",
    "notional",
    "simulate",
]

HOUR = 1.0 / 8760.0
"""An hour in years of 365 days."""

Marks = list[float]
Closes = dict[tuple[int, int], float]  # (pool, position within it) -> quantity, positive


# --- what goes in ---------------------------------------------------------------------------------


@dataclass
class PlainPosition:
    """One row of the table of positions: signed units, USD a unit, USD of isolated margin."""

    asset: int
    quantity: float
    entry: float
    margin: float | None = None
    leverage: float | None = None
    stop: float | None = None


@dataclass
class PlainAccount:
    """An owner: cash of its cross pool, (asset, units) of coins, positions, controls."""

    cash: float
    coins: list[tuple[int, float]] = field(default_factory=list)
    positions: list[PlainPosition] = field(default_factory=list)
    reserve: float = 0.0
    top_up_trigger: float | None = None
    top_up_target: float | None = None


@dataclass
class PlainBook:
    """Accounts in file order, as booked."""

    accounts: list[PlainAccount]


@dataclass
class PlainVenue:
    """Every rule of the venue, and what the impact law reads of the market.

    ``tiers``: (floor, rate) of each asset; ``trigger``: None for the tiers, or the margin level.
    ``volatility``: annual, by asset. ``shards``: asset -> shard. ``relaxation``, ``step``: years.
    ``funding_steps``: steps in a funding interval, 0 for no funding. ``halted``: steps in which
    nobody acts. ``liquidity``: step -> what an overlay multiplies the depth with, by asset.
    """

    tiers: list[list[tuple[float, float]]]
    volatility: list[float]
    step: float
    trigger: float | None = None
    order: str = "largest-loss"
    amount: str = "restore"
    step_fraction: float = 0.25
    buffer: float = 0.05
    fee: float = 0.005
    rounds: int = 8
    warning: float = 0.8
    haircut: list[float] | None = None
    impact: str = "none"
    coefficient: float = 1.0
    adv: list[float] | None = None
    depth_1pct: list[float] | None = None
    permanent: float = 0.0
    relaxation: float = HOUR
    depth_elasticity: float = 0.0
    fund: float = 0.0
    deleveraging: str = "none"
    decision: str = "leader"
    latency: int = 0
    lag: int = 0
    shards: list[int] | None = None
    funding_rate: list[float] | None = None
    funding_steps: int = 0
    tau: float = 1e-9
    halted: frozenset[int] = frozenset()
    liquidity: dict[int, list[float]] = field(default_factory=dict)


# --- what comes out -------------------------------------------------------------------------------


@dataclass
class PlainResult:
    """What became of the book on one path.

    By account: ``equity_end``, ``reserve_end``, ``liquidation_step`` (-1 never), ``bankrupt``,
    ``least_excess`` (NaN without positions), ``called``. By asset: ``mark_end``,
    ``closed_notional``, ``overshoot`` (largest ``|I|`` after any batch). By pool:
    ``largest_loser``, the row of the position that was its largest loser when a decider first
    acted, -1 where none did. ``largest_unpaid``: the largest part of one deficit that the fund did
    not pay; ``fund_exhausted``: whether one was above what rounding leaves. ``fund_need``: the most
    that the fund was asked for beyond the fees that it took, until others paid for it; ``owed``: by
    account, its deficits. ``rounds_run``: rounds of each step. ``rounds_exhausted``: steps whose
    last round left a pool in breach or selling coins for a debt above what rounding leaves.
    ``tied``: whether a debt was worth all of a coin but for rounding, which then decided whether a
    rest was left to sell in a further round: a pool that was deleveraged owes what its coins are
    worth.
    """

    equity_end: list[float]
    reserve_end: list[float]
    liquidation_step: list[int]
    bankrupt: list[bool]
    least_excess: list[float]
    called: list[bool]
    mark_end: Marks
    closed_notional: list[float]
    overshoot: list[float]
    largest_loser: list[int]
    fund_end: float
    fund_draw: float
    fund_exhausted: bool
    fund_need: float
    owed: list[float]
    largest_unpaid: float
    uncovered_loss: float
    socialised_loss: float
    deleveraged_notional: float
    false_liquidations: int
    over_closed_notional: float
    late_steps: int
    rounds_run: list[int]
    rounds_exhausted: int
    tied: bool


@dataclass
class Position:
    """A position of a pool; ``loaded`` is its size when the book was read."""

    row: int
    asset: int
    quantity: float
    entry: float
    loaded: float
    stop: float | None


@dataclass
class Pool:
    """A margin pool [1]: what is liquidated. ``coins`` are [asset, units].

    ``bases``: sizes of its positions when it was first acted on in this liquidation, for `step`.
    """

    account: int
    isolated: bool
    cash: float
    coins: list[list[float]]
    positions: list[Position]
    start_notional: float = 0.0
    bases: list[float] | None = None
    liquidation_step: int = -1
    largest_loser: int = -1
    bankrupt: bool = False
    owed: float = 0.0
    called: bool = False
    least_excess: float = math.nan


@dataclass
class Batch:
    """One batch with its settlement, or another moment at which cash moves, for a `check`.

    ``kind``: "funding", "top-ups", "stops" or "round". ``closes``: (pool, row, signed quantity
    closed, price, fee); ``sales``: (pool, asset, quantity, price); ``exchanged``: (offering pool,
    its row, taking pool, its row, quantity, price). ``fund`` and ``reserve`` are (before, after).
    """

    kind: str
    step: int
    number: int
    marks_before: Marks
    before: list[Pool]
    fund_before: float
    reserve_before: float
    marks: Marks = field(default_factory=list)
    after: list[Pool] = field(default_factory=list)
    fund: float = 0.0
    reserve: float = 0.0
    closes: list[tuple[int, int, float, float, float]] = field(default_factory=list)
    sales: list[tuple[int, int, float, float]] = field(default_factory=list)
    exchanged: list[tuple[int, int, int, int, float, float]] = field(default_factory=list)
    chosen: Closes = field(default_factory=dict)
    uncovered: float = 0.0
    socialised: float = 0.0
    drawn: float = 0.0


Check = Callable[[Batch], None]


@dataclass
class World:
    """The state of one path: pools, marks, the flow that moved them, the fund, what is counted."""

    book: PlainBook
    venue: PlainVenue
    prices: list[Marks]
    pools: list[Pool]
    reserve: list[float]
    fund: float
    permanent: list[float]
    transient: list[float]
    marks: Marks
    ends: list[Marks] = field(default_factory=list)  # marks at the end of each step so far
    step: int = 0
    closed_notional: list[float] = field(default_factory=list)
    overshoot: list[float] = field(default_factory=list)
    fund_draw: float = 0.0
    largest_unpaid: float = 0.0
    fund_exhausted: bool = False
    drain: float = 0.0  # deficits less fees so far
    fund_need: float = 0.0
    uncovered_loss: float = 0.0
    socialised_loss: float = 0.0
    deleveraged_notional: float = 0.0
    false_liquidations: int = 0
    over_closed_notional: float = 0.0
    late_steps: int = 0
    rounds_run: list[int] = field(default_factory=list)
    pressed: bool = (
        False  # whether the last round had more to do than pay debts of a rounding error
    )
    rounds_exhausted: int = 0
    tied: bool = False


# --- 1. nouns -------------------------------------------------------------------------------------


def pools_of(book: PlainBook) -> list[Pool]:
    """The margin pools in file order [1]: each account's cross pool, then its isolated ones."""
    pools = []
    row = 0
    for number, account in enumerate(book.accounts):
        cross = Pool(number, False, account.cash, [list(coin) for coin in account.coins], [])
        isolated = []
        for item in account.positions:
            held = Position(
                row, item.asset, item.quantity, item.entry, abs(item.quantity), item.stop
            )
            row += 1
            if item.margin is None:
                cross.positions.append(held)
            else:
                isolated.append(Pool(number, True, item.margin, [], [held]))
        pools += [cross, *isolated]
    return pools


def open_positions(pool: Pool) -> list[int]:
    """Numbers of the pool's open positions, in file order."""
    return [k for k, position in enumerate(pool.positions) if position.quantity != 0.0]


def profit(position: Position, marks: Marks) -> float:
    """Unrealised profit [1], ``u = q (M - e)``."""
    return position.quantity * (marks[position.asset] - position.entry)


def size(position: Position, marks: Marks) -> float:
    """Notional of a position [1], ``n = |q| M``."""
    return abs(position.quantity) * marks[position.asset]


def notional(pool: Pool, marks: Marks) -> float:
    """Total notional of a pool [1]."""
    return sum(size(position, marks) for position in pool.positions)


def unrealised(pool: Pool, marks: Marks) -> float:
    """Unrealised profit over the pool's positions [1]."""
    return sum(profit(position, marks) for position in pool.positions)


def equity(pool: Pool, marks: Marks, haircut: Sequence[float]) -> float:
    """Equity [1]: cash, coins after haircut, unrealised profit."""
    coins = sum(units * marks[int(a)] * (1.0 - haircut[int(a)]) for a, units in pool.coins)
    return pool.cash + coins + unrealised(pool, marks)


def net_worth(pool: Pool, marks: Marks) -> float:
    """Net worth [1]: equity without haircut."""
    return equity(pool, marks, [0.0] * len(marks))


def tier_amounts(tiers: list[tuple[float, float]]) -> list[float]:
    """What makes a tier table continuous: ``amount_k = amount_k-1 + floor_k (rate_k - rate_k-1)``.

    Source: the maintenance amounts that exchanges publish beside their tiers.
    """
    amounts = [0.0]
    for (_, low), (floor, high) in zip(tiers, tiers[1:], strict=False):
        amounts.append(amounts[-1] + floor * (high - low))
    return amounts


def requirement(venue: PlainVenue, asset: int, held: float) -> float:
    """Maintenance margin of a notional ``held`` [1]: by the tiers, or ``level n``."""
    if venue.trigger is not None:
        return venue.trigger * held
    tiers = venue.tiers[asset]
    return max(
        rate * held - amount for (_, rate), amount in zip(tiers, tier_amounts(tiers), strict=True)
    )


def maintenance(pool: Pool, marks: Marks, venue: PlainVenue) -> float:
    """Maintenance margin of a pool [1]."""
    return sum(
        requirement(venue, position.asset, size(position, marks)) for position in pool.positions
    )


def haircuts(venue: PlainVenue) -> list[float]:
    """The haircut of each asset."""
    return venue.haircut if venue.haircut is not None else [0.0] * len(venue.tiers)


def margin_ratio(pool: Pool, marks: Marks, venue: PlainVenue) -> float:
    """Margin ratio [1]: ``MM / E``, infinite where E <= 0 with positions open, 0 without any."""
    if not open_positions(pool):
        return 0.0
    backed = equity(pool, marks, haircuts(venue))
    return maintenance(pool, marks, venue) / backed if backed > 0.0 else math.inf


def in_breach(pool: Pool, marks: Marks, venue: PlainVenue) -> bool:
    """Breach [1]: a position and ``E < MM - tau N``, strictly."""
    if not open_positions(pool):
        return False
    least = maintenance(pool, marks, venue) - venue.tau * notional(pool, marks)
    return equity(pool, marks, haircuts(venue)) < least


def under_water(pool: Pool, marks: Marks, venue: PlainVenue) -> bool:
    """Under water [1]: a position and E < 0."""
    return bool(open_positions(pool)) and equity(pool, marks, haircuts(venue)) < 0.0


def close(pool: Pool, k: int, quantity: float, price: float, tau: float) -> float:
    """Close ``quantity`` of position k at ``price``; its signed part [1, 3.4].

    Realised profit goes to cash, the entry price stays. A rest below tau of the size loaded is
    dropped untraded.
    """
    position = pool.positions[k]
    signed = math.copysign(quantity, position.quantity)
    pool.cash += signed * (price - position.entry)
    position.quantity -= signed
    if abs(position.quantity) < tau * position.loaded:
        position.quantity = 0.0
    return signed


# --- 2. prices ------------------------------------------------------------------------------------


def impact(venue: PlainVenue, asset: int, flow: float) -> float:
    """``I(V)`` of an asset, in log price [2]."""
    if venue.impact == "none":
        return 0.0
    if venue.impact == "linear":
        assert venue.depth_1pct is not None
        return 0.01 * flow / venue.depth_1pct[asset]
    assert venue.impact == "square-root" and venue.adv is not None
    daily = venue.volatility[asset] / math.sqrt(365.0)
    moved = venue.coefficient * daily * math.sqrt(abs(flow) / venue.adv[asset])
    return math.copysign(moved, flow)


def marks_now(world: World) -> Marks:
    """``M = exp(X + I(V))``, V the permanent and the transient flow together [2]."""
    return [
        price * math.exp(impact(world.venue, a, world.permanent[a] + world.transient[a]))
        for a, price in enumerate(world.prices[world.step])
    ]


def realised_volatility(world: World, asset: int) -> float:
    """``s_t``: root mean square of the last log returns a year, no mean subtracted [2].

    Over the last hour, at least 12 steps; a return before the start counts ``sigma_0^2 dt``.
    """
    venue = world.venue
    # less a little, so that an hour of twelve steps is not thirteen by rounding
    window = max(math.ceil(HOUR / venue.step - 1e-6), 12)
    total = 0.0
    for t in range(world.step - window + 1, world.step + 1):
        if t < 1:
            total += venue.volatility[asset] ** 2 * venue.step
        else:
            total += math.log(world.prices[t][asset] / world.prices[t - 1][asset]) ** 2
    return math.sqrt(total / (window * venue.step))


def depth_multiplier(world: World, asset: int) -> float:
    """``m_t = clip((sigma_0 / s_t)^eps, 0.02, 1)``, times what an overlay says [2]."""
    venue = world.venue
    multiplier = 1.0
    if venue.depth_elasticity != 0.0:
        seen = realised_volatility(world, asset)
        if seen > 0.0:
            multiplier = (venue.volatility[asset] / seen) ** venue.depth_elasticity
        multiplier = min(max(multiplier, 0.02), 1.0)
    overlay = venue.liquidity.get(world.step)
    return multiplier * overlay[asset] if overlay else multiplier


def add_flow(world: World, asset: int, flow: float) -> None:
    """Add a flow (USD at fundamental prices, buys positive) to V, by the depth of its step [2]."""
    scaled = flow / depth_multiplier(world, asset)
    world.permanent[asset] += world.venue.permanent * scaled
    world.transient[asset] += (1.0 - world.venue.permanent) * scaled


def decay(world: World) -> None:
    """The transient part of V fades once a step [2, 3 point 1]."""
    kept = math.exp(-world.venue.step / world.venue.relaxation)
    world.transient = [flow * kept for flow in world.transient]


# --- 3. one step ----------------------------------------------------------------------------------


def pay_funding(world: World, check: Check | None) -> None:
    """At a step that ends an interval, ``rate q M`` goes from cash, longs pay positive [3.1]."""
    venue = world.venue
    if not venue.funding_steps or world.step % venue.funding_steps:
        return
    assert venue.funding_rate is not None
    batch = begin("funding", world, 0, check)
    for pool in world.pools:
        for position in pool.positions:
            rate = venue.funding_rate[position.asset]
            pool.cash -= rate * position.quantity * world.marks[position.asset]
    finish(batch, world, check)


def top_up(world: World, check: Check | None) -> None:
    """Reserves bring ratios at or above the trigger down to the target [3 point 2]."""
    batch = begin("top-ups", world, 0, check)
    for pool in world.pools:
        owner = world.book.accounts[pool.account]
        if not open_positions(pool) or owner.top_up_trigger is None:
            continue
        if margin_ratio(pool, world.marks, world.venue) < owner.top_up_trigger:
            continue
        assert owner.top_up_target is not None
        wanted = maintenance(pool, world.marks, world.venue) / owner.top_up_target
        wanted -= equity(pool, world.marks, haircuts(world.venue))
        drawn = min(max(wanted, 0.0), world.reserve[pool.account])
        pool.cash += drawn
        world.reserve[pool.account] -= drawn
    finish(batch, world, check)


def stopped(world: World) -> Closes:
    """Positions whose mark has reached their stop, whole [3 point 2]."""
    closes = {}
    for p, pool in enumerate(world.pools):
        for k in open_positions(pool):
            position = pool.positions[k]
            mark = world.marks[position.asset]
            if position.stop is None:
                continue
            reached = mark <= position.stop if position.quantity > 0.0 else mark >= position.stop
            if reached:
                closes[p, k] = abs(position.quantity)
    return closes


def control(world: World, check: Check | None) -> None:
    """Top-ups, then stops in one batch without the fee [3 point 2]."""
    top_up(world, check)
    closes = stopped(world)
    if closes:
        batch = begin("stops", world, 0, check)
        execute(world, batch, closes, [], fee=0.0)
        settle(world, batch)
        finish(batch, world, check)


def sells_coins(pool: Pool) -> bool:
    """Whether the pool sells coins: no position left, in debt, with coins [3.5]."""
    return not open_positions(pool) and pool.cash < 0.0 and any(c[1] > 0.0 for c in pool.coins)


def coin_sales(world: World) -> list[tuple[int, int, float]]:
    """(pool, coin, units): the least that covers each debt at the marks, without haircut [3.5]."""
    sales = []
    for p, pool in enumerate(world.pools):
        if not sells_coins(pool):
            continue
        owed = -pool.cash
        for c, (asset, units) in enumerate(pool.coins):
            mark = world.marks[int(asset)]
            sold = units if units * mark <= owed else owed / mark
            world.tied |= units > 0.0 and math.isclose(units * mark, owed, rel_tol=world.venue.tau)
            if sold > 0.0:
                sales.append((p, c, sold))
                owed = 0.0 if sold < units else owed - units * mark
            if owed <= 0.0:
                break
    return sales


def execute(
    world: World,
    batch: Batch,
    closes: Closes,
    sales: list[tuple[int, int, float]],
    *,
    fee: float,
) -> None:
    """One batch [3.4]: the net flow moves the marks, everything trades at the middle of the move.

    The fee goes from cash to the fund; coin sales pay none.
    """
    fundamental = world.prices[world.step]
    before = world.marks
    net: dict[int, float] = {}
    for (p, k), quantity in closes.items():
        position = world.pools[p].positions[k]
        flow = -math.copysign(quantity, position.quantity) * fundamental[position.asset]
        net[position.asset] = net.get(position.asset, 0.0) + flow
    for p, c, sold in sales:
        asset = int(world.pools[p].coins[c][0])
        net[asset] = net.get(asset, 0.0) - sold * fundamental[asset]
    for asset, flow in net.items():
        add_flow(world, asset, flow)
    world.marks = marks_now(world)
    price = [(low + high) / 2.0 for low, high in zip(before, world.marks, strict=True)]
    for (p, k), quantity in closes.items():
        pool = world.pools[p]
        position = pool.positions[k]
        traded = price[position.asset]
        signed = close(pool, k, quantity, traded, world.venue.tau)
        paid = fee * quantity * traded
        pool.cash -= paid
        world.fund += paid
        world.drain -= paid
        world.closed_notional[position.asset] += quantity * traded
        batch.closes.append((p, position.row, signed, traded, paid))
    for p, c, sold in sales:
        coin = world.pools[p].coins[c]
        coin[1] -= sold
        world.pools[p].cash += sold * price[int(coin[0])]
        batch.sales.append((p, int(coin[0]), sold, price[int(coin[0])]))
    for a in range(len(price)):
        moved = abs(impact(world.venue, a, world.permanent[a] + world.transient[a]))
        world.overshoot[a] = max(world.overshoot[a], moved)


def settle(world: World, batch: Batch) -> None:
    """After a batch [3.5]: freed margins go home, the fund pays deficits, the rest by [5]."""
    free_margins(world)
    deficits = []
    for pool in world.pools:
        if open_positions(pool) or pool.cash >= 0.0 or sells_coins(pool):
            continue
        deficit, pool.cash = -pool.cash, 0.0
        if is_counted(world, pool, deficit):
            pool.bankrupt = True
        deficits.append((pool, deficit))
        pool.owed += deficit
    world.drain += sum(deficit for _, deficit in deficits)
    ask_fund(world, world.drain)
    unpaid = 0.0
    for pool, deficit in deficits:
        paid = min(deficit, world.fund)
        world.fund -= paid
        world.fund_draw += paid
        batch.drawn += paid
        world.largest_unpaid = max(world.largest_unpaid, deficit - paid)
        world.fund_exhausted |= is_counted(world, pool, deficit - paid)
        unpaid += deficit - paid
    taken = socialise(world, unpaid) if world.venue.deleveraging == "socialised" else 0.0
    batch.socialised, batch.uncovered = taken, unpaid - taken
    world.socialised_loss += taken
    world.uncovered_loss += unpaid - taken


def ask_fund(world: World, asked: float) -> None:
    """Note what a fund must have had at the start to pay all that it is asked for [3.5].

    Where others pay for an empty fund [5] the path is another one from then on.
    """
    others_paid = world.venue.deleveraging != "none" and world.fund_need > world.venue.fund
    if not others_paid:
        world.fund_need = max(world.fund_need, asked)


def is_counted(world: World, pool: Pool, owed: float) -> bool:
    """Whether a debt or deficit is above tau times the pool's notional at the start [9].

    A debt of one rounding error bankrupts nobody; nor should it exhaust a fund or the rounds of a
    step, which would then say how a computer rounds.
    """
    return owed > world.venue.tau * pool.start_notional


def free_margins(world: World) -> None:
    """An isolated pool without positions gives positive cash to its account's cross pool [3.5]."""
    cross: dict[int, Pool] = {pool.account: pool for pool in world.pools if not pool.isolated}
    for pool in world.pools:
        if pool.isolated and not open_positions(pool) and pool.cash > 0.0:
            cross[pool.account].cash += pool.cash
            pool.cash = 0.0


def run_round(world: World, number: int, check: Check | None) -> bool:
    """One round [3 point 3], or only its look; whether it ran."""
    choices = [(d, p, chosen) for d, p, chosen in choose_all(world)]
    acted = {p for _, p, _ in choices}
    count(world, choices, first=number == 0)
    remember(world, choices)
    sales = coin_sales(world)
    if not choices and not sales:
        return False
    sellers = [world.pools[p] for p, _, _ in sales]
    world.pressed = bool(choices) or any(is_counted(world, p, -p.cash) for p in sellers)
    batch = begin("round", world, number, check)
    closes: Closes = {(p, k): x for _, p, chosen in choices for k, x in chosen.items()}
    batch.chosen = dict(closes)
    if world.venue.deleveraging == "auto-deleverage":
        closes = left_to_trade(world, closes, deleverage(world, batch, acted))
    execute(world, batch, closes, sales, fee=world.venue.fee)
    settle(world, batch)
    finish(batch, world, check)
    return True


def left_to_trade(world: World, chosen: Closes, changed: Closes) -> Closes:
    """Of what was chosen, ``max(0, chosen - changed hands)`` trades in the market [5].

    Never more than is open: a rest may have been dropped.
    """
    closes = {}
    for (p, k), quantity in chosen.items():
        rest = max(0.0, quantity - changed.get((p, k), 0.0))
        rest = min(rest, abs(world.pools[p].positions[k].quantity))
        if rest > 0.0:
            closes[p, k] = rest
    return closes


# --- 4. what is closed ----------------------------------------------------------------------------


def ranked(pool: Pool, marks: Marks, venue: PlainVenue, among: list[int]) -> list[int]:
    """Positions by the venue's order [4]; exact ties to the one that stands first in the file."""

    def rank(k: int) -> float:
        position = pool.positions[k]
        if venue.order == "largest-loss":
            return profit(position, marks)
        if venue.order == "largest-margin":
            return -requirement(venue, position.asset, size(position, marks))
        assert venue.order in ("largest-notional", "pro-rata")
        return -size(position, marks)

    return sorted(among, key=rank)  # stable


def choose(pool: Pool, marks: Marks, venue: PlainVenue, among: list[int]) -> dict[int, float]:
    """What a decider closes of a pool that it sees in breach [3.2, 4]: position -> quantity.

    ``marks``: those that it sees; ``among``: its own open positions.
    """
    whole = {k: abs(pool.positions[k].quantity) for k in among}
    if under_water(pool, marks, venue) or venue.amount == "all":
        return whole
    if venue.order == "pro-rata":
        if venue.amount == "restore":
            share = restoring_share(pool, marks, venue, among)
            return {k: share * whole[k] for k in among}
        assert venue.amount == "step"
        return {k: stepped(pool, k, venue) for k in among}
    order = ranked(pool, marks, venue, among)
    first = order[0]
    if venue.amount == "restore":
        return restoring(pool, marks, venue, order)
    if venue.amount == "step":
        return {first: stepped(pool, first, venue)}
    if venue.amount == "tier":
        return {first: down_to_floor(pool.positions[first], marks, venue)}
    assert venue.amount == "position"
    return {first: whole[first]}


def first_crossing(value: float, pieces: Iterator[tuple[float, float]]) -> float | None:
    """Where a curve that starts at ``value`` first reaches 0; pieces are (length, slope)."""
    if value >= 0.0:
        return 0.0
    gone = 0.0
    for length, slope in pieces:
        if value + slope * length >= 0.0:
            return gone - value / slope
        value += slope * length
        gone += length
    return None


def pieces_down(held: float, asset: int, venue: PlainVenue) -> Iterator[tuple[float, float]]:
    """(notional, gain a dollar closed) of the excess over the target as ``held`` is closed [4].

    A dollar closed costs the fee and frees ``(1 + buffer) rate`` of the tier that it is in.
    """
    if venue.trigger is not None:
        yield held, (1.0 + venue.buffer) * venue.trigger - venue.fee
        return
    top = held
    for floor, rate in reversed(venue.tiers[asset]):
        if top > floor:
            yield top - floor, (1.0 + venue.buffer) * rate - venue.fee
            top = floor


def restoring(pool: Pool, marks: Marks, venue: PlainVenue, order: list[int]) -> dict[int, float]:
    """`restore` [4]: of each position in turn the least that brings ``E >= (1 + buffer) MM``."""
    short = equity(pool, marks, haircuts(venue))
    short -= (1.0 + venue.buffer) * maintenance(pool, marks, venue)
    closes = {}
    for k in order:
        position = pool.positions[k]
        held = size(position, marks)
        dollars = first_crossing(short, pieces_down(held, position.asset, venue))
        if dollars is not None:
            closes[k] = min(dollars / marks[position.asset], abs(position.quantity))
            break
        closes[k] = abs(position.quantity)
        freed = requirement(venue, position.asset, held)
        short += (1.0 + venue.buffer) * freed - venue.fee * held
    return {k: quantity for k, quantity in closes.items() if quantity > 0.0}


def restoring_share(pool: Pool, marks: Marks, venue: PlainVenue, among: list[int]) -> float:
    """`restore` pro rata [4]: the least common share that brings ``E >= (1 + buffer) MM``, or 1."""
    short = equity(pool, marks, haircuts(venue))
    short -= (1.0 + venue.buffer) * maintenance(pool, marks, venue)
    sizes = {k: size(pool.positions[k], marks) for k in among}
    kinks = {0.0, 1.0}
    if venue.trigger is None:
        for k, held in sizes.items():
            floors = [floor for floor, _ in venue.tiers[pool.positions[k].asset]]
            kinks |= {1.0 - floor / held for floor in floors if floor < held}

    def pieces() -> Iterator[tuple[float, float]]:
        edges = sorted(kinks)
        for low, high in zip(edges, edges[1:], strict=False):
            slope = 0.0
            for k, held in sizes.items():
                left = held * (1.0 - (low + high) / 2.0)
                freed = rate_at(venue, pool.positions[k].asset, left)
                slope += held * ((1.0 + venue.buffer) * freed - venue.fee)
            yield high - low, slope

    share = first_crossing(short, pieces())
    return 1.0 if share is None else min(share, 1.0)


def rate_at(venue: PlainVenue, asset: int, held: float) -> float:
    """Slope of the requirement at a notional: the tier with floor_k < n <= floor_k+1 [1]."""
    if venue.trigger is not None:
        return venue.trigger
    return [rate for floor, rate in venue.tiers[asset] if held > floor or floor == 0.0][-1]


def stepped(pool: Pool, k: int, venue: PlainVenue) -> float:
    """`step` [4]: a fraction of the base, at most what is left.

    The base is the size when the pool was first acted on in this liquidation: now, if not before.
    """
    left = abs(pool.positions[k].quantity)
    base = left if pool.bases is None else pool.bases[k]
    return min(venue.step_fraction * base, left)


def down_to_floor(position: Position, marks: Marks, venue: PlainVenue) -> float:
    """`tier` [4]: down to the floor of its tier, whole when in the lowest."""
    held = size(position, marks)
    floors = [floor for floor, _ in venue.tiers[position.asset]]
    below = [floor for floor in floors[1:] if held > floor * (1.0 + venue.tau)]
    if not below:
        return abs(position.quantity)
    return (held - below[-1]) / marks[position.asset]


# --- 5. when the fund is empty --------------------------------------------------------------------


def socialise(world: World, unpaid: float) -> float:
    """Take unpaid deficits from pools with unrealised profit, pro rata [5]; what was taken.

    The pools that left the deficits have no positions, so none of them has a profit.
    """
    profits = [unrealised(pool, world.marks) for pool in world.pools]
    total = sum(gain for gain in profits if gain > 0.0)
    taken = min(unpaid, total)
    if taken > 0.0:
        for pool, gain in zip(world.pools, profits, strict=True):
            if gain > 0.0:
                pool.cash -= taken * gain / total
    return taken


def offers_of(world: World, acted: set[int]) -> dict[int, float]:
    """Pools that offer their positions [5] -> D over N: by how much their prices miss the mark."""
    left = world.fund
    offers = {}
    short = sum(max(-net_worth(world.pools[p], world.marks), 0.0) for p in acted)
    if short > 0.0:
        ask_fund(world, world.drain + short)
    for p in sorted(acted):
        pool = world.pools[p]
        worth = net_worth(pool, world.marks)
        if worth >= 0.0:
            continue
        promise = min(left, -worth)
        left -= promise
        if -worth - promise > 0.0:
            offers[p] = (-worth - promise) / notional(pool, world.marks)
    return offers


def takers_of(world: World, offers: dict[int, float]) -> list[tuple[int, int]]:
    """(pool, position) in profit, of pools neither in breach nor offering, by rank [5]."""
    found = []
    for p, pool in enumerate(world.pools):
        if p in offers or in_breach(pool, world.marks, world.venue):
            continue
        for k in open_positions(pool):
            position = pool.positions[k]
            gain, held = profit(position, world.marks), size(position, world.marks)
            if gain > world.venue.tau * held:
                backed = equity(pool, world.marks, haircuts(world.venue))
                score = gain / (abs(position.quantity) * position.entry) * held / backed
                found.append((score, p, k))
    found.sort(key=lambda item: -item[0])  # stable: ties in file order
    return [(p, k) for _, p, k in found]


def deleverage(world: World, batch: Batch, acted: set[int]) -> Closes:
    """Match positions of insolvent pools with profitable opposite ones [5]: what changed hands."""
    offers = offers_of(world, acted)
    takers = takers_of(world, offers)
    changed: Closes = {}
    # both queues are read before anything changes hands; `left` is what each still has
    left = {
        (p, k): abs(world.pools[p].positions[k].quantity)
        for p in range(len(world.pools))
        for k in open_positions(world.pools[p])
    }
    sides = {key: world.pools[key[0]].positions[key[1]].quantity > 0.0 for key in left}
    matches = []
    for p, share in offers.items():
        for k in open_positions(world.pools[p]):
            offered = world.pools[p].positions[k]
            sign = 1.0 if sides[p, k] else -1.0
            price = world.marks[offered.asset] * (1.0 + sign * share)
            for taker in takers:
                if world.pools[taker[0]].positions[taker[1]].asset != offered.asset:
                    continue
                if sides[taker] == sides[p, k]:
                    continue
                quantity = min(left[p, k], left[taker])
                if quantity > 0.0:
                    left[p, k] -= quantity
                    left[taker] -= quantity
                    matches.append(((p, k), taker, quantity, price))
    for one, other, quantity, price in matches:
        for p, k in (one, other):
            close(world.pools[p], k, quantity, price, world.venue.tau)
            changed[p, k] = changed.get((p, k), 0.0) + quantity
        rows = [world.pools[p].positions[k].row for p, k in (one, other)]
        batch.exchanged.append((one[0], rows[0], other[0], rows[1], quantity, price))
        world.deleveraged_notional += quantity * price
    return changed


# --- 6. who decides -------------------------------------------------------------------------------


def earlier_marks(world: World, delay: int) -> Marks:
    """Marks at the end of step t - delay, or 0 where t < delay; of this moment at t = 0 [6]."""
    if delay == 0 or world.step == 0:
        return world.marks
    return world.ends[max(world.step - delay, 0)]


def deciders(world: World) -> list[tuple[Marks, list[bool]]]:
    """Each decider's marks, and which assets are its own [6]."""
    venue, assets = world.venue, range(len(world.marks))
    if venue.decision == "leader":
        return [(earlier_marks(world, venue.latency), [True for _ in assets])]
    assert venue.decision == "sharded" and venue.shards is not None
    result = []
    for shard in sorted(set(venue.shards)):
        own = [venue.shards[a] == shard for a in assets]
        far = earlier_marks(world, venue.lag)
        result.append(([world.marks[a] if own[a] else far[a] for a in assets], own))
    return result


def choose_all(world: World) -> list[tuple[int, int, dict[int, float]]]:
    """(decider, pool, what it closes) of every decider and pool that it sees in breach [3.2, 6]."""
    choices = []
    for d, (view, own) in enumerate(deciders(world)):
        for p, pool in enumerate(world.pools):
            among = [k for k in open_positions(pool) if own[pool.positions[k].asset]]
            if among and in_breach(pool, view, world.venue):
                chosen = choose(pool, view, world.venue, among)
                if chosen:
                    choices.append((d, p, chosen))
    return choices


def count(world: World, choices: list[tuple[int, int, dict[int, float]]], *, first: bool) -> None:
    """Against the snapshot of this moment [6], and what the first look of a step shows [9]."""
    venue, marks = world.venue, world.marks
    broken = [in_breach(pool, marks, venue) for pool in world.pools]
    for _, p, chosen in choices:
        pool = world.pools[p]
        world.false_liquidations += not broken[p]
        if venue.decision == "sharded":
            fair = choose(pool, marks, venue, open_positions(pool)) if broken[p] else {}
            for k, quantity in chosen.items():
                beyond = max(quantity - fair.get(k, 0.0), 0.0)
                world.over_closed_notional += beyond * marks[pool.positions[k].asset]
    if first:
        acted = {p for _, p, _ in choices}
        for p, pool in enumerate(world.pools):
            world.late_steps += broken[p] and p not in acted
            if open_positions(pool):
                excess = equity(pool, marks, haircuts(venue)) - maintenance(pool, marks, venue)
                if not pool.least_excess <= excess:  # also where it is NaN
                    pool.least_excess = excess
                pool.called |= margin_ratio(pool, marks, venue) >= venue.warning


def remember(world: World, choices: list[tuple[int, int, dict[int, float]]]) -> None:
    """When a pool was first acted on, its bases and largest loser then; liquidations end [4, 9]."""
    views = [view for view, _ in deciders(world)]
    acted = set()
    for d, p, _ in choices:  # the lowest-numbered decider comes first
        pool = world.pools[p]
        acted.add(p)
        if pool.liquidation_step < 0:
            pool.liquidation_step = world.step
            order = sorted(open_positions(pool), key=lambda k: profit(pool.positions[k], views[d]))
            pool.largest_loser = pool.positions[order[0]].row
        if pool.bases is None:
            pool.bases = [abs(position.quantity) for position in pool.positions]
    for p, pool in enumerate(world.pools):
        if p not in acted and not in_breach(pool, world.marks, world.venue):
            pool.bases = None


# --- the path -------------------------------------------------------------------------------------


def begin(kind: str, world: World, number: int, check: Check | None) -> Batch:
    """A record of the state before cash moves; pools are copied only for a check."""
    pools = deepcopy(world.pools) if check else []
    return Batch(kind, world.step, number, list(world.marks), pools, world.fund, sum(world.reserve))


def finish(batch: Batch, world: World, check: Check | None) -> None:
    """Complete the record and hand it to the check."""
    if check:
        batch.marks, batch.after = list(world.marks), deepcopy(world.pools)
        batch.fund, batch.reserve = world.fund, sum(world.reserve)
        check(batch)


def run_step(world: World, check: Check | None) -> None:
    """Step ``world.step`` [3]: at t = 0 only the rounds."""
    if world.step > 0:
        decay(world)
        world.marks = marks_now(world)
        pay_funding(world, check)
    rounds = 0
    if world.step not in world.venue.halted:
        if world.step > 0:
            control(world, check)
        while rounds < world.venue.rounds and run_round(world, rounds, check):
            rounds += 1
    world.rounds_run.append(rounds)
    if rounds == world.venue.rounds and world.pressed:
        world.rounds_exhausted += any(
            in_breach(pool, world.marks, world.venue)
            or (sells_coins(pool) and is_counted(world, pool, -pool.cash))
            for pool in world.pools
        )
    world.ends.append(list(world.marks))


def simulate(
    book: PlainBook,
    venue: PlainVenue,
    prices: Sequence[Sequence[float]],
    check: Check | None = None,
) -> PlainResult:
    """Follow a book along one path of fundamental prices, (steps + 1, assets), time 0 included.

    ``check`` is called with every `Batch`: after funding, top-ups, the stops, and each round.
    """
    path = [[float(price) for price in row] for row in prices]
    assets = len(path[0])
    world = World(
        book=book,
        venue=venue,
        prices=path,
        pools=pools_of(book),
        reserve=[account.reserve for account in book.accounts],
        fund=venue.fund,
        permanent=[0.0] * assets,
        transient=[0.0] * assets,
        marks=list(path[0]),
        closed_notional=[0.0] * assets,
        overshoot=[0.0] * assets,
    )
    for pool in world.pools:
        pool.start_notional = notional(pool, world.marks)
    for world.step in range(len(path)):
        run_step(world, check)
    return result_of(world)


def result_of(world: World) -> PlainResult:
    """Add pools up to accounts [9]."""
    pools_by = [
        [pool for pool in world.pools if pool.account == number]
        for number in range(len(world.book.accounts))
    ]
    marks, haircut = world.marks, haircuts(world.venue)
    steps = [[p.liquidation_step for p in own if p.liquidation_step >= 0] for own in pools_by]
    least = [[p.least_excess for p in own if p.least_excess == p.least_excess] for own in pools_by]
    return PlainResult(
        equity_end=[sum(equity(pool, marks, haircut) for pool in own) for own in pools_by],
        reserve_end=list(world.reserve),
        liquidation_step=[min(times, default=-1) for times in steps],
        bankrupt=[any(pool.bankrupt for pool in own) for own in pools_by],
        least_excess=[min(values, default=math.nan) for values in least],
        called=[any(pool.called for pool in own) for own in pools_by],
        mark_end=list(marks),
        closed_notional=world.closed_notional,
        overshoot=world.overshoot,
        largest_loser=[pool.largest_loser for pool in world.pools],
        fund_end=world.fund,
        fund_draw=world.fund_draw,
        fund_exhausted=world.fund_exhausted,
        fund_need=world.fund_need,
        owed=[sum(pool.owed for pool in own) for own in pools_by],
        largest_unpaid=world.largest_unpaid,
        uncovered_loss=world.uncovered_loss,
        socialised_loss=world.socialised_loss,
        deleveraged_notional=world.deleveraged_notional,
        false_liquidations=world.false_liquidations,
        over_closed_notional=world.over_closed_notional,
        late_steps=world.late_steps,
        rounds_run=world.rounds_run,
        rounds_exhausted=world.rounds_exhausted,
        tied=world.tied,
    )
