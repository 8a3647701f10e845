"""The folder of compiled kernels: where it is, whose it is, and that no run fails for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from stress.runner import compiled
from stress.runner.compiled import VARIABLE, compilation_cache, use_compilation_cache

SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """JAX as a user has it, without the cache of the tests, which comes back afterwards."""
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.delenv(VARIABLE, raising=False)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_the_folder_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    used = use_compilation_cache()
    assert used.folder is not None and used.notices == ()
    assert used.folder.parent == tmp_path / "margin-stress"
    assert jax.config.jax_compilation_cache_dir == str(used.folder)  # type: ignore[attr-defined]
    for folder in (used.folder, used.folder.parent):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(used.folder.iterdir()) == []


def test_where_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    root = tmp_path / ".cache" / "margin-stress"
    known = compilation_cache().folder
    assert known is not None and known.parent == root
    # nothing is made by asking
    assert not root.exists()
    monkeypatch.setenv(VARIABLE, "~/elsewhere")
    named = compilation_cache().folder
    assert named == tmp_path / "elsewhere" / known.name
    monkeypatch.setenv(VARIABLE, "off")
    off = use_compilation_cache()
    assert off.folder is None and not off.wanted and off.notices == ()
    assert jax.config.jax_compilation_cache_dir is None  # type: ignore[attr-defined]


def test_a_folder_given_to_jax_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mine"))
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "given"))
    assert use_compilation_cache().folder == tmp_path / "given"
    assert not (tmp_path / "mine").exists()


def test_a_folder_that_others_may_write_to_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o770)
    monkeypatch.setenv(VARIABLE, str(shared))
    (notice,) = use_compilation_cache().notices
    assert f"others may write to {shared}" in notice and VARIABLE in notice
    assert jax.config.jax_compilation_cache_dir is None  # type: ignore[attr-defined]


def test_a_folder_that_cannot_be_made_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file" / "cache"))
    (notice,) = use_compilation_cache().notices
    assert "cannot be written to (Not a directory)" in notice
    assert jax.config.jax_compilation_cache_dir is None  # type: ignore[attr-defined]


def test_what_was_used_last_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    known = compilation_cache().folder
    assert known is not None
    tmp_path.chmod(0o700)
    monkeypatch.setattr(compiled, "_MOST_BYTES", 250)
    # kernels of another kind of processor count as well
    for place, folder in enumerate((known, tmp_path / "other", known)):
        folder.mkdir(mode=0o700, exist_ok=True)
        file = folder / f"kernel{place}-cache"
        file.write_bytes(bytes(100))
        os.utime(file, (1_000_000 + place, 1_000_000 + place))
    (known / "a-note").write_bytes(bytes(1000))
    assert use_compilation_cache().folder == known
    assert {file.name for file in tmp_path.rglob("*") if file.is_file()} == {
        "kernel1-cache",
        "kernel2-cache",
        "a-note",
    }
