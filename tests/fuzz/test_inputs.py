"""Damaged inputs: each either passes ``validate``, or ends with one line and a documented code."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from stress.cli import main

from .bases import BASES, SCENARIO
from .mutate import Mutant, mutant, remove
from .watch import watched

MUTATIONS = 2_000
LONGEST = 2_000
"""Characters of a message: it is read in a terminal, or in a mail."""


@dataclass(frozen=True)
class Ending:
    """How a command ended, what it printed, and what it touched."""

    code: int
    out: str
    err: str
    touched: tuple[str, ...]


def command(*words: str) -> Ending:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), watched() as touched:
        code = main(words)
    return Ending(code, out.getvalue(), err.getvalue(), tuple(touched))


def judged(ending: Ending, codes: tuple[int, ...] = (0, 2, 5)) -> None:
    """Hold an ending against what the documentation promises of it."""
    assert ending.code in codes, ending
    assert not ending.touched
    lines = ending.err.splitlines()
    assert all(line.isprintable() for line in lines), ending.err
    assert "Traceback" not in ending.err
    if ending.code:
        assert ending.out == ""
        assert len(lines) == 1
        assert lines[0].startswith("margin-stress: error: ")
        assert len(lines[0]) <= LONGEST
    else:
        assert all(line.startswith("warning: ") for line in lines)


class Workplace:
    """Every base in a folder of its own, mended after each mutant."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name, files in BASES.items():
            (root / name).mkdir()
            for file, text in files.items():
                (root / name / file).write_text(text, encoding="utf-8")

    def validated(self, made: Mutant) -> Ending:
        folder = self.root / made.base
        made.put(folder)
        try:
            return command("validate", str(folder / SCENARIO))
        finally:
            remove(folder / made.file)
            (folder / made.file).write_text(BASES[made.base][made.file], encoding="utf-8")

    def files(self) -> list[str]:
        return sorted(
            os.path.relpath(os.path.join(place, name), self.root)
            for place, folders, names in os.walk(self.root)
            for name in (*folders, *names)
        )


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    root = tmp_path_factory.mktemp("fuzz")
    before = os.getcwd()
    os.chdir(root)
    try:
        yield Workplace(root)
    finally:
        os.chdir(before)


@pytest.mark.parametrize("base", BASES)
def test_the_bases_are_good(workplace: Workplace, base: str) -> None:
    ending = command("validate", str(workplace.root / base / SCENARIO))
    judged(ending, (0,))


def survey(workplace: Workplace, seeds: range) -> Counter[int]:
    """Validate a mutant of every seed; return how many ended with each code."""
    counts: Counter[int] = Counter()
    for seed in seeds:
        made = mutant(seed)
        ending = workplace.validated(made)
        try:
            judged(ending)
        except AssertionError as error:
            error.add_note(f"seed {seed}: {made.base}/{made.file} {made.kind} {made.how}")
            raise
        counts[ending.code] += 1
    return counts


def test_two_thousand_mutants_pass_or_end_with_one_line(workplace: Workplace) -> None:
    """No traceback, no undocumented code, nothing written, and some of them do pass."""
    before = workplace.files()
    counts = survey(workplace, range(MUTATIONS))
    assert workplace.files() == before
    assert counts.total() == MUTATIONS
    assert counts[0] > 100
    assert counts[2] > 1_000
    assert counts[5] > 0


@pytest.mark.slow
def test_fifty_thousand_mutants_pass_or_end_with_one_line(workplace: Workplace) -> None:
    counts = survey(workplace, range(MUTATIONS, MUTATIONS + 50_000))
    print(dict(counts))
    assert counts.total() == 50_000
