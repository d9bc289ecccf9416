"""Reads a statement's rows in Arrow batches, by COPY BINARY over a connection of its own, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from adbc_driver_postgresql import StatementOptions
from adbc_driver_postgresql import dbapi as postgresql
from psycopg import sql

_BATCH_BYTES = 1 << 20


@contextmanager
def arrow_batches(
    url: str, statement: sql.Composable, *, role: str, seconds: float | None = None
) -> Iterator[pa.RecordBatchReader]:
    """Run a statement without parameters as `role`, in a read-only transaction, and give its batches of about 1 MiB.

    Args:
        url: of the database.
        statement: what to run.
        role: whose rights count.
        seconds: the server ends a statement that takes longer; without it none.

    Raises:
        adbc_driver_manager.Error: with an SQLSTATE, before the first row; OSError later.
    """
    with postgresql.connect(url) as connection, connection.cursor() as cursor:
        before = [
            sql.SQL("SET TRANSACTION READ ONLY"),
            sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)),
            sql.SQL("SET LOCAL jit = off"),
        ]
        if seconds is not None:
            before.append(sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(f"{seconds * 1000:.0f}ms")))
        for setting in before:
            cursor.execute(setting.as_string())
        cursor.adbc_statement.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(_BATCH_BYTES)})
        cursor.execute(statement.as_string())
        with cursor.fetch_record_batch() as reader:
            yield reader
