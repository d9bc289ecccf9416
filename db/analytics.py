"""Runs the tasks that work something out from Gold, and tells how they went.

Most work is done in the database. What needs a library runs here, and has its row in the same ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from telestream.db.connection import Connection, connect, translated
from telestream.errors import TelestreamError

OWNER = "telestream_owner"


@dataclass(frozen=True)
class Run:
    """A run of a task; `rows`, `seconds` and `result` are none while it runs, `rows` also where it failed."""

    number: int
    status: str
    """running, done or failed; one whose connection was lost stays running."""
    started_at: datetime
    seconds: float | None
    rows: int | None
    result: str | None


@dataclass(frozen=True)
class Task:
    """A task and its last run."""

    name: str
    is_enabled: bool
    """Whether the schedule runs it."""
    description: str
    last: Run | None
    is_overdue: bool
    """It is enabled, and no run of it has ended well for a day and an hour."""


_CAPACITY_FORECAST = "capacity_forecast"
_RUN = (
    "r.run_id, r.status, r.started_at, extract(EPOCH FROM r.finished_at - r.started_at)::double precision, r.rows,"
    " r.result"
)


def run(url: str, task: str | None = None) -> None:
    """Run one task, or all that are enabled.

    Raises:
        TerminalError: there is no such task, or one failed (TS045).
    """
    with translated(url), connect(url, role=OWNER, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        if task == _CAPACITY_FORECAST:
            _forecast(connection, url)
            return
        failed: psycopg.Error | None = None
        try:
            connection.execute("CALL analytics.run_task(%s)", (task,))
        except psycopg.Error as exc:
            failed = exc
        # One that fails does not keep the others from running.
        enabled = {one.name for one in tasks(connection) if one.is_enabled}
        if task is None and _CAPACITY_FORECAST in enabled:
            _forecast(connection, url)
        if failed:
            raise failed


def _forecast(connection: Connection, url: str) -> None:
    """Make the capacity forecast, and keep a row of the run as analytics.run_task() does."""
    from telestream.db import forecast

    row = connection.execute(
        "INSERT INTO analytics.run (task) VALUES (%s) RETURNING run_id", (_CAPACITY_FORECAST,)
    ).fetchone()
    number = row[0] if row else None
    end = "UPDATE analytics.run SET status = %s, finished_at = now(), rows = %s, result = %s WHERE run_id = %s"
    try:
        made = forecast.make(url, datetime.now(UTC))
    except TelestreamError as exc:
        connection.execute(end, ("failed", None, str(exc), number))
        raise
    connection.execute(end, ("done", made.rows, made.result(), number))


def tasks(connection: Connection) -> list[Task]:
    """Return all tasks in the order the schedule runs them."""
    return [
        Task(name, is_enabled, description, Run(*rest) if rest[0] is not None else None, is_overdue)
        for name, is_enabled, description, is_overdue, *rest in connection.execute(
            "SELECT s.task, s.is_enabled, s.description, s.is_overdue, s.run_id, s.status, s.started_at, s.seconds,"
            " s.rows, s.result FROM analytics.task_status AS s ORDER BY s.position"
        )
    ]


def runs(connection: Connection, task: str, newest: int) -> list[Run]:
    """Return the newest runs of a task, the newest first; none for a task that does not exist."""
    return [
        Run(*row)
        for row in connection.execute(
            f"SELECT {_RUN} FROM analytics.run AS r WHERE r.task = %s ORDER BY r.run_id DESC LIMIT %s", (task, newest)
        )
    ]
