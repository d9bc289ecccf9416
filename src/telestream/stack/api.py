"""Starts and stops the API beside the embedded stack, for a demonstration that goes on after its command has ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import urllib3

from telestream.errors import StackError
from telestream.settings import settings
from telestream.stack import ports, process
from telestream.stack.state import StackPaths, StackState

# What the interpreter's file is called, whatever its version is.
PROGRAM = "python"
DEFAULT_PORT = 8080
_START_SECONDS = 60
_STOP_SECONDS = 15


def server_pid(paths: StackPaths) -> int | None:
    """Return the process id of the API of this stack, or None when it does not run."""
    return next(iter(process.processes_in(paths.api, PROGRAM)), None)


def start(paths: StackPaths, state: StackState) -> None:
    """Start the API and wait until it is ready.

    Raises:
        StackError: it does not become ready; its log says why.
    """
    state.api_port = ports.choose(state.api_port, DEFAULT_PORT)
    places = {"TELESTREAM_STATE_DIR": settings().state_dir, "TELESTREAM_CACHE_DIR": settings().cache_dir}
    with paths.api_log.open("ab") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "telestream.cli", "api", "serve", "--port", str(state.api_port)],
            cwd=paths.api,
            # It works in another folder than we do.
            env=os.environ | {name: str(place.resolve()) for name, place in places.items()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    if not _ready(state.api_url, server):
        stop(paths)
        raise StackError("the API does not start", hint="See `telestream stack logs api`.")
    # It outlives this process; there is nobody to wait for it.
    server.returncode = 0


def stop(paths: StackPaths) -> bool:
    """Stop the API, after the requests it is answering; tell whether it was running."""
    pids = process.processes_in(paths.api, PROGRAM)
    process.send(pids, signal.SIGTERM)
    if process.wait_until_gone(paths.api, PROGRAM, _STOP_SECONDS):
        process.send(pids, signal.SIGKILL)
        process.wait_until_gone(paths.api, PROGRAM, _STOP_SECONDS)
    return bool(pids)


def _ready(url: str, server: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    with urllib3.PoolManager(retries=False, timeout=2) as pool:
        while time.monotonic() < deadline and server.poll() is None:
            try:
                if pool.request("GET", f"{url}/readyz").status == 200:
                    return True
            except urllib3.exceptions.HTTPError:
                pass
            time.sleep(0.1)
    return False
