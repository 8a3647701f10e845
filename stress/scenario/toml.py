"""A TOML file into a dict, or one line that says why not."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from stress.data.files import content_of
from stress.errors import InputError

__all__ = ["read_toml"]

_MOST_BYTES = 1 << 27
"""Of a scenario or a calibration: a correlation of two thousand assets in full digits has 80 MB."""

_MOST_PARTS = 64
"""Of a dotted key; none has more than three, and the parser's time grows with their square."""

_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{_MOST_PARTS}}}")


def read_toml(file: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    InputError
        It is absent, or no TOML.
    """
    try:
        text = content_of(file, _MOST_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        remedy = 'check the path, or write a shipped one with "margin-stress example NAME DIR"'
        raise InputError("the file does not exist", file=file, remedy=remedy) from None
    except UnicodeDecodeError:
        remedy = "save it with UTF-8 encoding"
        raise InputError("is not UTF-8 text", file=file, remedy=remedy) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        remedy = "give a readable TOML file"
        raise InputError(f"cannot be read: {reason}", file=file, remedy=remedy) from None
    if text.count(".") >= _MOST_PARTS and _LONG_KEY.search(text):
        rule = f"is not TOML: a key has more than {_MOST_PARTS} parts"
        raise InputError(rule, file=file, remedy="shorten the key")
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except ValueError as error:
        # tomllib.TOMLDecodeError, or an integer of thousands of digits
        rule = f"is not TOML: {error}"
        raise InputError(rule, file=file, remedy="correct the syntax there") from None
    except RecursionError:
        raise InputError("is nested too deep", file=file, remedy="flatten it") from None
