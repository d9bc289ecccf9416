"""Runs `telestream` commands as forks of a process that has imported everything: seconds less each."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from streams import Forked, Running, launcher


def started(folder: Path, *arguments: str | Path, **environment: str) -> Running:
    """Start a command with the settings of the test's process, then `environment`; its log goes to the folder."""
    log = folder / f"{uuid.uuid4().hex[:8]}.log"
    return Running(Forked(launcher(), log, [*map(str, arguments)], {**os.environ, **environment}), log)


def quick(folder: Path, *arguments: str | Path, code: int = 0, **environment: str) -> str:
    """Run a command to its end, which must have this exit code, and return what it printed."""
    with started(folder, *arguments, **environment) as command:
        return command.ends(code)
