"""Damaged inputs that pass ``validate`` are run: each ends with a documented code, in its folder.

Numbers are damaged, not shapes, so that what is compiled for one serves the others.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from stress.runner.compiled import use_compilation_cache

from .bases import BASES, SCENARIO
from .mutate import Mutant, mutant
from .test_inputs import LONGEST, Workplace, command, workplace

__all__ = ["workplace"]

RUNS = 30
_NUMBERS_ONLY = {"replaced_number", "other_number_cell"}
_SHAPES = (b"paths = 8", b'horizon = "6h"', b'step = "1h"')


def _keeps_shapes(made: Mutant) -> bool:
    if made.content is None or not set(made.how) <= _NUMBERS_ONLY:
        return False
    return made.file != SCENARIO or all(line in made.content for line in _SHAPES)


def _passing(workplace: Workplace) -> Iterator[tuple[int, Mutant]]:
    """Yield the mutants that change something, keep shapes and pass ``validate``."""
    for seed in range(1_000_000, 1_100_000):
        made = mutant(seed)
        changed = made.content != BASES[made.base][made.file].encode()
        if changed and _keeps_shapes(made) and workplace.validated(made).code == 0:
            yield seed, made


@pytest.mark.slow
def test_thirty_mutants_that_pass_are_run(workplace: Workplace, tmp_path: Path) -> None:
    """Exit code 0, 2, 3 or 4; a page, a summary of numbers; nothing outside the run folder."""
    use_compilation_cache()
    counts: Counter[int] = Counter()
    for (seed, made), number in zip(_passing(workplace), range(RUNS), strict=False):
        folder, out = workplace.root / made.base, tmp_path / str(number)
        made.put(folder)
        before = workplace.files()
        ending = command("run", str(folder / SCENARIO), "--out", str(out), "--quiet", "--json")
        assert workplace.files() == before, seed
        (folder / made.file).write_text(BASES[made.base][made.file], encoding="utf-8")
        told = f"seed {seed}: {made.base}/{made.file} {made.how}: {ending.err}"
        assert ending.code in (0, 2, 3, 4), told
        outside = [path for path in ending.touched if not _allowed(path, tmp_path)]
        assert not outside, told
        counts[ending.code] += 1
        if ending.code == 2:
            assert len(ending.err.splitlines()) == 1, told
            assert len(ending.err) <= LONGEST, told
        else:
            assert ending.err == "", told
            assert json.loads((out / "summary.json").read_text())["exit_code"] == ending.code
            assert (out / "report.html").stat().st_size < 8e6
    print(dict(counts))
    assert counts.total() == RUNS


def _allowed(path: str, root: Path) -> bool:
    """Say whether a path lies in the run folders, or in the cache of compiled kernels."""
    kept = os.environ.get("JAX_COMPILATION_CACHE_DIR", "")
    return any(os.path.abspath(path).startswith(str(place)) for place in (root, kept) if place)
