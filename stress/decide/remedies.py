"""What would help the accounts above the appetite, at which cost, on the same paths.

Each account is copied as often as there are remedies to try, all copies are run as one book, and
each remedy is solved for the least amount whose upper confidence bound keeps the appetite. The
bounds of one account's remedies hold together (Bonferroni), so that the cheapest may be picked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from stress.book.book import Book
from stress.book.display import pool_margins
from stress.book.pools import account_pools, isolated_margins
from stress.book.setting import Setting
from stress.book.what_if import copies
from stress.decide.changed import as_world, looks, net_exposure, traded, with_cash, with_positions
from stress.decide.solve import Criterion, Found, Search, first_guess
from stress.decide.task import Task
from stress.decide.trial import Tally, Trial, Units, left_out
from stress.stats.confidence import shared
from stress.types import Array, Floats, Integers

__all__ = ["Remedy", "RemedyKind", "RemedyOutcome", "remedies"]

RemedyKind: TypeAlias = Literal["top up", "cut", "hedge", "isolate"]
RemedyOutcome: TypeAlias = Literal["found", "does not suffice", "too few paths", "not monotone"]

_ACCOUNTS = 10
"""Accounts that are helped: those most often liquidated, the richer first where that is alike."""

_CUTS, _MOVES = 4, 4
"""Positions of an account whose cut and whose move to isolated margin are tried: those that add
most to the account's variance."""

_MOST_CASH = 4.0
"""Most cash that is tried, in multiples of the gross notional: a short may need more than one."""

_RANGE = 4096.0
"""Largest over least amount that is tried."""


@dataclass(frozen=True)
class Remedy:
    """One way to bring an account's P(liquidated by the horizon) down to the appetite.

    Attributes
    ----------
    account
        Who is helped.
    kind, what
        ``"top up"`` cash; ``"cut"`` a position; ``"hedge"`` with a position in an asset;
        ``"isolate"`` a position, which gets the equity of its isolated counterpart.
    amount, unit
        The least that keeps the appetite: USD of cash, the share of a position (``"1"``), signed
        USD of notional, USD of equity that backs it; the most that was tried where that does not
        suffice.
    cost
        USD over the horizon: cash at ``appetite.capital_cost``, trades at
        ``appetite.trading_cost``; moving margin costs nothing.
    before
        The probability as it is.
    probability, lower, upper
        With the remedy, and its one-sided bounds; those of an account's remedies hold together.
    outcome
        Whether it does.
    cheapest
        Whether no other remedy of the account that was found costs less.
    note
        What the simulation leaves out; empty where nothing.
    """

    account: str
    kind: RemedyKind
    what: str
    amount: float
    unit: str
    cost: float
    before: float
    probability: float
    lower: float
    upper: float
    outcome: RemedyOutcome
    cheapest: bool
    note: str


def remedies(task: Task) -> list[Remedy]:
    """Return what helps the accounts whose estimate is over the appetite, account by account.

    Parameters
    ----------
    task
        Its appetite states ``account_liquidation_probability``; without it there is no remedy. The
        main world is what is helped.

    Returns
    -------
    For each of the accounts most often liquidated a top-up, its best cut, a hedge and its best
    move to isolated margin, as far as they exist.
    """
    alpha = task.appetite.account_liquidation_probability
    if alpha is None:
        return []
    trial = Trial(task)
    book = as_world(task.book, task.setting, task.scenario.book.mode)
    everyone = np.arange(len(book.accounts))
    units = Units.of(everyone, np.ones(len(everyone), bool))
    task.say(f"remedies: {len(everyone):,} accounts as they are on {trial.paths:,} paths")
    present = trial.run({"as-booked": book}, {"as-booked": units})["as-booked"]
    worst = _worst(book, task.setting, present.mean, alpha)
    candidates = [one for account in worst for one in _candidates(book, task.setting, int(account))]
    if not candidates:
        return []
    task.say(f"remedies: {len(candidates)} for {len(worst)} accounts above the appetite")
    solved = _solve(task, trial, book, candidates, alpha)
    note = left_out(task.scenario, task.book)
    found = [
        _remedy(task, book, one, solved, number, float(present.mean[one.account]), note)
        for number, one in enumerate(candidates)
    ]
    return [remedy for account in worst for remedy in _best(found, book.accounts[account])]


class _Candidate(NamedTuple):
    """A remedy of which an amount is sought.

    Attributes
    ----------
    account, position
        Indices in the book; -1 where no position that is there is touched.
    kind, what
        As a ``Remedy`` has them.
    asset
        Of a new position; -1 for none.
    side
        +1 to buy a hedge, -1 to sell one.
    most
        Largest amount: USD, or share.
    notional
        Of the position that is touched, USD.
    margin
        Of a position that is moved: what backs it, its unrealised profit apart, USD.
    """

    account: int
    kind: RemedyKind
    what: str
    most: float
    position: int = -1
    asset: int = -1
    side: float = 1.0
    notional: float = 0.0
    margin: float = 0.0


def _worst(book: Book, setting: Setting, probability: Floats, alpha: float) -> Integers:
    """Return the accounts most often liquidated, of those with equity and over the appetite."""
    pools = account_pools(book, "as-booked", setting.price, setting.haircut)
    at = pool_margins(book, pools, setting, setting.price)
    equity = np.bincount(pools.account, at.equity, len(book.accounts))
    over = np.flatnonzero((probability > alpha) & (equity > 0))
    order = np.lexsort((-equity[over], -probability[over]))
    return over[order[:_ACCOUNTS]]


def _candidates(book: Book, setting: Setting, account: int) -> list[_Candidate]:
    """Return what is tried for an account."""
    pools = account_pools(book, "as-booked", setting.price, setting.haircut)
    cross = np.flatnonzero(pools.is_cross & (pools.account == account))[0]
    net = net_exposure(book, pools, setting)[cross]
    covariance = setting.correlation * np.outer(setting.volatility, setting.volatility)
    rows = _by_variance(book, setting, account, net, covariance)
    notional = np.abs(book.quantity) * setting.price[book.position_asset]
    found = [_Candidate(account, "top up", "cash", _MOST_CASH * float(notional[rows].sum()))]
    for row in rows[:_CUTS]:
        size = float(notional[row])
        found.append(_Candidate(account, "cut", book.positions[row], 1.0, row, notional=size))
    hedge = _hedge(book, setting, account, net, covariance)
    if hedge is not None:
        found.append(hedge)
    crossed = [row for row in rows if np.isnan(book.margin[row])]
    if len(crossed) > 1:
        found += _moves(book, setting, account, crossed[:_MOVES])
    return found


def _by_variance(
    book: Book, setting: Setting, account: int, net: Floats, covariance: Floats
) -> list[int]:
    """Return the account's positions, those that add most to the variance of their pool first."""
    rows = np.flatnonzero((book.position_account == account) & (book.quantity != 0))
    asset = book.position_asset[rows]
    value = book.quantity[rows] * setting.price[asset]
    moved_with = np.where(
        np.isnan(book.margin[rows]), (covariance @ net)[asset], value * np.diag(covariance)[asset]
    )
    return [int(row) for row in rows[np.argsort(-value * moved_with, kind="stable")]]


def _moves(book: Book, setting: Setting, account: int, rows: list[int]) -> list[_Candidate]:
    """Return the moves of cross positions to isolated margin: their counterparts' shares."""
    margin, _, _ = isolated_margins(book, setting.price, setting.haircut)
    profit = book.quantity * (setting.price[book.position_asset] - book.entry_price)
    return [
        _Candidate(
            account,
            "isolate",
            book.positions[row],
            float(margin[row] + profit[row]),
            row,
            margin=float(margin[row]),
        )
        for row in rows
    ]


def _hedge(
    book: Book, setting: Setting, account: int, net: Floats, covariance: Floats
) -> _Candidate | None:
    """Return the hedge that takes most variance from an account's cross pool; None where none does.

    Of an asset a the position ``-(C x)_a / C_aa`` leaves the least variance: more of it is no
    hedge. An asset that the pool holds on the other side is left out: that would be a cut.
    """
    variance = np.diag(covariance)
    best = -(covariance @ net) / variance
    mine = (book.position_account == account) & np.isnan(book.margin) & (book.quantity != 0)
    opposite = np.zeros(len(best), bool)
    against = mine & (np.sign(book.quantity) == -np.sign(best[book.position_asset]))
    opposite[book.position_asset[against]] = True
    tradable = setting.tier_rate.max(axis=1) > 0
    gain = np.where(tradable & ~opposite, best**2 * variance, 0.0)
    asset = int(np.argmax(gain))
    if gain[asset] <= 0:
        return None
    held = np.flatnonzero(mine & (book.position_asset == asset))
    row = int(held[0]) if len(held) else -1
    size = float(abs(book.quantity[row]) * setting.price[asset]) if row >= 0 else 0.0
    side, most = float(np.sign(best[asset])), float(abs(best[asset]))
    return _Candidate(account, "hedge", setting.assets[asset], most, row, asset, side, size)


class _Solved(NamedTuple):
    """What was found, and whether any count of liquidations could keep the appetite."""

    found: Found
    can_be_kept: Array


def _solve(
    task: Task, trial: Trial, book: Book, candidates: list[_Candidate], alpha: float
) -> _Solved:
    """Solve all candidates at once: the larger the value, the smaller the amount."""
    setting, count = task.setting, len(candidates)
    tried = _Copies.of(book, setting, candidates)
    units = Units.of(np.arange(count), np.ones(count, bool))
    account = np.array([one.account for one in candidates])
    together = np.bincount(account)[account]
    confidence = trial.confidence(task.appetite.confidence)
    criterion = Criterion(
        alpha=alpha,
        confidence=np.array([float(shared(confidence, int(each))) for each in together]),
        effect=confidence.design_effect,
        paths=trial.paths,
        single=np.ones(count, bool),
    )

    def run(values: Floats) -> Tally:
        books = {"as-booked": tried.at(values)}
        return trial.run(books, {"as-booked": units})["as-booked"]  # type: ignore[arg-type]

    def likely(values: Floats) -> Floats:
        return looks(tried.at(values), setting, "as-booked")

    lowest, highest = np.ones(count), np.full(count, _RANGE)
    guess = first_guess(likely, lowest, highest, criterion.aim)
    has_amount = np.array([one.kind != "isolate" for one in candidates])
    found, _ = Search(run, criterion, lowest, highest).run(guess, has_amount, estimate=False)
    return _Solved(found, criterion.can_be_kept)


@dataclass(frozen=True)
class _Copies:
    """Copies of accounts, one a candidate, and where each is changed.

    Attributes
    ----------
    book
        The copies, with isolated margins moved and room for new positions.
    most
        (candidates,) largest amounts.
    cash
        (candidates,) whether the amount is cash.
    row, scale
        Positions that are traded, and by how much of themselves a unit of the amount changes them.
    owner
        Candidate of each such position.
    new, units, hedger
        New positions, what a USD of the amount makes of each, and the candidate.
    """

    book: Book
    price: Floats
    most: Floats
    cash: Array
    row: Integers
    scale: Floats
    owner: Integers
    new: Integers
    units: Floats
    hedger: Integers

    @classmethod
    def of(cls, book: Book, setting: Setting, candidates: list[_Candidate]) -> _Copies:
        account = np.array([one.account for one in candidates])
        copied = copies(book, account)
        held = np.bincount(book.position_account, minlength=len(book.accounts))
        start = np.cumsum(held[account]) - held[account]
        before = np.argsort(book.position_account, kind="stable")
        first = np.cumsum(held) - held
        place = np.empty(len(before), int)
        place[before] = np.arange(len(before)) - first[book.position_account[before]]

        def rows(wanted: list[int]) -> Integers:
            """Return where the touched positions of some candidates stand among the copies."""
            return np.array([start[i] + place[candidates[i].position] for i in wanted], int)

        moved = [i for i, one in enumerate(candidates) if one.kind == "isolate"]
        margin, cash = copied.margin.copy(), copied.cash.copy()
        for i, row in zip(moved, rows(moved), strict=True):
            margin[row] = candidates[i].margin
            cash[i] -= candidates[i].margin
        copied = replace(copied, margin=margin, cash=cash)
        touched = [i for i, one in enumerate(candidates) if one.kind in ("cut", "hedge")]
        here = [i for i in touched if candidates[i].position >= 0]
        opened = [i for i in touched if candidates[i].position < 0]
        asset = np.array([candidates[i].asset for i in opened], int)
        kinds = [candidates[i].kind == "cut" for i in here]
        sizes = [candidates[i].notional for i in here]
        wide = with_positions(copied, np.array(opened, int), asset, setting.price)
        side = np.array([candidates[i].side for i in opened])
        return cls(
            book=wide,
            price=setting.price,
            most=np.array([one.most for one in candidates]),
            cash=np.array([one.kind == "top up" for one in candidates]),
            row=rows(here),
            scale=np.where(kinds, -1.0, 1 / np.array(sizes, float)),
            owner=np.array(here, int),
            new=np.arange(len(copied.positions), len(wide.positions)),
            units=side / setting.price[asset],
            hedger=np.array(opened, int),
        )

    def at(self, values: Floats) -> Book:
        """Return the book with (candidates,) amounts of the most over the value."""
        amount = self.most / values
        factor = np.ones(len(self.book.positions))
        factor[self.row] = np.maximum(1 + self.scale * amount[self.owner], 0.0)
        book = traded(self.book, self.price, factor)
        quantity = book.quantity.copy()
        quantity[self.new] = self.units * amount[self.hedger]
        book = replace(book, quantity=quantity)
        return with_cash(book, np.where(self.cash, amount, 0.0))


def _remedy(
    task: Task,
    book: Book,
    one: _Candidate,
    solved: _Solved,
    number: int,
    before: float,
    note: str,
) -> Remedy:
    found, alpha = solved.found, task.appetite.account_liquidation_probability
    lower, upper = found.bounds[number]
    least = found.value[number]
    enough = upper <= alpha if one.kind == "isolate" else not np.isnan(least)
    amount = one.most if np.isnan(least) else one.most / least
    outcome: RemedyOutcome = "found" if enough else "does not suffice"
    if not solved.can_be_kept[number]:
        outcome = "too few paths"
    elif enough and not found.monotone[number]:
        outcome = "not monotone"
    units: dict[RemedyKind, str] = {"top up": "USD", "cut": "1", "hedge": "USD", "isolate": "USD"}
    return Remedy(
        account=book.accounts[one.account],
        kind=one.kind,
        what=one.what,
        amount=float(amount * one.side),
        unit=units[one.kind],
        cost=_cost(task, one, float(amount)),
        before=before,
        probability=float(found.tally.mean[number]),
        lower=float(lower),
        upper=float(upper),
        outcome=outcome,
        cheapest=False,
        note=note,
    )


def _cost(task: Task, one: _Candidate, amount: float) -> float:
    """Return what a remedy costs over the horizon, USD."""
    appetite = task.appetite
    if one.kind == "top up":
        return amount * appetite.capital_cost * task.setting.horizon_years
    traded_notional = {"cut": amount * one.notional, "hedge": amount}.get(one.kind, 0.0)
    return traded_notional * appetite.trading_cost


def _best(found: list[Remedy], account: str) -> list[Remedy]:
    """Return the best of each kind of an account, and mark the cheapest that helps."""
    mine = [remedy for remedy in found if remedy.account == account]

    def rank(remedy: Remedy) -> tuple[bool, float, float]:
        return not _helps(remedy), remedy.cost if _helps(remedy) else 0.0, remedy.upper

    kinds: tuple[RemedyKind, ...] = ("top up", "cut", "hedge", "isolate")
    best = [
        min(those, key=rank)
        for kind in kinds
        if (those := [remedy for remedy in mine if remedy.kind == kind])
    ]
    least = min((remedy.cost for remedy in best if _helps(remedy)), default=np.nan)
    return [replace(remedy, cheapest=_helps(remedy) and remedy.cost == least) for remedy in best]


def _helps(remedy: Remedy) -> bool:
    return remedy.outcome in ("found", "not monotone")
