"""Venue presets: what real venues' rules come to in the keys of ``[venue]``, dated and sourced.

One TOML file a preset. ``[venue]`` holds keys of the scenario file and nothing else;
``approximates`` has one sentence for each thing that these keys cannot express or that was not
known; every ``[[source]]`` names the keys that it stands for. A key that the venue does not
publish is left out, so that the scenario's own value or default holds.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from os import PathLike
from pathlib import Path
from typing import Any

from stress.data.tables import suggestion
from stress.errors import InputError

__all__ = ["Preset", "Source", "load_preset", "preset_names", "with_preset"]

_HOME = Path(__file__).resolve().parent

_MERGED = ("haircut", "tiers", "impact", "fund", "funding", "deleveraging", "decision")
"""Tables of ``[venue]`` that are merged entry by entry; every other key is replaced whole, the
trigger too: half of one trigger and half of another would be no trigger."""

_BY_ASSET = ("haircut", "tiers")
"""Tables of a preset that name assets, of which a scenario has some."""


@dataclass(frozen=True)
class Source:
    """Where numbers of a preset come from.

    Attributes
    ----------
    keys
        Dotted keys of ``[venue]``, such as ``"fee"`` or ``"tiers.BTC"``.
    grade
        ``"S"`` source code, ``"D"`` the venue's own page, ``"M"`` a mirror, a recording or
        somebody else who restates the venue, ``"I"`` inference.
    where
        A page, or ``repository@commit:file``.
    read
        The day on which it was recorded, or read where that is not known.
    note
        What else there is to know about it; may be empty.
    """

    keys: tuple[str, ...]
    grade: str
    where: str
    read: date
    note: str


@dataclass(frozen=True)
class Preset:
    """A venue's rules as far as the keys of ``[venue]`` can express them.

    Attributes
    ----------
    name, title
        What a scenario writes, and what a reader reads.
    as_of
        The day that its tier table is of.
    approximates
        One sentence for each thing in which the preset differs from the venue.
    venue
        The keys of ``[venue]`` that it sets, as plain TOML values.
    sources
        Where they come from; together they name every key.
    """

    name: str
    title: str
    as_of: date
    approximates: tuple[str, ...]
    venue: dict[str, Any]
    sources: tuple[Source, ...]


def preset_names() -> tuple[str, ...]:
    """Return the names of the presets, sorted."""
    return tuple(sorted(file.stem for file in _HOME.glob("*.toml")))


def load_preset(name: str, file: str | PathLike[str] | None = None) -> Preset:
    """Read a preset; nothing in it is shared with another call.

    Parameters
    ----------
    name
        One of `preset_names`.
    file
        The scenario that names it, for the message.

    Raises
    ------
    InputError
        There is no such preset.
    """
    known = preset_names()
    if name not in known:
        rule = f'there is no preset "{name}"'
        raise InputError(rule, file=file, key="venue.preset", remedy=suggestion(name, known))
    raw = tomllib.loads((_HOME / f"{name}.toml").read_text(encoding="utf-8"))
    return Preset(
        name=raw["name"],
        title=raw["title"],
        as_of=raw["as_of"],
        approximates=tuple(raw["approximates"]),
        venue=raw["venue"],
        sources=tuple(
            Source(tuple(row["keys"]), row["grade"], row["where"], row["read"], row.get("note", ""))
            for row in raw["source"]
        ),
    )


def with_preset(raw: Mapping[str, Any], file: str | PathLike[str] | None = None) -> dict[str, Any]:
    """Return a scenario, as read from TOML, with the preset that it names filled in.

    What the scenario states wins, key by key: tiers and haircuts asset by asset, the tables of
    impact, fund, funding, deleveraging and decision entry by entry, the trigger whole. Tiers and
    haircuts of the preset for assets that the scenario does not have are dropped. ``preset``
    stays where it is, and filling in twice is filling in once, so that a resolved scenario runs
    as it did.

    Parameters
    ----------
    raw
        The scenario, not validated: what is no table or no list is left for validation to refuse.
    file
        The scenario's file, for the message.

    Raises
    ------
    InputError
        There is no such preset.
    """
    venue = raw.get("venue")
    if not isinstance(venue, Mapping) or "preset" not in venue:
        return dict(raw)
    name = venue["preset"]
    if not isinstance(name, str):
        rule = f"must be the name of a preset, got {name!r}"
        remedy = "known: " + ", ".join(preset_names())
        raise InputError(rule, file=file, key="venue.preset", remedy=remedy)
    base = _of_assets(load_preset(name, file).venue, raw.get("market"))
    return {**raw, "venue": _overridden(base, venue)}


def _of_assets(venue: dict[str, Any], market: object) -> dict[str, Any]:
    """Drop what is said of assets that the market does not have."""
    assets = market.get("assets") if isinstance(market, Mapping) else None
    if not isinstance(assets, (list, tuple)):
        return venue
    kept = [*assets, "default"]
    tables = {
        key: {asset: value for asset, value in venue[key].items() if asset in kept}
        for key in _BY_ASSET
        if key in venue
    }
    return {**venue, **tables}


def _overridden(base: Mapping[str, Any], stated: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**base, **stated}
    for key in _MERGED:
        under, over = base.get(key), stated.get(key)
        if isinstance(under, Mapping) and isinstance(over, Mapping):
            merged[key] = {**under, **over}
    return merged
