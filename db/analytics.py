"""Runs the tasks that work something out from Gold, and tells how they went; the work is done in the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from telestream.db.connection import Connection, connect, translated

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
        connection.execute("CALL analytics.run_task(%s)", (task,))


def tasks(connection: Connection) -> list[Task]:
    """Return all tasks in the order the schedule runs them."""
    return [
        Task(name, is_enabled, description, Run(*rest) if rest[0] is not None else None)
        for name, is_enabled, description, *rest in connection.execute(
            f"SELECT t.task, t.is_enabled, t.description, {_RUN} FROM analytics.task AS t LEFT JOIN LATERAL"
            " (SELECT * FROM analytics.run AS l WHERE l.task = t.task ORDER BY l.run_id DESC LIMIT 1) AS r ON true"
            " ORDER BY t.position"
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
