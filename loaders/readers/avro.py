"""Reads Avro object container files, by field name."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Collection, Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO, cast

import fastavro
import pyarrow as pa

from telestream.errors import SourceError
from telestream.loaders.profile import Profile
from telestream.loaders.readers.columns import required_columns
from telestream.loaders.readers.records import as_json
from telestream.loaders.sources import AVRO_MAGIC, Source, reading

_SYNC_BYTES = 16
_HEADER = fastavro.parse_schema(
    {
        "type": "record",
        "name": "org.apache.avro.file.Header",
        "fields": [
            {"name": "magic", "type": {"type": "fixed", "name": "magic", "size": len(AVRO_MAGIC)}},
            {"name": "meta", "type": {"type": "map", "values": "bytes"}},
            {"name": "sync", "type": {"type": "fixed", "name": "sync", "size": _SYNC_BYTES}},
        ],
    }
)
# As plain numbers: fastavro fails on a time outside Python's years, and is slower too.
_TIMES: dict[str, pa.DataType] = {
    "timestamp-millis": pa.timestamp("ms", "UTC"),
    "timestamp-micros": pa.timestamp("us", "UTC"),
    "timestamp-nanos": pa.timestamp("ns", "UTC"),
    "local-timestamp-millis": pa.timestamp("ms"),
    "local-timestamp-micros": pa.timestamp("us"),
    "local-timestamp-nanos": pa.timestamp("ns"),
}
_PRIMITIVES: dict[str, pa.DataType] = {
    "int": pa.int64(),
    "long": pa.int64(),
    "float": pa.float64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "enum": pa.string(),
}


@dataclass(frozen=True)
class _Column:
    """How a field becomes an Arrow column: its type, and what is done to a value before."""

    type: pa.DataType
    convert: Callable[[Any], Any] | None = None


class AvroRecords:
    """The records of an Avro file; see `RecordFile`."""

    def __init__(self, source: Source, profile: Profile) -> None:
        self._source = source
        with source.open() as raw, reading(source.uri):
            try:
                reader = fastavro.block_reader(raw)
                metadata = dict(reader.metadata)
                self._body = raw.tell()
                raw.seek(self._body - _SYNC_BYTES)
                sync = raw.read(_SYNC_BYTES)
            except Exception as exc:  # fastavro raises whatever its decoders do
                raise SourceError(
                    f"{source.uri}: the Avro header is damaged", detail=f"{type(exc).__name__}: {exc}."
                ) from exc
        schema = json.loads(metadata["avro.schema"])
        self._header = _header(metadata | {"avro.schema": json.dumps(_without_time_types(schema))}, sync)
        fields = {field["name"]: field["type"] for field in schema.get("fields", [])}
        names = required_columns(profile, list(fields))
        self._columns = {name: _column(fields.get(name, "null")) for name in names}
        self.schema = pa.schema([pa.field(name, column.type) for name, column in self._columns.items()])
        self._offsets: dict[int, tuple[int, int]] = {0: (self._body, 0)}
        self._records = self._from(0)

    def read(self, count: int) -> pa.Table | None:
        """Return the next records, at most `count`; nothing at the end."""
        records = list(islice(self._records, count))
        if not records:
            return None
        return pa.table([_array(records, name, column) for name, column in self._columns.items()], schema=self.schema)

    def close(self) -> None:
        """Close the file."""
        self._records.close()

    def skip_to(self, record: int) -> None:
        """Go on at a record, counted from 0; the blocks before are not decoded."""
        self._records.close()
        self._records = self._from(record)

    def raw_text(self, first: int, lines: Collection[int]) -> dict[int, str]:
        """Return records as JSON by their number from 1."""
        last, wanted = max(lines), set(lines)
        found: dict[int, str] = {}
        with closing(self._from(first)) as records:
            for number, record in enumerate(records, start=first + 1):
                if number in wanted:
                    found[number] = as_json(record)
                if number >= last:
                    break
        return found

    def _from(self, record: int) -> Generator[dict[str, Any]]:
        """Yield the records from one on, beginning at the nearest block before it whose place is known."""
        known = max(place for place in self._offsets if place <= record)
        offset, block_number = self._offsets[known]
        with self._source.open() as raw, reading(self._source.uri):
            raw.seek(offset)
            position = known
            try:
                for block in fastavro.block_reader(cast(BinaryIO, _Joined(self._header, raw, offset))):
                    self._offsets[position] = (block.offset, block_number)
                    if position + block.num_records > record:
                        yield from islice(block, max(record - position, 0), None)
                    position += block.num_records
                    block_number += 1
            except GeneratorExit:
                raise
            except Exception as exc:  # fastavro raises whatever its decoders do
                raise _damaged(self._source, block_number + 1, exc) from exc


class _Joined(io.RawIOBase):
    """A header of ours before the blocks of a file; `tell` says where in the file we are."""

    def __init__(self, header: bytes, body: BinaryIO, offset: int) -> None:
        self._header = io.BytesIO(header)
        self._body = body
        self._offset = offset

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if data := self._header.read(size):
            return data
        parts = []
        while size != 0 and (part := self._body.read(size)):
            parts.append(part)
            size -= len(part)
            self._offset += len(part)
        return b"".join(parts)

    def tell(self) -> int:
        return self._offset


def _header(metadata: dict[str, str], sync: bytes) -> bytes:
    out = io.BytesIO()
    meta = {key: value.encode() for key, value in metadata.items()}
    fastavro.schemaless_writer(out, _HEADER, {"magic": AVRO_MAGIC, "meta": meta, "sync": sync})
    return out.getvalue()


def _without_time_types(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_time_types(part) for part in schema]
    if isinstance(schema, dict):
        return {
            key: _without_time_types(value)
            for key, value in schema.items()
            if not (key == "logicalType" and value in _TIMES)
        }
    return schema


def _column(schema: Any) -> _Column:
    """Return the column for a field's Avro type; what has no Arrow type of its own becomes JSON text."""
    if isinstance(schema, list):
        branches = [branch for branch in schema if branch != "null"]
        return _column(branches[0]) if len(branches) == 1 else _Column(pa.string(), _text)
    if isinstance(schema, str):
        return _Column(_PRIMITIVES.get(schema, pa.string()), None if schema in _PRIMITIVES else _text)
    logical = schema.get("logicalType")
    if logical in _TIMES:
        return _Column(_TIMES[logical])
    if logical == "decimal":
        return _Column(pa.decimal128(schema["precision"], schema.get("scale", 0)))
    if logical is not None:
        return _Column(pa.string(), str)
    return _column(schema["type"]) if schema["type"] != "record" else _Column(pa.string(), _text)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return value.hex() if isinstance(value, bytes) else as_json(value)


def _array(records: list[dict[str, Any]], name: str, column: _Column) -> pa.Array:
    values = [record.get(name) for record in records]
    if column.convert is not None:
        convert = column.convert
        values = [None if value is None else convert(value) for value in values]
    return pa.array(values, column.type)


def _damaged(source: Source, block: int, exc: Exception) -> SourceError:
    return SourceError(
        f"{source.uri}: the Avro file is damaged in block {block}",
        detail=f"{type(exc).__name__}: {exc}.",
        hint="Copy the file again, and load it once it is complete.",
    )
