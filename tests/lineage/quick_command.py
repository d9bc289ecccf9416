"""Runs `telestream` commands whose output is one log."""

from __future__ import annotations

from pathlib import Path

from streams import launch as started


def quick(folder: Path, *arguments: str | Path, code: int = 0, **environment: str) -> str:
    """Run a command to its end, which must have this exit code, and return what it printed."""
    with started(folder, *arguments, **environment) as command:
        return command.ends(code)
