"""Lets the archive go of days that are older than their maximum, unless a minimum or a legal hold keeps them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from telestream.db.archive import DATASETS, Dataset, archive_columns
from telestream.db.archive_table import ArchiveTable, is_table
from telestream.db.connection import Connection
from telestream.db.retention import Piece
from telestream.errors import TerminalError

_PREFIX = "archive."


def plan(connection: Connection) -> list[Piece]:
    """Return the days that are older than their maximum and that Silver has let go of, oldest first.

    Args:
        connection: as the owner; to expire them that of `retention.exclusive`.

    Raises:
        TerminalError: the archive cannot be read.
        psycopg.Error: TS012, the rules contradict each other.
    """
    pieces = []
    for dataset in DATASETS:
        rows = connection.execute(
            "SELECT a.day, a.rows, a.target, CASE WHEN (a.day + 1)::timestamp AT TIME ZONE 'UTC'"
            " > now() - e.o_minimum"
            " THEN format('minimum of %%s', e.o_minimum) END"
            " FROM ops.archive_day AS a CROSS JOIN LATERAL ops.effective_retention(%s) AS e"
            " WHERE a.dataset = %s AND a.state = 'dropped' AND (a.day + 1)::timestamp AT TIME ZONE 'UTC'"
            " <= now() - e.o_maximum"
            " ORDER BY a.day",
            (_PREFIX + dataset, dataset),
        ).fetchall()
        if rows:
            table = _table(connection, dataset, rows[0][2])
            for day, count, _, minimum in rows:
                held = minimum or _held(connection, table, dataset, day)
                size = table.size(day)
                pieces.append(Piece(_PREFIX + dataset, day.isoformat(), _start(day), None, count, size, held))
    return pieces


def expire(connection: Connection, pieces: list[Piece]) -> None:
    """Delete days from the archive, their files at once, and note it; repeating it after a crash completes it.

    Args:
        connection: of `retention.exclusive`.
        pieces: of the plan, none of them held.

    Raises:
        TerminalError: the archive cannot be written; the ledger says what is left to do.
    """
    for dataset in DATASETS:
        days = [date.fromisoformat(piece.name) for piece in pieces if piece.record_class == _PREFIX + dataset]
        if days:
            row = connection.execute(
                "SELECT min(target) FROM ops.archive_day WHERE dataset = %s", (dataset,)
            ).fetchone()
            assert row is not None
            _table(connection, dataset, row[0]).delete_days(days)
            connection.execute(
                "UPDATE ops.archive_day SET state = 'expired', expired_at = clock_timestamp()"
                " WHERE dataset = %s AND day = ANY (%s) AND state = 'dropped'",
                (dataset, days),
            )


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _table(connection: Connection, dataset: Dataset, uri: str) -> ArchiveTable:
    # A table made anew on a disk that is not mounted would be empty, and its days would pass for deleted.
    if not is_table(uri):
        raise TerminalError(
            "the archive is not where it was",
            detail=f"{uri} is no Delta table. Nothing of the archive was deleted.",
            hint="See that it is mounted or can be reached; if it was moved, UPDATE ops.archive_day SET target.",
        )
    return ArchiveTable(uri.removesuffix(f"/fact_{dataset}"), dataset, archive_columns(connection, dataset))


def _held(connection: Connection, table: ArchiveTable, dataset: Dataset, day: date) -> str | None:
    """Return the reason of a legal hold on a day; one on a person holds the days that have them."""
    start = _start(day)
    for hold_id, reason, subscriber_id in connection.execute(
        "SELECT hold_id, reason, subscriber_id FROM ops.legal_hold"
        " WHERE since <= now() AND (until IS NULL OR until > now()) AND (dataset IS NULL OR dataset = %(dataset)s)"
        " AND coalesce(from_at, '-infinity') < %(end)s"
        " AND coalesce(to_at, 'infinity') > %(start)s"
        " ORDER BY subscriber_id NULLS FIRST, hold_id",
        {"dataset": dataset, "start": start, "end": start + timedelta(days=1)},
    ).fetchall():
        if subscriber_id is None or table.has_person(day, subscriber_id):
            return f"legal hold {hold_id}: {reason}"
    return None
