"""The layout of the repository: what would break imports or leak addresses is guarded."""

from __future__ import annotations

import importlib
import json
import tomllib
from pathlib import Path

import graphql
import pytest
from command import ROOT

COMPONENTS = ("db", "loaders", "consumers", "graphql", "grafana")


@pytest.mark.parametrize("name", COMPONENTS)
def test_components_lie_at_the_top_and_are_linked_into_the_package(name: str) -> None:
    link = ROOT / "src" / "telestream" / name
    assert link.is_symlink()
    assert str(link.readlink()) == f"../../{name}"


def test_the_graphql_folder_does_not_shadow_graphql_core() -> None:
    assert not (ROOT / "graphql" / "__init__.py").exists()
    assert hasattr(graphql, "GraphQLSchema")


@pytest.mark.parametrize("name", COMPONENTS)
def test_components_import_as_parts_of_the_package(name: str) -> None:
    assert importlib.import_module(f"telestream.{name}").__name__ == f"telestream.{name}"


def test_the_lock_is_hashed_and_names_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "--hash=sha256:" in lock
    assert "://" not in lock
    assert not (ROOT / "uv.lock").exists()
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for requirement in wanted:
        name = requirement.split(">")[0].split("[")[0].strip()
        assert f"\n{name}==" in lock.lower() or f"\n{name}[" in lock.lower(), name


@pytest.mark.parametrize(
    "path",
    sorted([ROOT / "graphql/web/package-lock.json", *(ROOT / "tests").rglob("package-lock.json")]),
    ids=lambda path: path.parent.name,
)
def test_the_locks_of_npm_are_hashed_and_name_no_registry(path: Path) -> None:
    packages = json.loads(path.read_text())["packages"]
    del packages[""]
    assert [name for name, one in packages.items() if "resolved" in one or "integrity" not in one] == []


def test_no_init_file_under_tests() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_the_linter_of_imports_sees_the_graphql_folder() -> None:
    """Without an `__init__.py` it would be left out, and every contract about it would hold."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert "telestream.graphql" in settings["root_packages"]
    assert all("telestream.graphql" in str(contract) for contract in settings["contracts"])
