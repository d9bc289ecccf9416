"""Runs the `telestream` command as a person would, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from launcher import Forked, launcher

_SECONDS = 500.0
ROOT = Path(__file__).resolve().parents[1]


def telestream(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; the settings of the test's process apply, then `environment`."""
    words = [*map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = Forked(launcher(), (out, err), words, {**os.environ, "COLUMNS": "200", **environment})
        try:
            code = process.wait(_SECONDS)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
        return subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())


def assert_clear_error(result: subprocess.CompletedProcess[str], *parts: str) -> None:
    """Check that a command failed with one message that holds the parts, and no stack trace."""
    text = result.stdout + result.stderr
    assert result.returncode != 0, text
    assert "Traceback" not in text, text
    for part in parts:
        assert part in text, text


def start(*code: str) -> subprocess.Popen[bytes]:
    """Start Python code in a process that can be killed."""
    return subprocess.Popen([sys.executable, "-c", *code], env=os.environ)


def kill_when(process: subprocess.Popen[bytes], ready: object, timeout: float = 60) -> bool:
    """Kill -9 the process as soon as `ready()` is true; False if it ended before."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        if ready():  # type: ignore[operator]
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.01)
    raise AssertionError("the moment to kill never came")
