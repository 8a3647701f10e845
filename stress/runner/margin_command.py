"""``margin-stress margin FILE``: the aggregate margin display, nothing simulated."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import numpy as np

from stress.book.book import Book
from stress.book.display import MarginDisplay, margin_display, net_positions
from stress.book.notices import starting_notices
from stress.book.setting import Setting
from stress.errors import InputError, closest
from stress.scenario.build import build_setting, load_book
from stress.scenario.freshness import check_freshness
from stress.scenario.load import load_scenario
from stress.types import Floats, Integers, Mode

__all__ = ["margin_command"]

_NONE = "-"


def margin_command(file: str, *, shocks: dict[str, float], mode: Mode | None, as_json: bool) -> int:
    """Print every account and its positions, the nearest to liquidation first.

    Parameters
    ----------
    file
        The scenario.
    shocks
        Return of a mark by asset, above -1: the display is of the marks after it. Counterparts are
        made before it.
    mode
        The world shown; the scenario's main one where not given.

    Raises
    ------
    InputError
        If the scenario cannot be used or a shocked asset is not in it.
    """
    scenario = load_scenario(file, mode=mode)
    check_freshness(scenario)
    setting = build_setting(scenario)
    book, notices = load_book(scenario)
    for asset in shocks:
        if asset not in setting.assets:
            raise InputError(
                f'the scenario has no asset "{asset}"',
                file=file,
                key="--shock",
                remedy=closest(asset, setting.assets),
            )
    moves = np.array([shocks.get(asset, 0.0) for asset in setting.assets])
    marks = setting.price * (1 + moves)
    display = margin_display(book, setting, scenario.book.mode, marks)
    notices = (*notices, *starting_notices(book, setting, (scenario.book.mode,)))
    if as_json:
        print(json.dumps(_as_json(book, setting, marks, display, notices), allow_nan=False))
        return 0
    _print_tables(book, setting, marks, display)
    for notice in notices:
        print(f"warning: {notice}", file=sys.stderr)
    return 0


def _print_tables(book: Book, setting: Setting, marks: Floats, display: MarginDisplay) -> None:
    width = max(12, *(len(name) + 2 for name in book.accounts))
    columns = ("equity", "maintenance", "ratio", "level", "excess", "leverage")
    print(f"{'account':<{width}}" + "".join(f"{name:>15}" for name in columns) + "  mark")
    positions = _positions_by_account(book)
    for account in _nearest_first(book, display):
        print(_account_line(book, display, account, width))
        rows = positions[account]
        # nearest first: the smallest move that liquidates, positions without a price last
        distance = np.nan_to_num(np.abs(display.liquidation_distance[rows]), nan=np.inf)
        for row in rows[np.argsort(distance, kind="stable")]:
            print(_position_line(book, setting, marks, display, int(row)))
    _print_net(book, setting)


def _account_line(book: Book, display: MarginDisplay, account: int, width: int) -> str:
    numbers = (
        _number(display.equity[account], ",.2f"),
        _number(display.maintenance_margin[account], ",.2f"),
        _number(display.margin_ratio[account], ".4f"),
        _number(display.margin_level[account], ".4f"),
        _number(display.excess[account], ",.2f"),
        _number(display.effective_leverage[account], ".2f"),
    )
    line = f"{book.accounts[account]:<{width}}" + "".join(f"{text:>15}" for text in numbers)
    mark = _mark(display, account)
    return f"{line}  {mark}" if mark else line


def _mark(display: MarginDisplay, account: int) -> str:
    if display.in_breach[account]:
        return "IN BREACH"
    return "HIDDEN DISTRESS" if display.hidden_distress[account] else ""


def _position_line(
    book: Book, setting: Setting, marks: Floats, display: MarginDisplay, row: int
) -> str:
    asset = book.position_asset[row]
    side = "long" if book.quantity[row] > 0 else "short"
    price, distance = display.liquidation_price[row], display.liquidation_distance[row]
    liquidation = "no liquidation price"
    if not math.isnan(price):
        liquidation = f"liquidated at {price:,.8g} ({distance:+.2%})"
    held = f"{setting.assets[asset]} {side} {abs(book.quantity[row]):,.8g} at {marks[asset]:,.8g}"
    return f"    {book.positions[row]}: {held}: {liquidation}"


def _print_net(book: Book, setting: Setting) -> None:
    net, gross = net_positions(book, setting)
    print(f"{'asset':<12}{'net, USD':>20}{'gross, USD':>20}")
    for number, asset in enumerate(setting.assets):
        print(f"{asset:<12}{net[number]:>20,.0f}{gross[number]:>20,.0f}")


def _nearest_first(book: Book, display: MarginDisplay) -> Integers:
    """Return accounts by margin ratio, largest first; those without a counterpart last."""
    ratio = np.nan_to_num(display.margin_ratio, nan=-1.0, posinf=np.inf)
    return np.argsort(-ratio, kind="stable")


def _positions_by_account(book: Book) -> list[Integers]:
    order = np.argsort(book.position_account, kind="stable")
    ends = np.searchsorted(book.position_account[order], np.arange(1, len(book.accounts)))
    return np.split(order, ends)


def _number(value: float, form: str) -> str:
    return _NONE if math.isnan(value) else format(value, form)


def _as_json(
    book: Book,
    setting: Setting,
    marks: Floats,
    display: MarginDisplay,
    notices: tuple[str, ...],
) -> dict[str, Any]:
    """Return the display for a program; null stands for NaN and for infinity."""
    net, gross = net_positions(book, setting)
    accounts = ("equity", "maintenance_margin", "margin_ratio", "margin_level", "excess")
    positions = ("notional", "liquidation_price", "liquidation_distance", "planned_risk")
    return {
        "marks": dict(zip(setting.assets, marks.tolist(), strict=True)),
        "accounts": [
            {
                "account": book.accounts[row],
                **{name: _finite(getattr(display, name)[row]) for name in accounts},
                "effective_leverage": _finite(display.effective_leverage[row]),
                "in_breach": bool(display.in_breach[row]),
                "hidden_distress": bool(display.hidden_distress[row]),
            }
            for row in _nearest_first(book, display).tolist()
        ],
        "positions": [
            {
                "position": book.positions[row],
                "account": book.accounts[book.position_account[row]],
                "asset": setting.assets[book.position_asset[row]],
                "quantity": float(book.quantity[row]),
                **{name: _finite(getattr(display, name)[row]) for name in positions},
            }
            for row in range(len(book.positions))
        ],
        "net_position": dict(zip(setting.assets, net.tolist(), strict=True)),
        "gross_position": dict(zip(setting.assets, gross.tolist(), strict=True)),
        "notices": list(notices),
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
