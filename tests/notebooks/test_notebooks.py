"""Every notebook runs from the first cell to the last in a fresh kernel, at small size."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from notebooks.strip import HERE, stripped

SMALL: dict[str, dict[str, Any]] = {
    "01_cross_or_isolated": {
        "PATHS": 64,
        "STEP": "12h",
        "LEVERAGES": [8],
        "CORRELATIONS": [0.0, 0.9],
    },
    "02_a_cascade_watched": {"PATHS": 64, "STEP": "15min", "LONGS": 30},
    "03_sizing_a_limit": {"PATHS": 128, "FEW": 100, "TRIALS": 2, "STEP": "12h"},
    "04_calibrating_and_back_testing": {
        "BARS": 500,
        "TESTED": 60,
        "FORECAST_PATHS": 256,
        "REFIT": "30d",
    },
    "05_your_own_model": {"PATHS": 128, "STEP": "12h", "LEVERAGES": [3, 8]},
    "06_the_gpu_box": {
        "ACCOUNTS": 200,
        "SMALL_BOOK": 200,
        "PRECISION_PATHS": 64,
        "STEP": "12h",
    },
}
"""What stands in the first code cell of each, replaced by sizes that take seconds."""

DOCS = HERE.parent / "docs" / "notebooks.md"


def read(name: str) -> Any:
    return nbformat.read(HERE / f"{name}.ipynb", as_version=4)


def parameters(notebook: Any) -> Any:
    """The one cell that is tagged as parameters; no code stands before it."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    tagged = [cell for cell in code if "parameters" in cell.metadata.get("tags", ())]
    assert tagged == code[:1]
    return tagged[0]


def assigned(source: str) -> set[str]:
    """Names that a cell assigns."""
    nodes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name))
    return {node.id for node in nodes if isinstance(node.ctx, ast.Store)}


def made_small(notebook: Any, sizes: dict[str, Any]) -> None:
    cell = parameters(notebook)
    assert set(sizes) <= assigned(cell.source)
    cell.source += "".join(f"\n{name} = {value!r}" for name, value in sizes.items())


@pytest.fixture
def quick_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings of the kernels: they keep out of the home folder, and XLA does not try hard.

    One device instead of eight, and kernels that compile in half the time and run slowly: what is
    asked here is whether the cells work, not what the digits are.
    """
    for key, value in {
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "PLOTLY_RENDERER": "json",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false",
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")]),
    }.items():
        monkeypatch.setenv(key, value)
    return tmp_path


def test_each_has_a_size_and_a_line_in_the_documentation() -> None:
    names = {file.stem for file in HERE.glob("*.ipynb")}
    assert names == set(SMALL)
    text = DOCS.read_text("utf-8")
    assert all(f"notebooks/{name}.ipynb" in text for name in names)


@pytest.mark.parametrize("name", SMALL)
def test_nothing_of_a_run_is_kept(name: str) -> None:
    """If this fails: ``make format``, or ``.venv/bin/python notebooks/strip.py`` alone."""
    text = (HERE / f"{name}.ipynb").read_text("utf-8")
    assert text == stripped(text)


@pytest.mark.parametrize("name", SMALL)
def test_it_runs(name: str, quick_kernel: Path) -> None:
    notebook = read(name)
    made_small(notebook, SMALL[name])
    where = {"metadata": {"path": str(quick_kernel)}}
    NotebookClient(notebook, timeout=None, resources=where).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    assert outputs
    # a warning there is one that the reader sees too
    assert not [out.text for out in outputs if out.get("name") == "stderr"]
