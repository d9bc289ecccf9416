"""Confluent's wire format: a zero byte, the schema id in four bytes (big-endian), and the Avro body."""

from __future__ import annotations

import io
from typing import Any

import fastavro

MAGIC = 0
HEADER_BYTES = 5


def frame(schema_id: int, body: bytes) -> bytes:
    """Return a message of a body and the id of the schema it was written with."""
    return bytes((MAGIC,)) + schema_id.to_bytes(4, "big") + body


class AvroEncoder:
    """Encodes records of one schema as messages.

    Args:
        schema: Avro schema of the records.
        schema_id: its id in the registry.
    """

    def __init__(self, schema: dict[str, Any], schema_id: int) -> None:
        self._schema = fastavro.parse_schema(schema)
        self._header = frame(schema_id, b"")

    def encode(self, record: dict[str, Any]) -> bytes:
        """Return the message of a record.

        Args:
            record: field name → value; fields with a default may be missing. Times are aware datetimes, or integers
                in the unit of the schema.

        Raises:
            ValueError, TypeError: the record does not fit the schema.
        """
        out = io.BytesIO()
        out.write(self._header)
        fastavro.schemaless_writer(out, self._schema, record)
        return out.getvalue()
