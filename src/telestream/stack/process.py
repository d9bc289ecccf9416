"""Finds and ends the processes of one folder, so that no other process is ever taken for ours."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path


def processes_in(folder: Path, program: str) -> list[int]:
    """Return the ids of the processes which work in that folder and whose program's name begins so.

    A process id in a file may have been given to another process since, and two stacks look alike inside
    their sandboxes; the working folder, compared by device and inode, tells them apart.
    """
    try:
        wanted = folder.stat()
    except FileNotFoundError:
        return []
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            there = os.stat(entry / "cwd")
            binary = os.readlink(entry / "exe").removesuffix(" (deleted)")
        except OSError:  # it has just ended, or belongs to another user
            continue
        if os.path.samestat(there, wanted) and os.path.basename(binary).startswith(program):
            found.append(int(entry.name))
    return sorted(found)


def memory_bytes(pid: int) -> int | None:
    """Return how much memory a process holds, None where it has ended."""
    try:
        lines = Path("/proc", str(pid), "status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), None)


def first_line_pid(path: Path) -> int | None:
    """Return the process id in the first line of a file, or None where there is none."""
    try:
        return int(path.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes, some of which may have ended already."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def wait_until_gone(folder: Path, program: str, seconds: float) -> list[int]:
    """Wait for the processes of a folder to end; return those that did not."""
    deadline = time.monotonic() + seconds
    while (left := processes_in(folder, program)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
