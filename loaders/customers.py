"""Loads files of customers: each batch with its refusals, versions and checkpoint in one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from psycopg import errors as pg

from telestream import __version__, tracing
from telestream.db.connection import Connection, connect, database_url, translated
from telestream.db.copy import copy_table
from telestream.db.enrol import enrol_customer
from telestream.db.migrate import require_served, require_time_zone
from telestream.db.vault import lend_vault_key, vault_key
from telestream.errors import TelestreamError
from telestream.loaders.commit import LOADER_ROLE
from telestream.loaders.customer_files import BATCH_ROWS, CustomerBatch, read_customers
from telestream.loaders.customer_records import DEFAULT_SOURCE, raw_text
from telestream.loaders.ledger import Counts, Ledger
from telestream.loaders.pipeline import FileResult
from telestream.loaders.sources import Source

DATASET = "customer"
_PROFILE = "customers"
# Raised when a file would be read in another way than before.
_PROFILE_VERSION = "1"


def open_writer(url: str) -> Connection:
    """Open a connection that batches of customers can be committed over.

    Raises:
        SchemaOutdatedError: the database is at another revision.
    """
    key = vault_key()
    connection = connect(url, role=LOADER_ROLE, autocommit=True)
    with translated(url):
        require_served(connection)
        require_time_zone(connection)
        lend_vault_key(connection, key)
        connection.execute("SET synchronous_commit = on")
    return connection


def commit_batch(
    connection: Connection,
    batch: CustomerBatch,
    *,
    file_id: int | None = None,
    together: Callable[[], None] = lambda: None,
) -> Counts:
    """Bring a batch into Silver, whole or not at all.

    Args:
        connection: of `open_writer`.
        batch: what to commit.
        file_id: the file it is a part of; without one it is a page of an API.
        together: called in the same transaction, to keep how far the source has been read.

    Returns:
        What became of its records. A batch of a file that another process has committed counts as nothing.
    """
    with tracing.batch("load customer"):
        return _commit_traced(connection, batch, file_id, together)


def _commit_traced(
    connection: Connection, batch: CustomerBatch, file_id: int | None, together: Callable[[], None]
) -> Counts:
    numbers = sorted({change["msisdn"] for change in batch.changes.values() if change["msisdn"]})
    batch_id = _scalar(connection, "SELECT ops.open_batch(%s)", DATASET)
    with tracing.step("enrol"):
        enrol_customer(connection, batch_id, numbers)
    first, following = batch.lines
    try:
        with connection.transaction():
            connection.execute(
                "INSERT INTO ops.batch (batch_id, dataset, source_kind, file_id, segment_number, start_position,"
                " end_position, first_line, next_line, rows_in, code_version, trace_context)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (batch_id, DATASET, "file" if file_id else "api", file_id, batch.number if file_id else None, first,
                 following, first, following, len(batch), __version__, tracing.context()),
            )  # fmt: skip
            _quarantine(connection, batch_id, batch)
            table = batch.table()
            table = table.add_column(0, "batch_id", [[batch_id] * table.num_rows])
            with tracing.step("copy"):
                copy_table(connection, ("bronze", DATASET), table)
            with tracing.step("refine"):
                connection.execute("CALL silver.refine_customer(%s)", (batch_id,))
                _add_raw_text(connection, batch_id, batch)
            together()
            row = connection.execute(
                "SELECT rows_in, rows_loaded, rows_duplicate, rows_quarantined FROM ops.batch WHERE batch_id = %s",
                (batch_id,),
            ).fetchone()
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


def load_customers(
    sources: Sequence[Source],
    source_system: str = DEFAULT_SOURCE,
    *,
    url: str | None = None,
    batch_rows: int = BATCH_ROWS,
) -> list[FileResult]:
    """Load the files in order; a file that cannot be read fails alone, a lost database stops all.

    A file that is known by content is not loaded again; an interrupted one goes on after its last batch.

    Raises:
        TransientError: the database went away; the same call goes on where this one stopped.
    """
    target = url or database_url()
    results = []
    with translated(target), open_writer(target) as connection:
        ledger = Ledger(connection, DATASET)
        for source in sources:
            started = time.monotonic()
            try:
                result = _load(connection, ledger, source, source_system, batch_rows)
            except TelestreamError as exc:
                if exc.transient:
                    raise
                result = FileResult(source.uri, "failed", _PROFILE, error=exc)
            result.seconds = time.monotonic() - started
            results.append(result)
    return results


def _load(connection: Connection, ledger: Ledger, source: Source, source_system: str, batch_rows: int) -> FileResult:
    content_hash = source.fingerprint()
    ledger.wait_lock(content_hash)
    try:
        known = ledger.find(content_hash)
        if known is not None and known.status == "loaded":
            note = f"same content as {known.uri}." if known.uri != source.uri else ""
            return FileResult(source.uri, "already loaded", _PROFILE, ledger.counts(known.file_id), note=note)
        batches = read_customers(source, source_system, batch_rows=known.segment_size if known else batch_rows)
        # A file that is no file of customers is noted nowhere.
        batch = next(batches, None)
        record = known or ledger.register(content_hash, source, _PROFILE, _PROFILE_VERSION, batch_rows)
        rows_now = 0
        with ledger.begin(record.file_id):
            done = ledger.done_segments(record.file_id)
            while batch is not None:
                if batch.number not in done:
                    rows_now += commit_batch(connection, batch, file_id=record.file_id).rows_in
                batch = next(batches, None)
            ledger.finish(record.file_id)
        return FileResult(source.uri, "loaded", _PROFILE, ledger.counts(record.file_id), rows_now=rows_now)
    finally:
        if not connection.broken:
            ledger.unlock(content_hash)


def _quarantine(connection: Connection, batch_id: int, batch: CustomerBatch) -> None:
    """Put the lines that could not be read into quarantine."""
    if batch.refused:
        connection.execute(
            "INSERT INTO quality.quarantine (dataset, batch_id, line, rules, reason, raw)"
            " SELECT %s, %s, u.line, ARRAY[u.rule], u.reason, u.raw"
            " FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[]) AS u (line, rule, reason, raw)",
            (DATASET, batch_id, *([getattr(row, name) for row in batch.refused] for name in
             ("line", "rule", "reason", "raw"))),
        )  # fmt: skip


def _add_raw_text(connection: Connection, batch_id: int, batch: CustomerBatch) -> None:
    """Give the records that the rules refused their text."""
    rows = connection.execute(
        "SELECT line FROM quality.quarantine WHERE batch_id = %s AND raw IS NULL", (batch_id,)
    ).fetchall()
    if rows:
        lines = [line for (line,) in rows]
        connection.execute(
            "UPDATE quality.quarantine AS q SET raw = u.raw"
            " FROM unnest(%s::bigint[], %s::text[]) AS u (line, raw) WHERE q.batch_id = %s AND q.line = u.line",
            (lines, [raw_text(batch.changes[line]) for line in lines], batch_id),
        )


def _scalar(connection: Connection, query: str, *values: object) -> int:
    row = connection.execute(query, values).fetchone()
    assert row is not None  # each of our queries returns exactly one row
    return int(row[0])
