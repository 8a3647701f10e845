"""The report in Chromium, which has to be installed: what a person with a keyboard meets.

``margin-stress`` needs no browser; this study does, and drives one over the DevTools protocol.
"""

from __future__ import annotations

import asyncio
import base64
import re
from pathlib import Path
from typing import Any

import pytest

from stress.report.document import document_of
from stress.report.page import html_text
from stress.report.tables import csv_files
from tests.report.cascade_sample import cascade_tree
from tests.report.test_formats import HOSTILE

from .browser import Browser, browser

pytestmark = pytest.mark.slow

TAB, ENTER = ("Tab", 9), ("Enter", 13, "\r")

WIDE = "document.scrollingElement.scrollWidth"
FOCUS = "document.activeElement.closest('th') && document.activeElement.textContent"
RISKIEST = "document.querySelector('#riskiest table')"


@pytest.fixture(scope="module")
def document() -> Any:
    return document_of(cascade_tree(60, names=HOSTILE))


@pytest.fixture
def page(tmp_path: Path, document: Any) -> Path:
    path = tmp_path / "report.html"
    path.write_text(html_text(document), encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "height", "phone"), [(1280, 800, False), (390, 844, True)])
def test_a_page_asks_for_nothing_complains_of_nothing_and_fits(
    page: Path, width: int, height: int, phone: bool
) -> None:
    """Desktop and phone: no request but the page itself, no console error, no sideways scroll."""

    async def look() -> None:
        async with browser(page.parent) as tab:
            await tab.open(page, width, height, phone=phone)
            await tab.value("new Promise((done) => setTimeout(done, 2000))")
            asked = [url for url in tab.requests if not url.startswith(("data:", "blob:"))]
            assert asked == [page.as_uri()]
            assert tab.complaints == []
            assert await tab.value(WIDE) <= width
            drawn = await tab.value("document.querySelectorAll('.js-plotly-plot svg').length")
            assert drawn >= await tab.value("document.querySelectorAll('figure').length") > 10

    asyncio.run(look())


async def _to(tab: Browser, expression: str) -> None:
    """Press Tab until an expression about the focused element holds."""
    for _ in range(600):
        await tab.press(*TAB)
        if await tab.value(expression):
            return
    raise AssertionError(f"the keyboard never came to {expression}")


def test_a_table_is_sorted_by_keyboard(page: Path) -> None:
    """Tab to a heading, Enter, Enter: aria-sort and the rows follow, and the focus is seen."""
    keys = (
        f"Array.from({RISKIEST}.tBodies[0].rows, (row) => "
        "Number(row.cells[3].dataset.value)).filter((key) => !isNaN(key))"
    )
    stands = f"{RISKIEST}.tHead.rows[0].cells[3].ariaSort"
    heading = (
        f"document.activeElement.closest('th') === {RISKIEST}.tHead.rows[0].cells[3] && "
        "document.activeElement.tagName === 'BUTTON'"
    )

    async def sort() -> None:
        async with browser(page.parent) as tab:
            await tab.open(page, 1280, 800)
            await _to(tab, heading)
            assert await tab.value("document.activeElement.matches(':focus-visible')")
            assert (
                await tab.value("getComputedStyle(document.activeElement).outlineStyle") != "none"
            )
            await tab.press(*ENTER)
            assert await tab.value(stands) == "descending"
            found = await tab.value(keys)
            assert len(found) > 20
            assert found == sorted(found, reverse=True)
            await tab.press(*ENTER)
            assert await tab.value(stands) == "ascending"
            assert await tab.value(keys) == sorted(found)
            assert tab.complaints == []

    asyncio.run(sort())


def test_a_table_is_saved_by_keyboard(page: Path, document: Any) -> None:
    """The file that the button saves holds, byte for byte, what the command writes."""

    async def save() -> None:
        async with browser(page.parent) as tab:
            await tab.open(page, 1280, 800)
            await _to(tab, "document.activeElement.dataset.table === 'riskiest-1'")
            await tab.press(*ENTER)
            for _ in range(100):
                if (page.parent / "riskiest-1.csv").exists():
                    break
                await asyncio.sleep(0.1)
            assert tab.complaints == []

    asyncio.run(save())
    saved = (page.parent / "riskiest-1.csv").read_bytes()
    assert saved.decode() == csv_files(document)["riskiest-1.csv"]


def test_the_page_prints_on_a4(page: Path) -> None:
    """Every sheet is A4 upright, 210 by 297 mm, as the style sheet says."""

    async def printed() -> bytes:
        async with browser(page.parent) as tab:
            await tab.open(page, 1280, 800)
            answer = await tab.call("Page.printToPDF", preferCSSPageSize=True)
            return base64.b64decode(answer["data"])

    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", asyncio.run(printed()))
    assert len(boxes) > 5
    for box in boxes:
        assert [float(side) for side in box] == pytest.approx([595.3, 841.9], abs=1.5)
