"""A connection to an exchange through ccxt that can only read, waits, and tells no secrets."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from stress.errors import InputError, MissingInputError
from stress.importers.keys import Keys

__all__ = ["READS", "Connection", "connect"]

T = TypeVar("T")

READS = frozenset(
    {
        "load_markets",
        "fetch_balance",
        "fetch_positions",
        "fetch_ohlcv",
        "fetch_ticker",
        "fetch_leverage_tiers",
        "fetch_market_leverage_tiers",
        "fapiPrivateGetMultiAssetsMargin",
        "privateGetAccountConfig",
        "privateGetV5AccountInfo",
        "contractPublicGetLinearSwapApiV1SwapCrossAdjustfactor",
        "publicPostInfo",
    }
)
"""All that is ever called. The last is how Hyperliquid is asked anything; it changes nothing."""

_WAITS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds before each further try after "too many requests": twice as long every time, a minute
in all, which is the window in which most exchanges count."""

_TRIES = 3
"""Of a request that the network lost."""

_TIMEOUT_MS = 30_000

_LONGEST = 240
"""Letters of an exchange's own words that a message quotes."""

_QUERY = re.compile(r"\?\S*")
_TOKEN = re.compile(r"[A-Za-z0-9+=_-]{32,}")
"""Keys, signatures and addresses are this long, words are not."""


class Connection:
    """One account of an exchange, or its public data.

    Parameters
    ----------
    client
        A ccxt exchange.
    name
        Of the exchange, for messages.
    secrets
        Texts that must not be seen in any message.
    """

    def __init__(self, client: Any, name: str, secrets: tuple[str, ...] = ()) -> None:
        self.name = name
        self._client, self._secrets = client, secrets

    @property
    def markets(self) -> Mapping[str, Mapping[str, Any]]:
        """The contracts by their ccxt symbol; asked for once."""
        if self._client.markets is None:
            self.ask("load_markets")
        markets: Mapping[str, Mapping[str, Any]] = self._client.markets
        return markets

    @property
    def wallet(self) -> str:
        """The address of the account, where that is its key."""
        return str(self._client.walletAddress)

    @property
    def now_ms(self) -> int:
        """The clock of this machine, in milliseconds of unix time."""
        return int(self._client.milliseconds())

    def bar_ms(self, bar: str) -> int:
        """Return the milliseconds of a bar such as "1h", one that the exchange has.

        Raises
        ------
        InputError
            The exchange has no such bars.
        """
        known = list(self._client.timeframes)
        if bar not in known:
            remedy = "it has " + ", ".join(known)
            raise InputError(f"{self.name} has no bars of {bar}", key="--bar", remedy=remedy)
        return int(self._client.parse_timeframe(bar)) * 1000

    def parsed_position(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return an exchange's own words about a position as ccxt puts them."""
        return dict(self.reading(lambda: self._client.parse_position(raw)))

    def parsed_tiers(self, raw: Any, symbols: list[str], key: str) -> dict[str, Any]:
        """Return an exchange's own tables of tiers as ccxt puts them, by symbol."""
        return dict(self.reading(lambda: self._client.parse_leverage_tiers(raw, symbols, key)))

    def ask(self, read: str, *arguments: Any, **keywords: Any) -> Any:
        """Ask one thing and return the answer as ccxt gives it.

        A request that the exchange wants later is repeated after a wait that doubles, one that the
        network lost twice more.

        Parameters
        ----------
        read
            One of ``READS``.

        Raises
        ------
        MissingInputError
            The exchange could not be reached, or still asks to wait after a minute (exit 5, as for
            an absent file: the same command may do tomorrow).
        InputError
            It refuses the key or the question, or its reply cannot be read.
        """
        if read not in READS:
            raise PermissionError(f"{read} is not one of the methods that only read")
        return self.reading(
            lambda: self._patiently(getattr(self._client, read), arguments, keywords)
        )

    def _patiently(
        self, call: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Any:
        import ccxt

        waits, lost = iter(_WAITS), 0
        while True:
            try:
                return call(*arguments, **keywords)
            except (ccxt.RateLimitExceeded, ccxt.DDoSProtection):
                wait = next(waits, None)
                if wait is None:
                    raise
            except ccxt.InvalidNonce:
                raise
            except ccxt.NetworkError:
                lost += 1
                if lost >= _TRIES:
                    raise
                wait = float(lost)
            time.sleep(wait)

    def reading(self, call: Callable[[], T]) -> T:
        """Return what a call makes of replies; whatever it raises becomes one line without secrets.

        Raises
        ------
        InputError, MissingInputError
            As ``ask`` does. The cause is not chained: it would be printed with its own words.
        """
        import ccxt

        try:
            return call()
        except (ccxt.RateLimitExceeded, ccxt.DDoSProtection) as error:
            rule = f"asks to wait, still after {sum(_WAITS):g} seconds: {self._words(error)}"
            raised: InputError = MissingInputError(rule, file=self.name, remedy="try again later")
        except ccxt.InvalidNonce as error:
            rule = f"refuses the time of the request: {self._words(error)}"
            raised = InputError(rule, file=self.name, remedy="set the clock of this machine")
        except ccxt.NetworkError as error:
            rule = f"could not be reached: {self._words(error)}"
            raised = MissingInputError(rule, file=self.name, remedy="try again later")
        except ccxt.AuthenticationError as error:
            rule = f"refuses the key: {self._words(error)}"
            remedy = "give a key that may read positions and balances from this address"
            raised = InputError(rule, file=self.name, remedy=remedy)
        except ccxt.BaseError as error:
            raised = InputError(f"answers: {self._words(error)}", file=self.name)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            rule = f"gave a reply that cannot be read: {self._words(error)}"
            raised = InputError(rule, file=self.name, remedy="try a newer ccxt")
        raise raised from None

    def _words(self, error: Exception) -> str:
        """Return an error's kind and text, without secrets, queries and anything like a key."""
        text = str(error)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        text = _TOKEN.sub("***", _QUERY.sub("", text))
        text = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
        return f"{type(error).__name__}: {text[:_LONGEST]}"


def connect(
    name: str,
    client: str,
    options: Mapping[str, Any],
    keys: Keys | None = None,
) -> Connection:
    """Open an exchange.

    Parameters
    ----------
    name
        Of the exchange, for messages.
    client
        Name of its class in ccxt.
    options
        Of that class.
    keys
        Of an account; None for public data.

    Raises
    ------
    InputError
        ccxt is not installed.
    """
    try:
        import ccxt
    except ImportError:
        remedy = 'install the extra: pip install "margin-stress[exchanges]"'
        raise InputError("needs the package ccxt", key="--exchange", remedy=remedy) from None
    _hush()
    keys = keys or Keys()
    opened = getattr(ccxt, client)(
        {
            "apiKey": keys.key or "",
            "secret": keys.secret or "",
            "password": keys.password or "",
            "walletAddress": keys.wallet or "",
            "enableRateLimit": True,
            "timeout": _TIMEOUT_MS,
            "options": dict(options),
        }
    )
    # what coins can be withdrawn where is of no use here, and some exchanges ask for a key to say
    opened.has["fetchCurrencies"] = False
    return Connection(opened, name, keys.hidden)


def _hush() -> None:
    """Keep requests out of every log: they hold keys in headers, and some in their address."""
    for name in ("ccxt", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
