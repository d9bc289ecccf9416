"""Starts `telestream` commands as forks of a process that has imported everything: seconds less each."""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Importing takes seconds where cores are few; a fork of a process that has imported everything is there at once.
_LAUNCHER = """
import json, os, sys
import telestream.cli, telestream.demo, telestream.consumers.consume_cli, telestream.consumers.alerts_cli
import telestream.db.cli, telestream.db.backup_cli, telestream.loaders.cli, telestream.stack.cli
import telestream.consumers.topics_cli, telestream.graphql.api_cli
print("ready", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    if "pid" in order:
        pid, status = os.waitpid(order["pid"], os.WNOHANG)
        print(json.dumps(os.waitstatus_to_exitcode(status) if pid else None), flush=True)
        continue
    child = os.fork()
    if not child:
        break
    print(child, flush=True)
else:
    sys.exit()
os.setsid()  # the kernel continues what is stopped in a group that loses its shell
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
for number, path in enumerate(order["output"], 1):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
os.chdir(order["folder"])
os.environ.clear()
os.environ.update(order["environment"])
sys.argv[1:] = order["arguments"]
telestream.cli.main()
"""


class Launcher:
    """Starts `telestream` commands quickly: forks of a process that has imported them, and waits for nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCHER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def ask(self, order: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.communicate() == ("", None)
        assert self._process.returncode == 0


@functools.cache
def launcher() -> Launcher:
    """Return the launcher of this test session."""
    started = Launcher()
    atexit.register(started.close)
    return started


class Forked:
    """A process that a launcher has started.

    Args:
        launcher: it.
        output: files that standard output and standard error are added to.
        arguments: of `telestream`.
        environment: all of it.
    """

    def __init__(
        self, launcher: Launcher, output: tuple[Path, Path], arguments: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self._launcher = launcher
        self.returncode: int | None = None
        self.pid: int = launcher.ask(
            {
                "arguments": arguments,
                "environment": dict(environment),
                "output": [str(path) for path in output],
                "folder": os.getcwd(),
            }
        )

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._launcher.ask({"pid": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = time.monotonic() + (timeout or 90)
        while (code := self.poll()) is None:
            assert time.monotonic() < deadline, f"process {self.pid} does not end"
            time.sleep(0.01)
        return code

    def send_signal(self, number: int, /) -> None:
        os.kill(self.pid, number)
