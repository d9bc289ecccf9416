"""Runs `telestream` commands whose output is one log."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from launcher import Forked, launcher
from streams import Running


def started(folder: Path, *arguments: str | Path, **environment: str) -> Running:
    """Start a command with the settings of the test's process, then `environment`; its log goes to the folder."""
    log = folder / f"{uuid.uuid4().hex[:8]}.log"
    everything = {**os.environ, "COLUMNS": "200", **environment}
    return Running(Forked(launcher(), (log, log), [*map(str, arguments)], everything), log)


def quick(folder: Path, *arguments: str | Path, code: int = 0, **environment: str) -> str:
    """Run a command to its end, which must have this exit code, and return what it printed."""
    with started(folder, *arguments, **environment) as command:
        return command.ends(code)
