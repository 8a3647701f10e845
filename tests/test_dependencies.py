"""What is installed beside the package: pinned, hashed, whole, and under licences that it may use.

As far as a machine without a network can tell: known vulnerabilities need a list from outside.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LOCKS = ("requirements.lock", "requirements-bench.lock")

NOT_LOCKED = {"margin-stress", "pip", "setuptools", "wheel"}
"""The project itself, and what a virtual environment brings."""

ALLOWED = re.compile(
    r"(0BSD|AFL|Apache|BSD|CC0|ISC|MIT|MPL|Mozilla Public License|NCSA|PSF|"
    r"Python Software Foundation|Unlicense|Zlib|ZPL|HPND)",
    re.IGNORECASE,
)
"""Licences that ask nothing of a program which only uses what they cover."""

REFUSED = re.compile(r"\b(AGPL|GPL|LGPL|SSPL|BUSL)\b|GNU|Proprietary|Commercial", re.IGNORECASE)


def locked(file: str) -> dict[str, dict[str, list[str]]]:
    """Return each requirement's hashes by version, by its name as packaging writes it.

    There are several versions where Pythons need different ones.
    """
    text = (ROOT / file).read_text(encoding="utf-8")
    blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", re.sub(r"(?m)^#.*\n", "", text))
    found: dict[str, dict[str, list[str]]] = {}
    for block in filter(str.strip, blocks):
        head = re.match(r"([\w.-]+)==([\w.+!]+)( ; [^\\]+)? \\\n", block)
        assert head, f"{file}: no exact version in {block[:80]!r}"
        hashes = re.findall(r"--hash=(\S+)", block)
        found.setdefault(canonical(head[1]), {})[head[2]] = hashes
    return found


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(distribution: Distribution) -> str:
    about = distribution.metadata
    classifiers = [
        line.rpartition("::")[2].strip()
        for line in about.get_all("Classifier") or []
        if line.startswith("License ::")
    ]
    stated = about.get("License-Expression") or "; ".join(classifiers) or about.get("License") or ""
    return stated.splitlines()[0] if stated else ""


@pytest.mark.parametrize("file", LOCKS)
def test_every_requirement_has_one_version_and_its_hashes(file: str) -> None:
    requirements = locked(file)
    assert len(requirements) > 50
    for name, versions in requirements.items():
        for hashes in versions.values():
            assert hashes, name
            assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes), name


@pytest.mark.parametrize("file", LOCKS)
def test_nothing_comes_from_elsewhere(file: str) -> None:
    """No address, no path, no other index: what is not in the lock cannot be installed with it."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    for line in lines:
        assert not re.match(r"\s*(-e|-f|--(extra-)?index-url|--find-links|--trusted-host)\b", line)
        assert line.lstrip().startswith("#") or "://" not in line


def test_what_is_installed_is_what_is_locked() -> None:
    requirements = locked("requirements.lock")
    for distribution in distributions():
        name = canonical(distribution.metadata["Name"])
        if name not in NOT_LOCKED:
            assert distribution.version in requirements[name], name


def test_what_is_installed_fits_together() -> None:
    command = [sys.executable, "-m", "pip", "check", "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_licence_is_one_that_may_be_used() -> None:
    for distribution in distributions():
        stated = licence(distribution)
        assert ALLOWED.search(stated), (distribution.metadata["Name"], stated)
        assert not REFUSED.search(stated), (distribution.metadata["Name"], stated)
