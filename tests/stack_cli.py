"""Drives a stack of its own through the command line, as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


def skip_if_server_given() -> None:
    """Skip a test of the embedded stack where the tests were given another server to run on."""
    if os.environ.get("TELESTREAM_TEST_DATABASE_URL"):
        pytest.skip("another server is given, the embedded one may not run here")


@dataclass(frozen=True)
class Cli:
    """Runs `telestream stack …` against one state folder."""

    folder: Path

    def __call__(
        self, *arguments: str, code: int = 0, text: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "telestream.cli", "stack", *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, "TELESTREAM_STATE_DIR": str(self.folder), "COLUMNS": "200", **environment},
        )
        assert done.returncode == code, done.stderr
        return done

    def query(self, sql: str, *options: str) -> str:
        return self("psql", "-X", "-At", *options, "-c", sql).stdout.strip()

    @property
    def state(self) -> dict[str, Any]:
        saved: dict[str, Any] = json.loads((self.folder / "stack" / "state.json").read_text())
        return saved

    @property
    def data(self) -> Path:
        return self.folder / "stack" / "postgres" / "data"
