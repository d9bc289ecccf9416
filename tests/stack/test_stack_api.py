"""The demonstration's API starts beside the stack, outlives its command, and stops with the stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from stack_cli import Cli

from telestream.errors import StackError
from telestream.settings import settings
from telestream.stack import lifecycle
from telestream.stack.process import processes_in


def status_of(url: str) -> int:
    """Return how the API's readiness answers."""
    with urllib3.PoolManager(retries=False, timeout=5) as pool:
        return pool.request("GET", f"{url}/readyz").status


@pytest.fixture
def ours(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """The stack of the tests as this process's own, migrated."""
    monkeypatch.setenv("TELESTREAM_STATE_DIR", str(cli.folder))
    monkeypatch.delenv("TELESTREAM_DATABASE_URL", raising=False)
    settings.cache_clear()
    subprocess.run([sys.executable, "-m", "telestream.cli", "db", "upgrade"], check=True, env=dict(os.environ))
    yield cli
    settings.cache_clear()


def test_the_api_starts_and_stops_with_the_stack(ours: Cli) -> None:
    folder = ours.folder / "stack" / "api"
    url = lifecycle.serve_api()
    [first] = processes_in(folder, "python")
    assert status_of(url) == 200
    shown = ours("status").stdout
    assert url in shown
    assert str(first) in shown
    assert "uvicorn" in ours("logs", "api").stdout
    # Again: the one that ran is replaced, on the same port.
    assert lifecycle.serve_api() == url
    [second] = processes_in(folder, "python")
    assert second != first
    assert status_of(url) == 200
    ours("down")
    assert processes_in(folder, "python") == []
    assert json.loads((ours.folder / "stack" / "state.json").read_text())["api_port"] == int(url.rpartition(":")[2])


def test_without_a_stack_it_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELESTREAM_STATE_DIR", str(tmp_path))
    settings.cache_clear()
    try:
        with pytest.raises(StackError, match="does not run"):
            lifecycle.serve_api()
    finally:
        settings.cache_clear()
