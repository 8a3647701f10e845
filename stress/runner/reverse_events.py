"""What reverse stress asks about, decided before the first path: so its paths can be written down.

Which accounts: those nearest to their liquidation and the largest ones. How near is the excess over
the standard deviation, up to the horizon, of what the positions are worth: a rough distance, that
of the linearised book, good enough to choose by.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from stress.book.display import MarginDisplay, margin_display, pool_margins
from stress.measure.typical_path import Event, EventMeasure
from stress.runner.prepare import Job
from stress.types import Floats

__all__ = ["event_measure", "reverse_events"]

_NEAREST, _LARGEST = 3, 3
"""Accounts that are asked about: those nearest to liquidation, and those with the most notional."""
_SHARES = (0.10, 0.25)
"""Shares of the accounts and of the notional."""
_FEWEST_ACCOUNTS = 10
"""Accounts from which a share of the book is asked about: of fewer it is one account or two."""
_ROWS = 1 << 15
"""Pools whose deviations are worked out together."""


def event_measure(job: Job) -> EventMeasure | None:
    """Return what writes down on which paths the events happen; None where nothing is asked."""
    events = reverse_events(job) if job.scenario.analysis.reverse_stress else ()
    if not events:
        return None
    notional = np.nan_to_num(_display(job).gross_notional)
    return EventMeasure(events, notional, job.main.pools.exists)


def reverse_events(job: Job) -> tuple[Event, ...]:
    """Return the events in the order in which they are told."""
    accounts = job.book.accounts
    events = [
        Event(f"{accounts[index]} is liquidated", "account", account=index)
        for index in _chosen_accounts(job)
    ]
    if job.main.pools.exists.sum() >= _FEWEST_ACCOUNTS:
        for share in _SHARES:
            name = f"more than {share:.0%} of the accounts are liquidated".replace("%", " %")
            events.append(Event(name, "accounts", share=share))
        for share in _SHARES:
            name = f"accounts with more than {share:.0%} of the notional are liquidated"
            events.append(Event(name.replace("%", " %"), "notional", share=share))
    if job.setting.venue.fund > 0:
        events.append(Event("the insurance fund is exhausted", "fund"))
    return tuple(events)


def _chosen_accounts(job: Job) -> list[int]:
    """Return the accounts that are asked about: nearest first, then largest, each once."""
    shown = _display(job)
    alive = job.main.pools.exists & ~shown.in_breach & (shown.gross_notional > 0)
    distance = np.where(alive, _distance(job), np.inf)
    notional = np.where(alive, np.nan_to_num(shown.gross_notional), 0.0)
    nearest = np.argsort(distance, kind="stable")[:_NEAREST]
    largest = np.argsort(-notional, kind="stable")[:_LARGEST]
    return [one for one in dict.fromkeys([*nearest.tolist(), *largest.tolist()]) if alive[one]]


def _display(job: Job) -> MarginDisplay:
    return margin_display(job.book, job.setting, job.main_mode)


def _distance(job: Job) -> Floats:
    """Return (accounts,) excess over standard deviation, the least of each account's pools."""
    book, setting, pools = job.book, job.setting, job.main.pools
    at = pool_margins(book, pools, setting, setting.price)
    held = pools.pool_of_position >= 0
    worth = (book.quantity * setting.price[book.position_asset])[held]
    place = (pools.pool_of_position[held], book.position_asset[held])
    signed = csr_matrix((worth, place), shape=(len(pools.cash), len(setting.assets)))
    deviation = setting.volatility * np.sqrt(setting.horizon_years)
    covariance = deviation[:, None] * setting.correlation * deviation
    variance = np.concatenate(
        [_variances(signed[first : first + _ROWS], covariance) for first in _starts(signed)]
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = (at.equity - at.required) / np.sqrt(variance)
    distance = np.where((at.notional > 0) & (variance > 0), distance, np.inf)
    first = np.searchsorted(pools.account, np.arange(len(book.accounts)))
    return np.minimum.reduceat(distance, first)


def _starts(signed: csr_matrix) -> range:
    return range(0, signed.shape[0], _ROWS)


def _variances(signed: csr_matrix, covariance: Floats) -> Floats:
    return np.asarray(signed.multiply(signed @ covariance).sum(axis=1)).ravel()
