"""The console that every command prints its tables to."""

from __future__ import annotations

import os

from rich.console import Console

# A file or a pipe has no width; rich would take 80, which breaks the tables.
PIPE_WIDTH = 140

console = Console() if Console().is_terminal else Console(width=int(os.environ.get("COLUMNS") or PIPE_WIDTH))
