"""Reads Parquet in batches, by column name."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from telestream.errors import SourceError
from telestream.loaders.profile import Profile
from telestream.loaders.readers.columns import plain_text, required_columns
from telestream.loaders.readers.records import GROUP_RECORDS, as_json, plain_schema
from telestream.loaders.sources import Source, reading

# Pages are read as they are needed: a row group of any size does not have to fit into memory.
_PAGE_BUFFER_BYTES = 1 << 20


class ParquetRecords:
    """The records of a Parquet file; see `RecordFile`."""

    def __init__(self, source: Source, profile: Profile) -> None:
        self._source = source
        with source.open() as raw:
            given = _open(source, raw).schema_arrow.names
        columns = required_columns(profile, given)
        self._columns = [name for name in columns if name in given]
        self._absent = [name for name in columns if name not in given]
        self._raw = source.open()
        self._file = _open(source, self._raw)
        present = pa.schema([self._file.schema_arrow.field(name) for name in self._columns])
        self.schema = pa.schema([*plain_schema(present), *(pa.field(name, pa.string()) for name in self._absent)])
        self._batches = _batches(self._file, 0, self._columns)
        self._rest: pa.Table | None = None

    def read(self, count: int) -> pa.Table | None:
        """Return the next records, at most `count`; nothing at the end."""
        with reading(self._source.uri):
            try:
                table = self._rest if self._rest is not None else self._next()
            except (pa.ArrowException, OSError) as exc:
                raise SourceError(f"{self._source.uri}: the Parquet data is damaged", detail=f"{exc}.") from exc
        if table is None:
            return None
        self._rest = table.slice(count) if table.num_rows > count else None
        return table.slice(0, count)

    def skip_to(self, record: int) -> None:
        """Go on at a record, counted from 0; whole row groups are left out."""
        self._batches = _batches(self._file, record, self._columns)
        self._rest = None

    def raw_text(self, first: int, lines: Collection[int]) -> dict[int, str]:
        """Return records as JSON by their number from 1."""
        found: dict[int, str] = {}
        number, last = first + 1, max(lines)
        with self._source.open() as raw:
            for batch in _batches(_open(self._source, raw), first, None):
                for line in lines:
                    if number <= line < number + batch.num_rows:
                        found[line] = _as_json(batch.slice(line - number, 1))
                number += batch.num_rows
                if number > last:
                    break
        return found

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def _next(self) -> pa.Table | None:
        batch = next(self._batches, None)
        if batch is None:
            return None
        table = plain_text(pa.Table.from_batches([batch]).select(self._columns))
        for name in self._absent:
            table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
        return table


def _open(source: Source, raw: BinaryIO) -> pq.ParquetFile:
    with reading(source.uri):
        try:
            return pq.ParquetFile(raw, buffer_size=_PAGE_BUFFER_BYTES, pre_buffer=False)
        except pa.ArrowException as exc:
            raise SourceError(
                f"{source.uri}: the Parquet file is incomplete or damaged",
                detail=f"{exc}.",
                hint="Copy the file again, and load it once it is complete.",
            ) from exc


def _batches(file: pq.ParquetFile, first: int, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    """Yield batches that begin at a record."""
    group, skip = 0, first
    while group < file.num_row_groups and skip >= file.metadata.row_group(group).num_rows:
        skip -= file.metadata.row_group(group).num_rows
        group += 1
    groups = list(range(group, file.num_row_groups))
    if not groups:
        return
    for batch in file.iter_batches(GROUP_RECORDS, row_groups=groups, columns=columns, use_threads=False):
        if skip >= batch.num_rows:
            skip -= batch.num_rows
            continue
        yield batch.slice(skip)
        skip = 0


def _as_json(record: pa.RecordBatch) -> str:
    try:
        return as_json(record.to_pylist()[0])
    except (OverflowError, ValueError):  # a time outside Python's years
        plain = [column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in record.columns]
        return as_json(pa.RecordBatch.from_arrays(plain, record.schema.names).to_pylist()[0])
