"""Writes prepared batches: stage, refine and commit, with the offsets in the transaction of the rows."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from psycopg import errors as pg

from telestream import __version__, tracing
from telestream.consumers.datasets import Dataset
from telestream.consumers.dead_letters import DeadLetter, record_dead_letters
from telestream.consumers.prepare import Batch, Prepared
from telestream.consumers.telemetry import Stage, Telemetry
from telestream.db.connection import Connection, connect, translated
from telestream.db.copy import copy_table
from telestream.db.sqlstate import SqlState
from telestream.db.vault import lend_vault_key
from telestream.errors import FencedError

CONSUMER_ROLE = "telestream_consumer"
# A consumer that is stopped in the middle of a transaction holds its partitions no longer than this.
_TRANSACTION_TIMEOUT = "30s"


@dataclass(frozen=True)
class Written:
    """What became of the messages of a batch, and when (Unix time); rows_in = loaded + duplicate + quarantined."""

    rows_in: int
    loaded: int
    duplicate: int
    quarantined: int
    late: int
    dead: int
    committed_at: float


@contextlib.contextmanager
def fencing() -> Iterator[None]:
    """Raise `FencedError` where the database says that a partition is another consumer's."""
    try:
        yield
    except pg.Error as exc:
        if exc.sqlstate == SqlState.NOT_THE_OWNER:
            diag = exc.diag
            raise FencedError(
                diag.message_primary or "fenced", detail=diag.message_detail, hint=diag.message_hint
            ) from exc
        raise


class Writer:
    """Writes over one connection of its own, opened when needed, each batch whole or not at all; for one thread."""

    def __init__(
        self, url: str, vault_key: str, dataset: Dataset, telemetry: Telemetry, *, broker_name: str = ""
    ) -> None:
        """Remember where to write; `broker_name` is what the lineage calls the broker, else it is its cluster id."""
        self._url = url
        self._broker_name = broker_name
        self._vault_key = vault_key
        self._dataset = dataset
        self._telemetry = telemetry
        self._connection: Connection | None = None
        self._lost = False

    def write(self, batch: Batch, prepared: Prepared, *, again: bool = False) -> Written:
        """Write a batch in one transaction.

        Args:
            batch: the batch.
            prepared: what was made of it.
            again: an earlier attempt broke off, so that it may have been committed.

        Raises:
            FencedError: another consumer has claimed a partition.
            TransientError: the database went away, or a conflict was resolved against us: call again with `again`.
        """
        try:
            with translated(self._url):
                return self._write(batch, prepared, again)
        except BaseException:
            self._lost = self._connection is not None and self._connection.closed
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self._url, role=CONSUMER_ROLE, autocommit=True)
            lend_vault_key(self._connection, self._vault_key)
            self._connection.execute("SELECT set_config('telestream.lineage_source', %s, false)", (self._broker_name,))
            # The offsets say that the rows are there, and the broker may then forget them.
            self._connection.execute("SET synchronous_commit = on")
            self._connection.execute(
                "SELECT set_config(name, %s, false) FROM pg_settings WHERE name = 'transaction_timeout'",
                (_TRANSACTION_TIMEOUT,),
            )
            if self._lost:
                self._lost = False
                self._telemetry.reconnected("database")
        return self._connection

    def _write(self, batch: Batch, prepared: Prepared, again: bool) -> Written:
        connection = self._open()
        if again and (written := self._committed(connection, batch, prepared)) is not None:
            return written
        dataset = self._dataset
        row = connection.execute("SELECT ops.open_batch(%s)", (dataset.name,)).fetchone()
        assert row is not None  # a function returns one row
        batch_id = int(row[0])
        with self._telemetry.timed(Stage.STAGE):
            dataset.enrol(connection, batch_id, prepared.table)
        with connection.transaction():
            with self._telemetry.timed(Stage.STAGE):
                self._advance(connection, batch, prepared)
                self._stage(connection, batch_id, batch, prepared)
            with self._telemetry.timed(Stage.REFINE):
                connection.execute(dataset.refine, (batch_id,))
                counts = connection.execute(
                    "SELECT rows_in, rows_loaded, rows_duplicate, rows_quarantined, rows_late FROM ops.batch"
                    " WHERE batch_id = %s",
                    (batch_id,),
                ).fetchone()
            assert counts is not None  # inserted by `_stage`
        tracing.note(telestream__batch_id=batch_id, telestream__rows_in=counts[0], telestream__rows_loaded=counts[1])
        return Written(*(*counts, len(prepared.bad), time.time()))

    def _advance(self, connection: Connection, batch: Batch, prepared: Prepared) -> None:
        """Move the offsets; the batch's first statement, so that a consumer without its partitions does nothing."""
        before = [batch.claims[claim.partition] for claim in prepared.claims]
        with fencing():
            connection.execute(
                "SELECT ops.advance_offsets(%s, %s, %s::integer[], %s::bigint[], %s::bigint[], %s::bigint[],"
                " %s::bigint[], %s::timestamptz[])",
                (
                    batch.incarnation,
                    batch.topic,
                    [claim.partition for claim in before],
                    [claim.epoch for claim in before],
                    [claim.next_offset for claim in before],
                    [claim.next_offset for claim in prepared.claims],
                    prepared.log_ends,
                    [claim.event_at for claim in prepared.claims],
                ),
            )

    def _stage(self, connection: Connection, batch_id: int, batch: Batch, prepared: Prepared) -> None:
        connection.execute(
            "INSERT INTO ops.batch (batch_id, dataset, source_kind, rows_in, code_version, trace_context)"
            " VALUES (%s, %s, 'kafka', %s, %s, %s)",
            (batch_id, self._dataset.name, prepared.table.num_rows, __version__, tracing.context()),
        )
        connection.execute(
            "INSERT INTO ops.kafka_slice (batch_id, incarnation, topic, partition, first_offset, first_line, messages)"
            " SELECT %s, %s, %s, u.* FROM unnest(%s::integer[], %s::bigint[], %s::bigint[], %s::bigint[]) AS u",
            (
                batch_id,
                batch.incarnation,
                batch.topic,
                [one.partition for one in prepared.slices],
                [one.first_offset for one in prepared.slices],
                [one.first_line for one in prepared.slices],
                [one.messages for one in prepared.slices],
            ),
        )
        record_dead_letters(
            connection,
            batch.incarnation,
            batch.topic,
            [
                DeadLetter(batch_id, one.partition, one.offset, one.reason, one.detail, one.key, one.value)
                for one in prepared.bad
            ],
        )
        rows = prepared.table.add_column(0, "batch_id", pa.repeat(pa.scalar(batch_id), prepared.table.num_rows))
        copy_table(connection, ("bronze", self._dataset.name), rows, jsonb=self._dataset.jsonb)

    def _committed(self, connection: Connection, batch: Batch, prepared: Prepared) -> Written | None:
        """Return what an attempt that broke off has committed, or None where it has not."""
        after, first = prepared.claims[0], prepared.slices[0]
        row = connection.execute(
            "SELECT b.rows_in, b.rows_loaded, b.rows_duplicate, b.rows_quarantined, b.rows_late"
            " FROM ops.kafka_offset AS k"
            " INNER JOIN ops.kafka_slice AS s USING (incarnation, topic, partition)"
            " INNER JOIN ops.batch AS b ON s.batch_id = b.batch_id"
            " WHERE k.incarnation = %s AND k.topic = %s AND k.partition = %s AND k.epoch = %s AND k.next_offset = %s"
            " AND s.first_offset = %s ORDER BY s.batch_id DESC LIMIT 1",
            (batch.incarnation, batch.topic, after.partition, after.epoch, after.next_offset, first.first_offset),
        ).fetchone()
        return None if row is None else Written(*(*row, len(prepared.bad), time.time()))
