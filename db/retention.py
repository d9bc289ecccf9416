"""Enforces how long records are kept: what is due goes in slices, what is held stays with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from psycopg import errors as pg

from telestream.db.connection import Connection, connect, translated
from telestream.errors import TransientError

OWNER = "telestream_owner"
# Of ops.drop_silver(), too: one run at a time.
_LOCK = 7_301_009


@dataclass(frozen=True)
class Piece:
    """Something older than its maximum that is dropped at once: a partition, days of Silver, rows of a dataset."""

    record_class: str
    name: str
    lo: datetime | None
    hi: datetime | None
    rows: int | None
    bytes: int
    """On disk; of rows that of their values."""
    held: str | None
    """Why it stays."""


@contextmanager
def exclusive(url: str) -> Iterator[Connection]:
    """Give the connection of the only run of the archive or of retention; it acts as the owner.

    Raises:
        TransientError: another run is under way.
    """
    with translated(url), connect(url, role=OWNER, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        if connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone() != (True,):
            raise TransientError(
                "another run of the archive or of retention is under way",
                hint="Wait for its end; its lock goes with its connection.",
            )
        yield connection


def plan(connection: Connection) -> list[Piece]:
    """Return all that is older than its maximum.

    Raises:
        psycopg.Error: TS012, the rules of a kind of record contradict each other.
    """
    return [
        Piece(*row)
        for row in connection.execute(
            "SELECT record_class, piece, lo, hi, row_count, bytes, held FROM ops.retention_plan()"
        ).fetchall()
    ]


def drop(connection: Connection, piece: Piece, told: Callable[[int], None] = lambda _: None) -> tuple[int, str | None]:
    """Drop a piece that is not held, in short transactions.

    Args:
        connection: autocommit, as the owner, see `archive.exclusive`.
        piece: of the plan.
        told: called with the rows of each slice.

    Returns:
        The bytes freed, and why it, or what is left of it, stays after all.
    """
    freed = 0
    try:
        if piece.record_class.startswith("silver."):
            connection.execute(
                "SELECT ops.raise_horizon(%s, %s)", (piece.record_class.removeprefix("silver."), piece.hi)
            )
        while True:
            row = connection.execute(
                "SELECT o_rows, o_bytes FROM ops.drop_piece(%s, %s, %s, %s)",
                (piece.record_class, piece.name, piece.lo, piece.hi),
            ).fetchone()
            rows, size = row if row else (0, 0)
            freed += size
            told(rows)
            if not rows:
                return freed, None
    except pg.LockNotAvailable:
        return freed, "a reader or a load holds a lock on it; the next run tries again"
    except pg.Error as exc:
        if exc.sqlstate not in {"TS011", "TS013", "TS014"}:
            raise
        return freed, exc.diag.message_detail or exc.diag.message_primary
