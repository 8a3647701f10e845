"""One row of an exported table of positions becomes a position, checked against its own columns."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stress.errors import InputError
from stress.importers.files.numerals import Numeral
from stress.importers.files.position_table import PositionTable
from stress.importers.files.sniffing import label, shown, squeezed
from stress.importers.files.symbols import asset_of
from stress.importers.rows import PositionRow
from stress.importers.statement import DOLLARS

__all__ = ["Leg", "leg_of", "side_of"]

_SIDES = {
    **dict.fromkeys(("long", "buy", "bid", "多", "多仓", "做多", "买入"), 1),
    **dict.fromkeys(("short", "sell", "ask", "空", "空仓", "做空", "卖出"), -1),
    **dict.fromkeys(("", "both", "net", "oneway"), 0),
}
"""0: the sign of the size says it."""

_MODES = {
    **dict.fromkeys(("cross", "crossed", "crossmargin", "全仓"), "cross"),
    **dict.fromkeys(("isolated", "fixed", "isolatedmargin", "逐仓"), "isolated"),
}

_CONTRACTS = frozenset(("cont", "conts", "contract", "contracts", "lot", "lots", "张"))

_AGREES = 0.05
"""How far value and size times mark may be apart: the mark moves while an export is made. A size in
contracts is off by a factor of ten or more."""

_CENTS = 1.0
"""USD by which exports that round to cents may be apart: small positions are rounded away."""

_MOVED = 0.01
"""Share of the entry value from which on a profit has a sign that cannot be rounding or fees."""


@dataclass(frozen=True)
class Leg:
    """One open position, its row in the file, and its profit in USD (None where unknown)."""

    place: int
    row: PositionRow
    profit: float | None


def leg_of(table: PositionTable, row: int) -> Leg | None:
    """Return the position of a row, None where its size is 0 or it is left out as asked."""
    if table.text(row, "symbol") in table.stated.without:
        return None
    which = "quantity" if "quantity" in table.fields else "contracts"
    size = table.numeral(row, which)
    if size is None:
        raise table.error(row, which, "the cell is empty", "give the size, or remove the row")
    if size.value == 0:
        return None
    _check_settle(table, row)
    asset = _asset(table, row)
    quantity = _coins(table, row, which, asset, size) * _sign(table, row, size.value, which)
    entry = table.dollars(row, "entry_price")
    if entry is None or not entry > 0:
        rule = f"must be above 0, got {'nothing' if entry is None else format(entry, 'g')}"
        raise table.error(row, "entry_price", rule, "give the mean price of entry")
    _check_value(table, row, which, quantity, entry)
    profit = _profit(table, row, which, quantity, entry)
    position = PositionRow(
        account=_account(table, row),
        asset=asset,
        quantity=quantity,
        entry_price=entry,
        margin=_margin(table, row, profit),
        leverage=_leverage(table, row),
    )
    return Leg(row, position, profit)


def _account(table: PositionTable, row: int) -> str:
    if "account" not in table.fields:
        text = table.stated.account or table.sheet.file.name.split(".")[0]
    else:
        text = table.text(row, "account")
    try:
        return label(text)
    except ValueError:
        rule = f'"{shown(text)}" cannot be the name of an account'
        if "account" in table.fields:
            raise table.error(row, "account", rule, "give the account a name") from None
        raise InputError(rule, file=table.sheet.file, remedy="name it with --account") from None


def _asset(table: PositionTable, row: int) -> str:
    symbol = table.text(row, "symbol")
    try:
        return asset_of(symbol)
    except ValueError as error:
        rule = f'"{shown(symbol)}" {error}'
        remedy = "leave it out with --without SYMBOL, or mend the name"
        raise table.error(row, "symbol", rule, remedy) from None


def _check_settle(table: PositionTable, row: int) -> None:
    """Refuse a contract whose margin and profit are coins."""
    currency = table.text(row, "settle")
    if currency and currency.upper() not in DOLLARS:
        rule = f"the contract settles in {shown(currency)}"
        remedy = "only linear contracts are read from files; leave it out with --without SYMBOL"
        raise table.error(row, "settle", rule, remedy)


def _sign(table: PositionTable, row: int, size: float, which: str) -> int:
    """Return 1 or -1, the sign that makes a signed size of an unsigned one."""
    word = table.text(row, "side")
    side = side_of(table, row)
    if side is None:
        rule = f'"{shown(word)}" is no side'
        raise table.error(row, "side", rule, "write long or short, or buy or sell")
    if side > 0 > size:
        rule = f'the side is "{shown(word)}" and the size negative'
        raise table.error(row, which, rule, "give one of them right")
    # a short of -2 and one of 2 are the same
    return -1 if side < 0 < size else 1


def side_of(table: PositionTable, row: int) -> int | None:
    """Return the side that a word says, 0 where the sign of the size does; None if no word."""
    return _SIDES.get(table.text(row, "side").casefold().replace(" ", "").replace("-", ""))


def _coins(table: PositionTable, row: int, which: str, asset: str, size: Numeral) -> float:
    """Return the size in coins, with its own sign."""
    unit = size.unit or _header_unit(table, which)
    symbol = table.text(row, "symbol")
    if unit.upper() in DOLLARS and unit.upper() != asset.upper():
        rule = f"the size is in {unit.upper()}, not in coins"
        raise table.error(row, which, rule, "export the sizes in coins")
    in_contracts = unit.casefold() in _CONTRACTS or (
        not unit and (which == "contracts" or symbol.upper().endswith("-SWAP"))
    )
    if unit and not in_contracts and unit.casefold() != asset.casefold():
        rule = f'the size is in "{shown(unit)}", the contract is one of {asset}'
        raise table.error(row, which, rule, "export the sizes in coins")
    # a size in contracts that is stated for coins all the same is taken as the user says
    stated = asset in table.stated.contract_size or symbol in table.stated.contract_size
    in_contracts = in_contracts or (stated and not unit)
    return size.value * (_contract_size(table, row, which, asset) if in_contracts else 1.0)


def _header_unit(table: PositionTable, which: str) -> str:
    """Return the unit that a header such as "Size (Cont)" or "Amount(BTC)" states."""
    match = re.search(r"\(([^()]+)\)\s*\Z", table.sheet.header[table.fields[which]])
    return match[1].strip() if match else ""


def _contract_size(table: PositionTable, row: int, which: str, asset: str) -> float:
    symbol = table.text(row, "symbol")
    for name in (symbol, asset):
        if name in table.stated.contract_size:
            return table.stated.contract_size[name]
    size = table.numeral(row, "contract_size")
    if size is None:
        rule = f'the size of "{shown(symbol)}" is in contracts, and nothing says of how many coins'
        remedy = f"look it up and add --contract-size {asset}=COINS{_hint(table, row, which)}"
        raise table.error(row, which, rule, remedy)
    if not size.value > 0:
        raise table.error(row, "contract_size", f"must be above 0, got {size.value:g}", "give it")
    return size.value


def _hint(table: PositionTable, row: int, which: str) -> str:
    """Return what value and mark say that a contract is, for a person to confirm."""
    size = table.numeral(row, which)
    price = table.dollars(row, "mark_price") or table.dollars(row, "entry_price")
    value = table.dollars(row, "value")
    if size is None or not price or not value:
        return ""
    return f"; by the value of the row it is about {abs(value / price / size.value):.3g}"


def _check_value(table: PositionTable, row: int, which: str, quantity: float, entry: float) -> None:
    """Refuse a size that, times the price, is not the value of the row: contracts taken as coins.

    Exchanges value a position at the mark or at the entry, and a mark can move while they export.
    """
    value = abs(table.dollars(row, "value") or 0.0)
    mark = table.dollars(row, "mark_price")
    if not value or mark is None:
        return
    found = [abs(quantity) * price for price in (mark, entry)]
    if all(abs(worth - value) > _AGREES * max(worth, value) + _CENTS for worth in found):
        rule = f"{abs(quantity):g} at the mark {mark:g} is {found[0]:,.6g}, the value {value:,.6g}"
        remedy = "if sizes are in contracts, say --contract-size ASSET=COINS"
        raise table.error(row, which, rule, remedy + _hint(table, row, which))


def _profit(
    table: PositionTable, row: int, which: str, quantity: float, entry: float
) -> float | None:
    """Return a position's profit, None where unknown; refuse one that its side cannot have."""
    profit, mark = (table.dollars(row, name) for name in ("profit", "mark_price"))
    if mark is None:
        return profit
    expected = quantity * (mark - entry)
    if profit is None:
        return expected
    moved = _MOVED * abs(quantity) * entry + _CENTS
    if min(abs(expected), abs(profit)) > moved and (expected > 0) != (profit > 0):
        side = "long" if quantity > 0 else "short"
        rule = f"a {side} from {entry:g} to {mark:g} has not the profit of the row, {profit:,.6g}"
        remedy = "give the side with --column side=NAME, or a sign to the size"
        raise table.error(row, which, rule, remedy)
    return profit


def _margin(table: PositionTable, row: int, profit: float | None) -> float | None:
    """Return what was put behind an isolated position, None where it is cross."""
    if _mode(table, row) == "cross":
        return None
    margin, name = table.dollars(row, "margin"), "margin"
    if margin is None:
        margin, name = _margin_less_profit(table, row, profit), "margin_with_profit"
    if margin is None:
        rule = "the position is isolated, and no column is known as its margin"
        remedy = "name the column with --column margin=NAME"
        place = "margin_mode" if "margin_mode" in table.fields else "symbol"
        raise table.error(row, place, rule, remedy)
    if margin < 0:
        rule = f"the margin of an isolated position must not be negative, got {margin:g}"
        raise table.error(row, name, rule, "give what was put behind it, without its profit")
    return margin


def _margin_less_profit(table: PositionTable, row: int, profit: float | None) -> float | None:
    margin = table.dollars(row, "margin_with_profit")
    if margin is None:
        return None
    if profit is None:
        rule = "the margin includes profit, and nothing says how much"
        remedy = "add a column with the mark price or the unrealised profit"
        raise table.error(row, "margin_with_profit", rule, remedy)
    return margin - profit


def _mode(table: PositionTable, row: int) -> str:
    """Return "cross" or "isolated"."""
    if "margin_mode" not in table.fields:
        if table.stated.margin_mode is not None:
            return table.stated.margin_mode
        for name in ("margin", "margin_with_profit"):
            if table.dollars(row, name):
                rule = "there is a margin, and nothing says whether positions are cross or isolated"
                remedy = "say --margin-mode cross or --margin-mode isolated"
                raise table.error(row, name, rule, remedy)
        return "cross"
    word = table.text(row, "margin_mode")
    key = squeezed(word)
    if squeezed(table.sheet.header[table.fields["margin_mode"]]) == "trademode":
        # Bybit counts them
        key = {"0": "cross", "1": "isolated"}.get(key, key)
    if key not in _MODES:
        rule = f'"{shown(word)}" is no margin mode'
        raise table.error(row, "margin_mode", rule, "write cross or isolated")
    return _MODES[key]


def _leverage(table: PositionTable, row: int) -> float | None:
    """Return the leverage of "20", "20x" or "Cross 20X"; None where there is none."""
    text = table.text(row, "leverage")
    if not text:
        return None
    match = re.fullmatch(r"(?:[A-Za-z]+\s*)?([0-9]{1,4}(?:[.,][0-9]{1,4})?)\s*[xX×]?", text)  # noqa: RUF001
    if match is None:
        rule = f'"{shown(text)}" is no leverage'
        raise table.error(row, "leverage", rule, "write 20 or 20x, or leave the cell empty")
    value = float(match[1].replace(",", "."))
    return value if value > 0 else None
