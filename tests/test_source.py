"""What the package never does: unpickle, evaluate text, or hand text to a shell.

Read from the syntax trees of its files, so that a comment may say the words and a call may not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import stress

ROOT = Path(stress.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

UNPACKERS = {
    "cPickle",
    "cloudpickle",
    "dill",
    "joblib",
    "jsonpickle",
    "marshal",
    "pickle",
    "shelve",
    "yaml",
}
"""Modules whose files or messages run code when they are read."""

EVALUATORS = {"eval", "exec", "compile", "__import__"}
SHELLS = {("os", "system"), ("os", "popen"), ("subprocess", "getoutput"), ("pandas", "eval")}
SWITCHES = {"shell", "allow_pickle"}
"""Keywords that may only be given as False."""

STARTS_PROGRAMS = {"runner/on_finish.py"}
"""Files that start another program: what ``--on-finish`` names, by its words, without a shell."""


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _forbidden(tree: ast.AST) -> Iterator[str]:
    """Yield what a file must not do, as ``line: what``."""
    yield from (f"import {name}" for name in _imported(tree) if name in UNPACKERS)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in EVALUATORS:
            yield f"{node.lineno}: {node.id}"
        if isinstance(node, ast.Attribute) and (_name(node.value), node.attr) in SHELLS:
            yield f"{node.lineno}: {_name(node.value)}.{node.attr}"
        if isinstance(node, ast.keyword) and node.arg in SWITCHES and not _is_false(node.value):
            yield f"{node.value.lineno}: {node.arg}"


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


@cache
def _tree(file: Path) -> ast.AST:
    return ast.parse(file.read_text(encoding="utf-8"))


def test_nothing_is_unpickled_evaluated_or_given_to_a_shell() -> None:
    assert len(FILES) > 200
    found = {str(file.relative_to(ROOT)): list(_forbidden(_tree(file))) for file in FILES}
    assert {file: what for file, what in found.items() if what} == {}


def test_few_files_start_a_program() -> None:
    starting = {
        file.relative_to(ROOT).as_posix()
        for file in FILES
        if "subprocess" in set(_imported(_tree(file)))
    }
    assert starting <= STARTS_PROGRAMS


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from yaml import safe_load",
        "import joblib.externals",
        "eval('1')",
        "import builtins; run = exec",
        "import os; os.system('x')",
        "import subprocess; subprocess.run('x', shell=True)",
        "import numpy as np; np.load('x', allow_pickle=not False)",
    ],
)
def test_what_is_forbidden_is_seen(source: str) -> None:
    assert list(_forbidden(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    ["np.load('x', allow_pickle=False)", "'eval(pickle)'", "model.eval_all()", "re.compile"],
)
def test_what_is_not_is_not(source: str) -> None:
    assert not list(_forbidden(ast.parse(source)))
