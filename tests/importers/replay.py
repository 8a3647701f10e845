"""An exchange that answers from a file: ccxt's own signing and parsing run, and nothing is sent.

The replies stand under "METHOD /path", followed by the value of the parameter that tells questions
to one path apart. They were written by hand in the shape that the exchanges document.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

REPLIES = Path(__file__).with_name("replies")

NOW_MS = 1_763_800_200_000
"""2025-11-22T08:30:00Z, a while after the moments in the replies."""

KEYS = {
    "KEY": "keyAbCd0123456789keyAbCd0123456789",
    "SECRET": "c2VjcmV0QWJDZDAxMjM0NTY3ODlzZWNyZXQ=",
    "PASSWORD": "pass-phrase-0123",
    "WALLET": "0x1234567890abcdef1234567890abcdef12345678",
}

_TELLS = ("instType", "category", "settleCoin", "cursor", "type")


@dataclass
class Asked:
    """One request as it would have been sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    parameters: dict[str, str]

    @property
    def question(self) -> str:
        told = [self.parameters[name] for name in _TELLS if name in self.parameters]
        return " ".join([f"{self.method} {urlsplit(self.url).path}", *told])


@dataclass
class Replay:
    """The replies of an exchange, what was asked of it, and answers that are made, not read."""

    replies: dict[str, Any]
    asked: list[Asked] = field(default_factory=list)
    made: dict[str, Callable[[Asked], Any]] = field(default_factory=dict)
    slept: list[float] = field(default_factory=list)
    knows_all: bool = True

    def __call__(self, method: str, url: str, **keywords: Any) -> requests.Response:
        data = keywords.get("data") or b""
        text = data.decode() if isinstance(data, bytes) else data
        body = json.loads(text) if text.startswith("{") else dict(parse_qsl(text))
        query = dict(parse_qsl(urlsplit(url).query))
        request = Asked(method, url, keywords["headers"], {**query, **body})
        self.asked.append(request)
        for start, answer in self.made.items():
            if request.question.startswith(start):
                return _response(answer(request), url)
        if self.knows_all and request.question not in self.replies:
            raise AssertionError(f"no reply to {request.question}")
        return _response(self.replies.get(request.question, {}), url)

    @property
    def questions(self) -> list[str]:
        return [request.question for request in self.asked]


def _response(reply: Any, url: str) -> requests.Response:
    response = requests.Response()
    status, content = reply if isinstance(reply, tuple) else (200, reply)
    response.status_code, response.url, response.reason = status, url, "OK"
    response._content = json.dumps(content).encode()
    return response


def replay(name: str, patch: pytest.MonkeyPatch, accounts: tuple[str, ...] = ("",)) -> Replay:
    """Let requests be answered from a file, with keys in the environment; the clock rests."""
    import ccxt

    answers = Replay(json.loads((REPLIES / f"{name}.json").read_text()))
    patch.setattr(requests.Session, "request", lambda self, *a, **k: answers(*a, **k))
    patch.setattr(ccxt.Exchange, "milliseconds", staticmethod(lambda: NOW_MS))
    patch.setattr(ccxt.Exchange, "throttle", lambda self, cost=None: None)
    patch.setattr("time.sleep", answers.slept.append)
    for account in accounts:
        for what, value in KEYS.items():
            stem = "_".join(part for part in ("MARGIN_STRESS", name.upper(), account) if part)
            patch.setenv(f"{stem}_{what}", value)
    return answers
