"""The private root is built once, whole or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from telestream.errors import StackError
from telestream.settings import settings
from telestream.stack import root


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A mmdebstrap that only takes its time and counts its calls."""
    program = tmp_path / "bin" / "mmdebstrap"
    program.parent.mkdir()
    calls = tmp_path / "calls"
    program.write_text(
        f'#!/bin/sh\necho call >> {calls}\nfor target; do :; done\nmkdir "$target/etc" "$target/usr"\nsleep 0.3\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("TELESTREAM_CACHE_DIR", str(tmp_path / "cache"))
    settings.cache_clear()
    yield program
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.usefixtures("builder")
def test_two_builds_at_once_build_one_root(tmp_path: Path) -> None:
    roots: list[Path] = []
    said: list[str] = []
    threads = [threading.Thread(target=lambda: roots.append(root.ensure_root(said.append))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert roots == [root.root_path()] * 3
    assert len(said) == 1
    assert (tmp_path / "calls").read_text() == "call\n"
    assert "postgres:x:" in (roots[0] / "etc" / "passwd").read_text()


def test_failed_build_says_why_and_leaves_nothing(builder: Path, tmp_path: Path) -> None:
    builder.write_text("#!/bin/sh\necho 'I: fine' >&2\necho 'E: no such package' >&2\nexit 1\n")
    with pytest.raises(StackError, match="cannot be built") as raised:
        root.ensure_root(lambda _: None)
    assert raised.value.detail == "E: no such package"
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


@pytest.mark.usefixtures("builder")
def test_remains_of_a_killed_build_are_removed(tmp_path: Path) -> None:
    remains = tmp_path / "cache" / f"{root.root_path().name}.killed"
    (remains / "usr").mkdir(parents=True)
    root.ensure_root(lambda _: None)
    assert not remains.exists()


def test_another_recipe_is_another_root(monkeypatch: pytest.MonkeyPatch) -> None:
    before = root.recipe_key()
    assert root.recipe_key() == before
    monkeypatch.setattr(root, "_PACKAGES", (*root._PACKAGES, "postgresql-17-postgis-3"))
    assert root.recipe_key() != before


def test_client_of_a_root_that_is_gone_is_explained(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="no psql"):
        root.client_command(tmp_path, "psql")
