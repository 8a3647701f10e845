"""Keys of an exchange account, from the environment and from nowhere else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from stress.errors import InputError

__all__ = ["Keys", "keys_of"]

_PREFIX = "MARGIN_STRESS"

_WORDS = {"key": "KEY", "secret": "SECRET", "password": "PASSWORD", "wallet": "WALLET"}
"""Ends of the names of variables, by what they hold."""

_LEAST_LETTERS = 4
"""Shorter values are not looked for in texts: nobody could read a message without its e's."""


@dataclass(frozen=True)
class Keys:
    """What an exchange asks for; None where it does not. Never printed.

    Attributes
    ----------
    hidden
        All keys that the environment holds, of whatever exchange, longest first: none of them may
        stand in any text.
    """

    key: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    wallet: str | None = field(default=None, repr=False)
    hidden: tuple[str, ...] = field(default=(), repr=False)


def keys_of(
    environment: Mapping[str, str],
    exchange: str,
    needed: tuple[str, ...],
    account: str | None = None,
) -> Keys:
    """Return the keys of an account.

    Parameters
    ----------
    environment
        Variables by name, such as ``os.environ``.
    exchange
        Its name, such as "binance".
    needed
        Of "key", "secret", "password", "wallet": what the exchange asks for.
    account
        Where several accounts are read: the variables of "Desk 1" begin with
        ``MARGIN_STRESS_BINANCE_DESK_1_``; else with ``MARGIN_STRESS_BINANCE_``.

    Raises
    ------
    InputError
        One is not set; the message names the variable.
    """
    stem = "_".join(_shouted(word) for word in (_PREFIX, exchange, account) if word)
    names = {what: f"{stem}_{_WORDS[what]}" for what in needed}
    absent = [name for name in names.values() if not environment.get(name, "").strip()]
    if absent:
        remedy = "set them in the environment, of a key that can only read"
        raise InputError(f"no {' and no '.join(absent)}", key=exchange, remedy=remedy)
    found = {what: environment[name].strip() for what, name in names.items()}
    return Keys(**found, hidden=_hidden(environment))


def _hidden(environment: Mapping[str, str]) -> tuple[str, ...]:
    endings = tuple(f"_{word}" for word in _WORDS.values())
    values = {
        value.strip()
        for name, value in environment.items()
        if name.startswith(f"{_PREFIX}_") and name.endswith(endings)
    }
    return tuple(sorted((v for v in values if len(v) >= _LEAST_LETTERS), key=len, reverse=True))


def _shouted(word: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", word.upper()).strip("_")
