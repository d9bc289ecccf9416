"""Notes in the lineage how a run ends that somebody has begun: loads of files, syncs, days of the archive."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg

from telestream.db.connection import Connection
from telestream.errors import TelestreamError


def problem_of(error: TelestreamError | psycopg.Error) -> str:
    """Return why a run failed, as an event may say it: without what a server's message may quote of a record."""
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    if isinstance(cause, psycopg.Error) and not (cause.sqlstate or "").startswith("TS"):
        return f"the database refused or broke off: {type(cause).__name__} ({cause.sqlstate or 'no SQLSTATE'})"
    return str(error).splitlines()[0]


@contextlib.contextmanager
def failing(connection: Connection, subject: str) -> Iterator[None]:
    """Note FAIL for the run of a subject where the block ends with an error, ABORT where somebody interrupts it.

    Where the connection is lost nothing can be noted: the run is aborted when its subject comes again.
    """
    try:
        yield
    except (TelestreamError, psycopg.Error) as exc:
        _end(connection, subject, "FAIL", problem_of(exc))
        raise
    except KeyboardInterrupt:
        _end(connection, subject, "ABORT", "interrupted")
        raise


def _end(connection: Connection, subject: str, kind: str, problem: str) -> None:
    # The error that ends the run matters more than that it cannot be noted.
    with contextlib.suppress(psycopg.Error):
        connection.execute("SELECT ops.end_run(%s, %s, %s, NULL, NULL)", (subject, kind, problem))
