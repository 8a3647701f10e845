"""Reading a page as a browser would, without one."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_VOID = {"meta", "link", "br", "wbr", "input", "img"}


class Page(HTMLParser):
    """The elements of a page, its links and its text; a tag left open is a fault."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.source = file.read_text("utf-8")
        self.links: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(self.source)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        assert len(named) == len(attrs), f"<{tag}> has an attribute twice"
        assert not any(name.startswith("on") for name in named), f"<{tag}> has a handler"
        self.tags.append(tag)
        if tag == "a":
            self.links.append(named["href"] or "")
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open.pop() == tag, f"</{tag}> closes what is not open"

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        """All text, blanks as one."""
        return " ".join("".join(self.words).split())

    def targets(self, file: Path) -> list[Path]:
        """Return the files that links lead to, seen from where the page is."""
        parts = [urlsplit(link) for link in self.links if not link.startswith("#")]
        assert not any(part.scheme or part.netloc or part.query for part in parts)
        return [file.parent / unquote(part.path) for part in parts]


def asks_for(source: str) -> list[str]:
    """Return what a page would fetch."""
    css = re.findall(r"url\(|@import", source)
    return css + re.findall(r"""(?:src|href)=["'](?:https?:)?//[^"']*""", source)
