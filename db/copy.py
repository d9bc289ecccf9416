"""Sends Arrow tables to PostgreSQL as COPY BINARY, within the caller's transaction."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder
from pgpq.encoders import StringEncoderBuilder
from pgpq.schema import Jsonb
from psycopg import sql

from telestream.db.connection import Connection

# Rows encoded at a time: bounds the encoded bytes held in memory to a few MB.
ROWS_PER_WRITE = 16_384


def copy_table(connection: Connection, target: tuple[str, str], table: pa.Table, *, jsonb: tuple[str, ...] = ()) -> int:
    """Copy all rows of `table` into the columns of the same names of `target` (schema, table).

    Args:
        connection: an open connection; the COPY joins its transaction.
        target: schema and table.
        table: Arrow table; string columns named in `jsonb` hold JSON texts.
        jsonb: columns to send as jsonb.

    Returns:
        The number of rows the server took.
    """
    encoder = _encoder(table.schema, jsonb)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(*target), sql.SQL(", ").join(map(sql.Identifier, table.schema.names))
    )
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            copy.write(encoder.write_header())
            for batch in table.to_batches(max_chunksize=ROWS_PER_WRITE):
                copy.write(encoder.write_batch(batch))
            copy.write(encoder.finish())
        return cursor.rowcount


def _encoder(schema: pa.Schema, jsonb: tuple[str, ...]) -> Any:
    plain = ArrowToPostgresBinaryEncoder
    if not jsonb:
        return plain(schema)
    builders = {field.name: plain.infer_encoder(field) for field in schema}
    for name in jsonb:
        builders[name] = StringEncoderBuilder.new_with_output(schema.field(name), Jsonb())
    return plain.new_with_encoders(schema, builders)
