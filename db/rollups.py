"""Brings Gold up to date after a load, and checks that it equals Silver."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from telestream import tracing
from telestream.db.connection import Connection, connect, translated
from telestream.db.edition import edition

LEFT_TO_JOB = "Gold is left to the scheduled job (telestream db schedule): this user does not own the rollups"
# Rollups that read Silver itself; the others are built on the first of them.
_ROOTS = "SELECT rollup_name FROM rollup.definition WHERE source LIKE 'silver.%' ORDER BY position"
_DEPENDENT = "SELECT rollup_name FROM rollup.definition WHERE source LIKE 'rollup.%' ORDER BY position"


def refresh(url: str, *, workers: int = 2) -> int | None:
    """Refresh exactly the touched buckets of every rollup.

    On the Apache edition the rollups over Silver are refreshed `workers` at a time, each in one
    transaction; on the community edition the server's own procedure does it.

    Returns:
        The number of buckets that were marked; None where only the scheduled job may refresh: on the
        community edition that takes the owner of the rollups.
    """
    with translated(url), connect(url, autocommit=True) as connection:
        batches = _traced_batches(connection)
        marked = int(_scalar(connection, "SELECT count(DISTINCT (rollup_name, bucket)) FROM rollup.pending"))
        if edition(connection) == "community":
            if not _scalar(connection, "SELECT pg_has_role('telestream_owner', 'SET')"):
                return None
            connection.execute("SET ROLE telestream_owner")
            with tracing.shared("refresh gold", batches):
                connection.execute("CALL rollup.refresh_pending()")
            connection.execute("SELECT ops.close_lineage(true)")
            return marked
        roots = [name for (name,) in connection.execute(_ROOTS).fetchall()]
        dependent = [name for (name,) in connection.execute(_DEPENDENT).fetchall()]

    connections: list[Connection] = []
    local = threading.local()

    def refresh_one(rollup: str) -> None:
        if not hasattr(local, "connection"):
            local.connection = connect(url, autocommit=True)
            connections.append(local.connection)
        local.connection.execute("SELECT rollup.refresh_table(%s)", (rollup,))

    with translated(url), ThreadPoolExecutor(workers) as pool:
        try:
            with tracing.shared("refresh gold", batches):
                list(pool.map(refresh_one, roots))
                for name in dependent:
                    pool.submit(refresh_one, name).result()
            if connections:
                connections[0].execute("SELECT ops.close_lineage(true)")
        finally:
            for connection in connections:
                connection.close()
    return marked


def _traced_batches(connection: Connection) -> list[str]:
    """Return the contexts of the traces of the batches that a refresh will show in Gold."""
    if tracing.tracer() is None:
        return []
    rows = connection.execute(
        "SELECT b.trace_context FROM ops.batch AS b WHERE b.trace_context IS NOT NULL"
        " AND b.batch_id IN (SELECT p.batch_id FROM rollup.pending AS p) ORDER BY b.batch_id"
    ).fetchall()
    return [one for (one,) in rows]


@dataclass(frozen=True)
class Difference:
    """One row in which a rollup differs from the aggregate over its source."""

    rollup: str
    bucket: datetime
    problem: str
    row: dict[str, Any]


def check(url: str, start: datetime | None = None, end: datetime | None = None) -> list[Difference]:
    """Recompute closed buckets from their source and return every difference; none: Gold equals Silver."""
    with translated(url), connect(url) as connection:
        rows = connection.execute(
            "SELECT * FROM gold.check_rollups(coalesce(%s, timestamptz '2000-01-01 00:00:00+00'),"
            " coalesce(%s, timestamptz '2100-01-01 00:00:00+00'))",
            (start, end),
        ).fetchall()
    return [Difference(*row) for row in rows]


def _scalar(connection: Connection, query: str) -> Any:
    row = connection.execute(query).fetchone()
    return row[0] if row is not None else None
