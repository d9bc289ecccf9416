"""Brings the whole embedded stack up and down, and tells how it is."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis

from telestream import __version__, topics
from telestream.errors import StackError
from telestream.settings import settings
from telestream.stack import api, broker, cache, postgres, process
from telestream.stack.database import create_admin_role, prepare_database
from telestream.stack.root import ensure_root
from telestream.stack.sandbox import check_machine
from telestream.stack.state import (
    ADMIN_ROLE,
    DATABASE_NAME,
    StackPaths,
    StackState,
    load,
    locked,
    save,
    write_private,
)


@dataclass(frozen=True)
class ServiceStatus:
    """How one server of the stack is; empty texts when it does not run."""

    service: str
    pid: int | None
    address: str
    version: str
    data_bytes: int | None


def up(progress: Callable[[str], None] = lambda _: None) -> StackState:
    """Start what does not run yet and return where it listens; creates the data and the vault key at first.

    Raises:
        StackError: the embedded stack cannot run on this machine.
    """
    paths = StackPaths.current()
    with locked(_lock_file()):
        ensure_vault_key()
        state = load() or StackState()
        pids = (postgres.postmaster(paths), cache.server_pid(paths), broker.server_pid(paths))
        running = None not in pids and pids == (state.postgres_pid, state.redis_pid, state.broker_pid)
        if running and Path(state.root).is_dir():
            progress("already running")
            return state
        check_machine()
        root = ensure_root(progress)
        paths.create()
        state.root = str(root)
        if pids[0] is None or pids[0] != state.postgres_pid:
            _start_database(root, paths, state, progress)
        if pids[1] is None or pids[1] != state.redis_pid:
            progress("starting the cache")
            cache.stop(paths)
            cache.start(paths, state)
        if pids[2] is None or pids[2] != state.broker_pid:
            progress("starting the broker")
            broker.stop(paths)
            broker.start(paths, state)
            topics.create_topics({"bootstrap_servers": state.kafka_bootstrap})
        save(state)
        return state


def _start_database(root: Path, paths: StackPaths, state: StackState, progress: Callable[[str], None]) -> None:
    progress("starting the database" if paths.data.is_dir() else "creating the database")
    postgres.stop(paths)  # one that was never prepared to its end
    save(state)  # the passwords, before anything depends on them
    postgres.start(root, paths, state)
    create_admin_role(state.superuser_url, ADMIN_ROLE, state.admin_password)
    prepare_database(state.superuser_url, DATABASE_NAME, ADMIN_ROLE)


def serve_api() -> str:
    """Start the API anew beside the running stack, and return its URL; `down` stops it.

    Raises:
        StackError: it does not start, or the stack does not run.
    """
    paths = StackPaths.current()
    with locked(_lock_file()):
        state = load()
        if state is None or state.postgres_pid is None:
            raise StackError("the embedded stack does not run", hint="Run `telestream stack up`.")
        paths.create()
        api.stop(paths)  # one of an earlier version, perhaps
        api.start(paths, state)
        save(state)
        return state.api_url


def down() -> bool:
    """Stop the stack; tell whether any of it was running."""
    paths = StackPaths.current()
    with locked(_lock_file()):
        stopped = [api.stop(paths), postgres.stop(paths), cache.stop(paths), broker.stop(paths)]
        state = load()
        if state is not None:
            state.postgres_pid = state.redis_pid = state.broker_pid = None
            save(state)
    return any(stopped)


def destroy() -> None:
    """Stop the stack and remove its data; the vault key and the private root are kept."""
    down()
    base = StackPaths.current().base
    with locked(_lock_file()):
        if base.exists():
            shutil.rmtree(base)


def status() -> list[ServiceStatus]:
    """Return how the database, the cache and the broker are, and the API where it runs."""
    paths = StackPaths.current()
    state = load() or StackState()
    found = [_database_status(paths, state), _cache_status(paths, state), _broker_status(paths, state)]
    pid = api.server_pid(paths)
    if pid is not None:
        found.append(ServiceStatus("api", pid, state.api_url, f"TeleStream {__version__}", process.memory_bytes(pid)))
    return found


def ensure_vault_key() -> None:
    """Create the key that makes the vault's tokens where it is missing: 32 random bytes as hex."""
    path = settings().vault_key_path
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, secrets.token_hex(32) + "\n")


def _lock_file() -> Path:
    # Beside the data, not in it, so that `destroy` can hold it.
    return settings().state_dir / "stack.lock"


def _database_status(paths: StackPaths, state: StackState) -> ServiceStatus:
    pid = postgres.postmaster(paths)
    size = _size(paths.data) if paths.data.is_dir() else None
    version = ""
    if pid is not None:
        query = (
            "SELECT concat('PostgreSQL ', split_part(current_setting('server_version'), ' ', 1),"
            " (SELECT ', TimescaleDB ' || extversion FROM pg_extension WHERE extname = 'timescaledb'))"
        )
        try:
            with psycopg.connect(state.database_url, connect_timeout=5) as connection:
                row = connection.execute(query).fetchone()
                version = row[0] if row else ""
        except psycopg.OperationalError:
            version = "does not answer"
    address = f"127.0.0.1:{state.database_port}" if pid is not None else ""
    return ServiceStatus("database", pid, address, version, size)


def _cache_status(paths: StackPaths, state: StackState) -> ServiceStatus:
    pid = cache.server_pid(paths)
    if pid is None:
        return ServiceStatus("cache", None, "", "", None)
    address = f"127.0.0.1:{state.redis_port}"
    try:
        with redis.Redis.from_url(state.redis_url, socket_timeout=5) as client:
            info = client.info()
    except redis.RedisError:
        return ServiceStatus("cache", pid, address, "does not answer", None)
    version = f"Valkey {info.get('valkey_version', info['redis_version'])}"
    return ServiceStatus("cache", pid, address, version, info["used_memory"])


def _broker_status(paths: StackPaths, state: StackState) -> ServiceStatus:
    pid = broker.server_pid(paths)
    if pid is None:
        return ServiceStatus("broker", None, "", "", None)
    return ServiceStatus("broker", pid, state.kafka_bootstrap, broker.version(), process.memory_bytes(pid))


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:  # a segment that was recycled while we looked
                continue
    return total
