"""Commits one segment: identities first, then rows, refusals, refine and checkpoint in one transaction."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import pyarrow as pa
from psycopg import errors as pg

from telestream import __version__, tracing
from telestream.db.connection import Connection, connect, translated
from telestream.db.copy import copy_table
from telestream.db.enrol import enrol_cdr
from telestream.db.vault import lend_vault_key
from telestream.errors import TransientError
from telestream.loaders.ledger import Counts
from telestream.loaders.readers.segment import RejectedLines, Segment

LOADER_ROLE = "telestream_loader"
# A deadlock or a serialization failure between loaders is gone when one of them repeats its transaction.
ATTEMPTS = 3
REFUSED_FILE_SEGMENT = -1


class Committer:
    """Writes segments over one connection of its own; one committer per worker thread."""

    def __init__(self, url: str, vault_key: str) -> None:
        self._connection = connect(url, role=LOADER_ROLE, autocommit=True)
        with translated(url):
            lend_vault_key(self._connection, vault_key)
            # Rows only count once the file's checkpoint does, and both are in one transaction.
            self._connection.execute("SET synchronous_commit = on")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def commit(self, file_id: int, promises: Sequence[str], segment: Segment) -> Counts:
        """Bring a segment into Silver, whole or not at all.

        Returns:
            What became of its records. A segment that another process has committed counts as nothing.

        Raises:
            TransientError: the database went away or a conflict outlasted the attempts.
        """
        for attempt in range(ATTEMPTS):
            try:
                with translated():
                    return self._once(file_id, promises, segment)
            except TransientError as exc:
                retry = isinstance(exc.__cause__, pg.DeadlockDetected | pg.SerializationFailure)
                if not retry or attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def _once(self, file_id: int, promises: Sequence[str], segment: Segment) -> Counts:
        connection = self._connection
        batch_id = _scalar(connection, "SELECT ops.open_batch('cdr')")
        with tracing.step("enrol"):
            enrol_cdr(connection, batch_id, segment.table)
        try:
            with connection.transaction():
                connection.execute(
                    "INSERT INTO ops.batch (batch_id, dataset, source_kind, file_id, segment_number, start_position,"
                    " end_position, first_line, next_line, promises, rows_in, code_version, trace_context)"
                    " VALUES (%s, 'cdr', 'file', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    (batch_id, file_id, segment.number, segment.start, segment.end, segment.first_line,
                     segment.next_line, list(promises), segment.rows_in, __version__, tracing.context()),
                )  # fmt: skip
                with tracing.step("copy"):
                    self._copy_rejects(batch_id, segment.rejects)
                    copy_table(connection, ("bronze", "cdr"), _with_batch(batch_id, segment.table), jsonb=("extras",))
                with tracing.step("refine"):
                    connection.execute("CALL silver.refine_cdr(%s)", (batch_id,))
                    self._add_raw_text(batch_id, segment)
                row = connection.execute(
                    "SELECT rows_in, rows_loaded, rows_duplicate, rows_quarantined FROM ops.batch WHERE batch_id = %s",
                    (batch_id,),
                ).fetchone()
                committing = time.time_ns()
            tracing.record("commit", committing)
        except pg.UniqueViolation as exc:
            if exc.diag.constraint_name != "batch_file_id_segment_number_key":
                raise
            return Counts()
        assert row is not None  # inserted above
        counts = Counts(*row)
        tracing.note(
            telestream__batch_id=batch_id, telestream__rows_in=counts.rows_in, telestream__rows_loaded=counts.loaded
        )
        return counts

    def refuse_file(self, file_id: int, reason: str, batches: Iterable[RejectedLines]) -> None:
        """Put every line of a file into quarantine for one reason, in one transaction."""
        connection = self._connection
        with translated():
            batch_id = _scalar(connection, "SELECT ops.open_batch('cdr')")
            with connection.transaction():
                # A file refused before, under another profile, has its lines in quarantine already.
                inserted = connection.execute(
                    "INSERT INTO ops.batch (batch_id, dataset, source_kind, file_id, segment_number, rows_in,"
                    " code_version) VALUES (%s, 'cdr', 'file', %s, %s, 0, %s)"
                    " ON CONFLICT (file_id, segment_number) DO NOTHING",
                    (batch_id, file_id, REFUSED_FILE_SEGMENT, __version__),
                ).rowcount
                if inserted:
                    rows = 0
                    for lines in batches:
                        self._copy_rejects(batch_id, lines.as_rejects("file_refused", reason))
                        rows += len(lines)
                    connection.execute("UPDATE ops.batch SET rows_in = %s WHERE batch_id = %s", (rows, batch_id))
                    connection.execute("CALL silver.refine_cdr(%s)", (batch_id,))
                connection.execute(
                    "UPDATE ops.source_file SET status = 'refused', reason = %s, finished_at = clock_timestamp()"
                    " WHERE file_id = %s",
                    (reason, file_id),
                )
                connection.execute("SELECT ops.end_load(%s, 'FAIL', %s)", (file_id, reason))

    def _copy_rejects(self, batch_id: int, rejects: pa.Table) -> None:
        """Quarantine lines the reader refused; `rejects` has line, rule, reason, raw."""
        if rejects.num_rows == 0:
            return
        self._connection.execute(
            "INSERT INTO quality.quarantine (dataset, batch_id, line, rules, reason, raw)"
            " SELECT 'cdr', %s, u.line, ARRAY[u.rule], u.reason, u.raw"
            " FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[]) AS u (line, rule, reason, raw)",
            (batch_id, *(rejects.column(name).to_pylist() for name in ("line", "rule", "reason", "raw"))),
        )

    def _add_raw_text(self, batch_id: int, segment: Segment) -> None:
        """Give the records that the rules refused the text of their line."""
        rows = self._connection.execute(
            "SELECT line FROM quality.quarantine WHERE batch_id = %s AND raw IS NULL", (batch_id,)
        ).fetchall()
        if not rows:
            return
        raw = segment.raw_lines([line for (line,) in rows])
        self._connection.execute(
            "UPDATE quality.quarantine AS q SET raw = u.raw"
            " FROM unnest(%s::bigint[], %s::text[]) AS u (line, raw) WHERE q.batch_id = %s AND q.line = u.line",
            (list(raw), list(raw.values()), batch_id),
        )


def _with_batch(batch_id: int, table: pa.Table) -> pa.Table:
    """Put the batch id before the columns of a mapped table."""
    column = pa.repeat(pa.scalar(batch_id, pa.int64()), table.num_rows)
    return table.add_column(0, "batch_id", column)


def _scalar(connection: Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None  # each of our queries returns exactly one row
    return int(row[0])
