"""What benchmarks of analytics share: running a task with its seconds and memory, finding who was planted."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class TaskRun:
    """A run of a task: seconds, private memory of its server process in MB at most, and what it says it did."""

    seconds: float
    memory_mb: float
    result: str


def run_task(superuser_url: str, url: str, task: str) -> TaskRun:
    """Run a task of analytics once.

    Memory is looked at twenty times a second: without shared buffers, which a process counts as its own once it has
    touched them. 0 where the server has no /proc.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET ROLE telestream_owner")
        with _watched(superuser_url, connection.info.backend_pid) as seen:
            began = time.monotonic()
            connection.execute("CALL analytics.run_task(%s)", (task,))
            seconds = time.monotonic() - began
        found = connection.execute("SELECT result FROM analytics.run ORDER BY run_id DESC LIMIT 1").fetchone()
    return TaskRun(seconds, max(seen), found[0] if found else "")


@contextlib.contextmanager
def _watched(superuser_url: str, pid: int) -> Iterator[list[float]]:
    """Collect the private memory of a server process while the block runs, MB."""
    seen = [0.0]
    stop = threading.Event()

    def look() -> None:
        with psycopg.connect(superuser_url, autocommit=True) as connection:
            while not stop.wait(_LOOK_SECONDS):
                row = connection.execute(
                    "SELECT substring(pg_read_file('/proc/' || %s || '/status', true) FROM 'RssAnon:\\s+(\\d+)')"
                    "::float8 / 1024",
                    (pid,),
                ).fetchone()
                seen.append(row[0] if row and row[0] else 0.0)

    thread = threading.Thread(target=look, name="memory")
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def surrogates(connection: psycopg.Connection[Any], source: str, keys: Sequence[str]) -> dict[str, int]:
    """Return who made each record of a source, by the record's native key."""
    return dict(
        connection.execute(
            "SELECT k.key, f.caller_id FROM unnest(%s::text[]) AS k (key) INNER JOIN silver.fact_cdr AS f"
            " ON f.cdr_id = md5(%s || E'\\x1f' || k.key || E'\\x1f' || 0)::uuid",
            (list(keys), source),
        ).fetchall()
    )
