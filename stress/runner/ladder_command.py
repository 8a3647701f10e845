"""``margin-stress ladder FILE``: the liquidation ladder of a book, nothing simulated."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import numpy as np

from stress.book.display import net_positions
from stress.book.ladder import Ladder, ladder_notices, liquidation_ladder
from stress.book.notices import starting_notices
from stress.book.setting import Setting
from stress.scenario.build import build_setting, load_book
from stress.scenario.freshness import check_freshness
from stress.scenario.load import load_scenario
from stress.types import Array, Floats, Integers, Mode

__all__ = ["ladder_command"]

_NONE = "-"

_SHOWN = (-0.2, -0.1, -0.05, -0.01, 0.01, 0.05, 0.1, 0.2)
"""Moves in the printed table; JSON holds all of them."""


def ladder_command(file: str, *, mode: Mode | None, as_json: bool) -> int:
    """Print reproduction numbers and what a move of each asset alone liquidates.

    The asset with the largest reproduction number stands first.

    Parameters
    ----------
    file
        The scenario.
    mode
        The world shown; the scenario's main one where not given.

    Raises
    ------
    InputError
        If the scenario cannot be used.
    """
    scenario = load_scenario(file, mode=mode)
    check_freshness(scenario)
    setting = build_setting(scenario)
    book, notices = load_book(scenario)
    world = scenario.book.mode
    ladder = liquidation_ladder(book, setting, world)
    net, _ = net_positions(book, setting)
    notices = (
        *notices,
        *starting_notices(book, setting, (world,)),
        *ladder_notices(book, setting, ladder),
    )
    if as_json:
        print(json.dumps(_as_json(setting, ladder, net, notices), allow_nan=False))
        return 0
    _print_tables(setting, ladder, net)
    for notice in notices:
        print(f"warning: {notice}", file=sys.stderr)
    return 0


def _print_tables(setting: Setting, ladder: Ladder, net: Floats) -> None:
    order = _riskiest_first(ladder)
    width = max(12, *(len(name) + 2 for name in setting.assets))
    columns = ("net, USD", "depth 1 %, USD", "number, fall", "number, rise", "largest", "after")
    print(f"{'asset':<{width}}" + "".join(f"{name:>16}" for name in columns))
    for asset in order:
        print(_number_line(setting, ladder, net, int(asset), width))
    print("\nto be liquidated when the asset alone moves, USD")
    print(f"{'asset':<{width}}" + "".join(f"{move:>+15.0%}" for move in _SHOWN))
    places = [_place(ladder, move) for move in _SHOWN]
    for asset in order:
        print(_move_line(setting.assets[asset], ladder.liquidated_notional[asset, places], width))
    print(_move_line("all assets", ladder.market_liquidated_notional[places], width))
    print(_move_line("  accounts", ladder.market_accounts[places], width))


def _number_line(setting: Setting, ladder: Ladder, net: Floats, asset: int, width: int) -> str:
    largest, after = _largest(ladder, asset)
    numbers = (
        _number(net[asset], ",.0f"),
        _number(ladder.depth[asset], ",.0f"),
        _number(ladder.reproduction_number_fall[asset], ".3f"),
        _number(ladder.reproduction_number_rise[asset], ".3f"),
        _number(largest, ".3f"),
        _number(after, "+.1%"),
    )
    line = f"{setting.assets[asset]:<{width}}" + "".join(f"{text:>16}" for text in numbers)
    mark = "FEEDS ITSELF" if ladder.reproduction_number[asset] > 1 else ""
    return f"{line}  {mark}" if mark else line


def _move_line(name: str, numbers: Array, width: int) -> str:
    return f"{name:<{width}}" + "".join(f"{number:>15,.0f}" for number in numbers)


def _largest(ladder: Ladder, asset: int) -> tuple[float, float]:
    """Return the largest number along an asset's ladder and the move after which it stands.

    NaN for both without depth, and NaN for the move where none forces any flow.
    """
    place = int(np.argmax(ladder.reproduction_number_along[asset]))
    largest = float(ladder.reproduction_number_along[asset, place])
    return largest, float(ladder.moves[place]) if largest > 0 else math.nan


def _riskiest_first(ladder: Ladder) -> Integers:
    """Return assets by reproduction number, then by the largest along the ladder, then by notional.

    Those without depth stand by notional alone, last.
    """
    number = np.nan_to_num(ladder.reproduction_number, nan=-1.0)
    along = np.nan_to_num(ladder.reproduction_number_along.max(axis=1), nan=-1.0)
    notional = ladder.liquidated_notional.max(axis=1)
    return np.lexsort((-notional, -along, -number))


def _place(ladder: Ladder, move: float) -> int:
    return int(np.argmin(np.abs(ladder.moves - move)))


def _number(value: float, form: str) -> str:
    return _NONE if math.isnan(value) else format(value, form)


def _as_json(
    setting: Setting, ladder: Ladder, net: Floats, notices: tuple[str, ...]
) -> dict[str, Any]:
    """Return the whole ladder for a program; null stands for NaN."""
    single = ("depth_1pct", "reproduction_number_fall", "reproduction_number_rise")
    numbers = (ladder.depth, ladder.reproduction_number_fall, ladder.reproduction_number_rise)
    rows = []
    for asset in _riskiest_first(ladder).tolist():
        largest, after = _largest(ladder, asset)
        rows.append(
            {
                "asset": setting.assets[asset],
                "net_position": float(net[asset]),
                **{name: _finite(row[asset]) for name, row in zip(single, numbers, strict=True)},
                "reproduction_number": _finite(ladder.reproduction_number[asset]),
                "largest_reproduction_number": _finite(largest),
                "largest_reproduction_number_after": _finite(after),
                "liquidated_notional": ladder.liquidated_notional[asset].tolist(),
                "accounts": ladder.accounts[asset].tolist(),
                "reproduction_number_along": [
                    _finite(number) for number in ladder.reproduction_number_along[asset]
                ],
            }
        )
    return {
        "moves": ladder.moves.tolist(),
        "assets": rows,
        "market_liquidated_notional": ladder.market_liquidated_notional.tolist(),
        "market_accounts": ladder.market_accounts.tolist(),
        "notices": list(notices),
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
