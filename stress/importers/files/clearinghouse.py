"""Hyperliquid's ``clearinghouseState`` from files: one user's reply, or many in one JSON or JSONL.

The reply is that of the ``info`` endpoint, documented at
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint/perpetuals.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import fsum
from os import PathLike
from pathlib import Path
from typing import Any

from stress.errors import InputError, ending
from stress.importers.files.sniffing import counted, label, read_text, shown
from stress.importers.rows import AccountRow, ImportedBook, PositionRow

__all__ = ["looks_like_json", "read_clearinghouse"]

_USERS = ("user", "address", "account", "wallet")
_NESTED = ("clearinghouseState", "state", "data")
_STATE = "assetPositions"

_WHOLE = 1e-3
"""Relative difference that may be between a reply's own sum and that of its positions, whose values
are rounded one by one. More is a reply that was cut."""

_ONE_MOMENT = timedelta(minutes=10)
"""How far apart the states of one book may be without a word."""

_REMEDY = "save the reply of clearinghouseState as it is"


@dataclass(frozen=True)
class _State:
    """One reply and where it stands: ``place`` is what messages call it."""

    user: str | None
    place: str
    reply: Mapping[str, Any]


@dataclass(frozen=True)
class _Account:
    """What one reply says: its row, its positions, its moment in ms, positions of size 0."""

    row: AccountRow
    positions: tuple[PositionRow, ...]
    time: int | None
    empty: int


def looks_like_json(path: str | PathLike[str]) -> bool:
    """Whether a file's text begins as JSON does."""
    return read_text(path).lstrip()[:1] in ("{", "[")


def read_clearinghouse(
    path: str | PathLike[str],
    *,
    account: str | None = None,
    as_of: datetime | None = None,
    without: Sequence[str] = (),
) -> ImportedBook:
    """Read the clearinghouse states of one user or of many.

    Understood are a reply alone; a reply with its user beside it (``{"user": ..., "state": ...}``,
    the channel ``webData2``); an object of user to reply; a list, or JSON lines, of any of these.

    A cross pool's cash is ``crossMarginSummary.totalRawUsd`` plus quantity times entry price of its
    positions, an isolated margin ``leverage.rawUsd`` plus the same of its own: equity at the mark
    is then that of the reply to the last digit, however the entry price was rounded.

    Parameters
    ----------
    path
        The file.
    account
        Label of the account of a reply that does not say whose it is; None takes the file's name.
    as_of
        Moment of the book, where the replies hold no ``time``; wins over theirs.
    without
        Coins whose positions are left out.

    Raises
    ------
    MissingInputError
        There is no such file.
    InputError
        It is no JSON of this kind, a reply is not whole, a user stands there twice, or nothing says
        of when it is.
    """
    file = Path(path)
    states = _states(file, read_text(file))
    accounts = [_account(file, state, account) for state in states]
    _refuse_twice(file, accounts, states)
    held = [row for account in accounts for row in account.positions]
    positions = tuple(row for row in held if row.asset not in without)
    if not positions:
        rule = f"holds no open position of {counted(len(accounts), 'account')}"
        raise InputError(rule, file=file, remedy="there is nothing to stress")
    moment, spread = _as_of(file, accounts, as_of)
    owner = accounts[0].row.account if len(accounts) == 1 else "accounts"
    return ImportedBook(
        accounts=tuple(account.row for account in accounts),
        positions=positions,
        collateral=(),
        as_of=moment,
        source=f"hyperliquid {owner} by clearinghouse states in {shown(file.name)}",
        notices=(*_notices(accounts, positions, spread), *_left_out(held, without)),
    )


def _states(file: Path, text: str) -> list[_State]:
    """Return the replies of a file, whatever they are packed in."""
    try:
        found = list(_found(_json(text), None, ""))
    except ValueError:
        found = list(_lines(file, text))
    except RecursionError:
        raise InputError("is nested too deep", file=file, remedy=_REMEDY) from None
    if not found:
        raise InputError(f'holds no reply with "{_STATE}"', file=file, remedy=_REMEDY)
    if len(found) > 1 and any(state.user is None for state in found):
        place = next(state.place for state in found if state.user is None)
        rule = "one reply of several does not say whose it is"
        remedy = 'write {"user": ..., "state": REPLY} for each'
        raise InputError(rule, file=file, key=place or None, remedy=remedy)
    return found


def _lines(file: Path, text: str) -> Iterator[_State]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            content = _json(line)
        except (ValueError, RecursionError) as error:
            rule = f"is not JSON: {shown(str(error))}"
            raise InputError(rule, file=file, key=f"line {number}", remedy=_REMEDY) from None
        yield from _found(content, None, f"line {number}")


def _json(text: str) -> Any:
    return json.loads(text, parse_constant=lambda name: None)


def _found(content: Any, user: str | None, place: str) -> Iterator[_State]:
    """Return the replies inside a JSON value; what is none is left for ``_states`` to miss."""
    if isinstance(content, list):
        if len(content) == 2 and isinstance(content[0], str):
            yield from _found(content[1], content[0], place)
            return
        for number, item in enumerate(content, start=1):
            yield from _found(item, None, _inside(place, f"item {number}"))
    elif isinstance(content, dict):
        own = next((content[key] for key in _USERS if isinstance(content.get(key), str)), user)
        nested = next((key for key in _NESTED if isinstance(content.get(key), dict)), None)
        if _STATE in content:
            yield _State(own, place, content)
        elif nested is not None:
            yield from _found(content[nested], own, _inside(place, nested))
        else:
            for key, value in content.items():
                if isinstance(value, dict):
                    yield from _found(value, str(key), _inside(place, shown(str(key))))


def _inside(place: str, name: str) -> str:
    return f"{place}, {name}" if place else name


def _account(file: Path, state: _State, given: str | None) -> _Account:
    name = _name(file, state, given)
    entries = _member(file, state, state.reply, _STATE, list)
    positions, signed, gross, empty = [], [], [], 0
    for number, entry in enumerate(entries, start=1):
        at = _State(state.user, _inside(state.place, f"position {number}"), state.reply)
        row, value = _position(file, at, name, entry)
        if row is None:
            empty += 1
            continue
        positions.append(row)
        gross.append(abs(value))
        signed.append(value if row.margin is None else 0.0)
    _check_whole(file, state, fsum(gross), fsum(map(abs, signed)))
    cross = [row for row in positions if row.margin is None]
    raw = _summary(file, state, "crossMarginSummary", "totalRawUsd")
    _check_equity(file, state, raw + fsum(signed), fsum(gross))
    cash = raw + fsum(row.quantity * row.entry_price for row in cross)
    return _Account(AccountRow(name, cash), tuple(positions), _time(file, state), empty)


def _name(file: Path, state: _State, given: str | None) -> str:
    # only a reply that stands alone may be without a user
    text = state.user if state.user is not None else given or file.name.split(".")[0]
    try:
        return label(text)
    except ValueError:
        rule = f'"{shown(text)}" cannot be the name of an account'
        remedy = "give the user another name, or name a reply alone with --account"
        raise InputError(rule, file=file, key=state.place or None, remedy=remedy) from None


def _position(
    file: Path, state: _State, account: str, entry: Any
) -> tuple[PositionRow | None, float]:
    """Return a position and its signed value at the mark in USD; None where its size is 0."""
    position = entry.get("position") if isinstance(entry, dict) else None
    if not isinstance(position, dict):
        raise _error(file, state, 'has no "position"')
    quantity = _number(file, state, position, "szi")
    if quantity == 0:
        return None, 0.0
    if entry.get("type", "oneWay") != "oneWay":
        raise _error(file, state, f'is of the type "{shown(str(entry["type"]))}", not oneWay')
    price = _number(file, state, position, "entryPx")
    if price <= 0:
        raise _error(file, state, f"entryPx must be above 0, got {price:g}")
    leverage = _member(file, state, position, "leverage", dict)
    value = abs(_number(file, state, position, "positionValue"))
    margin = None
    if leverage.get("type") == "isolated":
        raw = _number(file, state, leverage, "rawUsd")
        margin, price = _isolated(file, state, raw, quantity, price, value)
    elif leverage.get("type") != "cross":
        raise _error(file, state, "leverage.type must be cross or isolated")
    setting = _number(file, state, leverage, "value")
    row = PositionRow(
        account=account,
        asset=_coin(file, state, position),
        quantity=quantity,
        entry_price=price,
        margin=margin,
        leverage=setting if setting > 0 else None,
    )
    return row, value if quantity > 0 else -value


def _isolated(
    file: Path, state: _State, raw: float, quantity: float, price: float, value: float
) -> tuple[float, float]:
    """Return margin and entry price of an isolated position.

    Profit can be taken out of it, until less than nothing was put in. No table can say so; the same
    position as if entered at the mark can, and is worth the same at every price.
    """
    margin = raw + quantity * price
    if margin >= 0:
        return margin, price
    mark = value / abs(quantity)
    margin = raw + quantity * mark
    if margin < 0 or mark <= 0:
        raise _error(file, state, f"the isolated position is worth {margin:,.2f} USD")
    return margin, mark


def _coin(file: Path, state: _State, position: Mapping[str, Any]) -> str:
    name = position.get("coin")
    try:
        return label(name if isinstance(name, str) else "")
    except ValueError:
        raise _error(file, state, f'coin "{shown(str(name))}" is no name') from None


def _check_whole(file: Path, state: _State, gross: float, cross: float) -> None:
    """Refuse a reply whose positions are not all that its own sum was made of."""
    key = "marginSummary" if "marginSummary" in state.reply else "crossMarginSummary"
    gross = gross if key == "marginSummary" else cross
    stated = _summary(file, state, key, "totalNtlPos")
    if abs(stated - gross) > _WHOLE * max(stated, gross) and max(stated, gross) > 1:
        rule = f"the positions add up to {gross:,.2f} USD, {key}.totalNtlPos says {stated:,.2f}"
        raise _error(file, state, rule)


def _check_equity(file: Path, state: _State, equity: float, gross: float) -> None:
    stated = _summary(file, state, "crossMarginSummary", "accountValue")
    if abs(stated - equity) > _WHOLE * max(abs(stated), abs(equity), gross) + 1:
        rule = (
            f"the cross pool is worth {equity:,.2f} USD by totalRawUsd and its positions,"
            f" crossMarginSummary.accountValue says {stated:,.2f}"
        )
        raise _error(file, state, rule)


def _summary(file: Path, state: _State, summary: str, key: str) -> float:
    return _number(file, state, _member(file, state, state.reply, summary, dict), key)


def _member(file: Path, state: _State, content: Mapping[str, Any], key: str, kind: Any) -> Any:
    value = content.get(key)
    if not isinstance(value, kind):
        raise _error(file, state, f'has no "{key}"')
    return value


def _number(file: Path, state: _State, content: Mapping[str, Any], key: str) -> float:
    """Return a number, which the exchange writes as text."""
    cell = content.get(key)
    try:
        if isinstance(cell, bool) or not isinstance(cell, (str, int, float)):
            raise ValueError(cell)
        value = float(cell)
        # beyond this a product of two is no longer a number
        if not abs(value) < 1e100:
            raise ValueError(cell)
    except (ValueError, OverflowError):
        raise _error(file, state, f'{key} must be a number, got "{shown(str(cell))}"') from None
    return value


def _time(file: Path, state: _State) -> int | None:
    if state.reply.get("time") is None:
        return None
    value = _number(file, state, state.reply, "time")
    if not 10**11 <= value < 10**14:
        raise _error(file, state, f"time must be unix time in ms, got {value:g}")
    return int(value)


def _error(file: Path, state: _State, rule: str) -> InputError:
    return InputError(rule, file=file, key=state.place or None, remedy=_REMEDY)


def _refuse_twice(file: Path, accounts: list[_Account], states: list[_State]) -> None:
    first: dict[str, str] = {}
    for account, state in zip(accounts, states, strict=True):
        name = account.row.account
        if name in first:
            rule = f'user "{shown(name)}" stands in {first[name]} already'
            remedy = "keep one state of each user; a state of another perp dex is another account"
            raise InputError(rule, file=file, key=state.place, remedy=remedy)
        first[name] = state.place


def _as_of(
    file: Path, accounts: list[_Account], stated: datetime | None
) -> tuple[datetime, timedelta]:
    """Return the moment of the oldest state, and how much younger the youngest is."""
    times = [account.time for account in accounts if account.time is not None]
    if stated is not None:
        return stated, timedelta(0)
    if len(times) < len(accounts):
        rule = "does not say of when it is: a reply has no time"
        remedy = "add --as-of with the moment of the reply, such as 2026-11-22T01:00:00Z"
        raise InputError(rule, file=file, remedy=remedy)
    oldest = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=min(times))
    return oldest, timedelta(milliseconds=max(times) - min(times))


def _notices(
    accounts: list[_Account], positions: tuple[PositionRow, ...], spread: timedelta
) -> tuple[str, ...]:
    isolated = sum(row.margin is not None for row in positions)
    found = [
        f"{counted(len(accounts), 'account')}, {counted(len(positions), 'position')} read,"
        f" {isolated:,} of them isolated"
    ]
    if spread > _ONE_MOMENT:
        found.append(f"the states are up to {spread} apart; as_of is that of the oldest")
    if empty := sum(account.empty for account in accounts):
        found.append(f"{counted(empty, 'position')} of size 0 left out")
    cross = {row.account for row in positions if row.margin is None}
    indebted = [a.row.account for a in accounts if a.row.cash < 0 and a.row.account not in cross]
    if indebted:
        found.append(f"negative cash without a cross position: {ending(indebted)}")
    return tuple(found)


def _left_out(held: Sequence[PositionRow], without: Sequence[str]) -> tuple[str, ...]:
    found = [name for name in without if any(row.asset == name for row in held)]
    return (f"left out as asked: {ending(found)}",) if found else ()
