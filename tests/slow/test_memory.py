"""Memory does not grow with paths: a run of 200,000 stays under 2 GiB."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIOS = Path(__file__).parents[2] / "scenarios"


@pytest.mark.slow
def test_two_hundred_thousand_paths_stay_under_two_gibibytes(tmp_path: Path) -> None:
    """The book of three_books; memory does not depend on the number of steps, so few are taken."""
    text = (SCENARIOS / "three_books.toml").read_text(encoding="utf-8")
    for key, value in (("horizon", '"1d"'), ("step", '"1h"'), ("paths", "200_000")):
        line = next(line for line in text.splitlines() if line.startswith(f"{key} = "))
        text = text.replace(line, f"{key} = {value}")
    text = text.replace('"three_books/', f'"{SCENARIOS}/three_books/')
    scenario = tmp_path / "many_paths.toml"
    scenario.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "stress", "run", str(scenario), "--json", "--quiet"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=True
    )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    assert json.loads(done.stdout)["paths"] == 200_000
    assert peak < 2 * 2**30, f"peak memory {peak / 2**30:.2f} GiB"
