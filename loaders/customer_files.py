"""Reads files of customers, CSV, JSON lines or Parquet, in batches of changes and refused lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from telestream.errors import SourceError
from telestream.loaders.customer_records import (
    REQUIRED,
    SCHEMA,
    RefusedRow,
    UnreadableValueError,
    change_of,
    raw_text,
)
from telestream.loaders.readers.blocks import BLANKS, BLOCK_BYTES, Block, LineStream
from telestream.loaders.sources import AVRO_MAGIC, PARQUET_MAGIC, Source, reading

BATCH_ROWS = 20_000
_DELIMITERS = ",;\t|"
_HEADER_HINT = f"A header with customer_id and changed_at is needed; known columns are {', '.join(SCHEMA.names)}."


@dataclass
class CustomerBatch:
    """Some records of a file, or a page of an API: what is committed at once.

    Attributes:
        number: 1 for the first one.
        changes: line → fields.
        refused: lines that could not be read.
    """

    number: int
    changes: dict[int, dict[str, Any]] = field(default_factory=dict)
    refused: list[RefusedRow] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.changes) + len(self.refused)

    @property
    def lines(self) -> tuple[int, int]:
        """Return the first line and the one after the last."""
        numbers = [*self.changes, *(row.line for row in self.refused)]
        return min(numbers, default=0), max(numbers, default=-1) + 1

    def table(self) -> pa.Table:
        """Return the changes as columns of `bronze.customer`, without the batch."""
        table = pa.Table.from_pylist(list(self.changes.values()), schema=SCHEMA)
        return table.add_column(0, "line", pa.array(list(self.changes), pa.int64()))

    def add(self, line: int, values: Mapping[str, Any], source_system: str) -> None:
        """Add a record by its values; one that cannot be read is refused."""
        try:
            self.changes[line] = change_of(values, source_system)
        except UnreadableValueError as exc:
            self.refused.append(RefusedRow(line, exc.rule, str(exc), raw_text(values)))


def read_customers(source: Source, source_system: str, *, batch_rows: int = BATCH_ROWS) -> Iterator[CustomerBatch]:
    """Yield the records of a file; its first bytes tell the format.

    Raises:
        SourceError: the file cannot be read, or has no header that we know.
    """
    head = source.head(len(PARQUET_MAGIC))
    if head == AVRO_MAGIC:
        raise SourceError(f"{source.uri}: customers in Avro are not read", hint="Write CSV, JSON lines or Parquet.")
    rows = _parquet_rows(source) if head == PARQUET_MAGIC else _text_rows(source)
    batch = CustomerBatch(1)
    for line, values in rows:
        if isinstance(values, RefusedRow):
            batch.refused.append(values)
        else:
            batch.add(line, values, source_system)
        if len(batch) == batch_rows:
            yield batch
            batch = CustomerBatch(batch.number + 1)
    if len(batch):
        yield batch


_Rows = Iterator[tuple[int, Mapping[str, Any] | RefusedRow]]


def _parquet_rows(source: Source) -> _Rows:
    with source.open() as raw, reading(source.uri):
        try:
            file = pq.ParquetFile(raw)
            _require_header(source, file.schema_arrow.names)
            known = [name for name in SCHEMA.names if name in file.schema_arrow.names]
            line = 0
            for records in file.iter_batches(batch_size=BATCH_ROWS, columns=known):
                for line, record in enumerate(records.to_pylist(), line + 1):  # noqa: B020 - goes on counting
                    yield line, record
        except pa.ArrowException as exc:
            raise SourceError(f"{source.uri}: the Parquet file is damaged", detail=f"{exc}.") from exc


def _text_rows(source: Source) -> _Rows:
    stream = LineStream(source, "utf-8")
    try:
        lines = _lines(stream)
        first = next(((number, line) for number, line in lines if line.strip()), None)
        if first is None:
            raise SourceError(f"{source.uri}: the file holds no customers")
        if first[1].lstrip().startswith("{"):
            yield first[0], _json_values(*first)
            yield from ((number, _json_values(number, line)) for number, line in lines if line.strip(BLANKS))
        else:
            yield from _csv_rows(source, first[1], lines)
    finally:
        stream.close()


def _lines(stream: LineStream) -> Iterator[tuple[int, str]]:
    """Yield line number and text; what is not UTF-8 is a lone surrogate, and a line that is too long is cut."""
    while (block := stream.read_block(BLOCK_BYTES)) is not None:
        data = block.data[:-1] if block.data.endswith(b"\n") else block.data
        for number, line in enumerate(data.split(b"\n"), block.first_line):
            yield number, _marked(block) + line.decode("utf-8", "surrogateescape").removesuffix("\r")


_TOO_LONG = "\0telestream: too long\0"


def _marked(block: Block) -> str:
    return _TOO_LONG if block.too_long else ""


def _complaint(number: int, line: str) -> RefusedRow | None:
    """Say what is wrong with a line whatever its format."""
    if line.startswith(_TOO_LONG):
        return _refused(number, "line_too_long", "the line is longer than 1 MiB", line.removeprefix(_TOO_LONG))
    if "\0" in line:
        return _refused(number, "nul_byte", "the line holds a NUL byte", line)
    try:
        line.encode()
    except UnicodeEncodeError:
        return _refused(number, "encoding", "the line is not UTF-8", line)
    return None


def _refused(number: int, rule: str, reason: str, line: str) -> RefusedRow:
    shown = line.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    return RefusedRow(number, rule, reason, shown)


def _json_values(number: int, line: str) -> Mapping[str, Any] | RefusedRow:
    if (wrong := _complaint(number, line)) is not None:
        return wrong
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        values = None
    return values if isinstance(values, dict) else _refused(number, "json", "the line is not a JSON object", line)


def _csv_rows(source: Source, header: str, lines: Iterator[tuple[int, str]]) -> _Rows:
    delimiter = max(_DELIMITERS, key=header.count)
    try:
        names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter, strict=True))]
    except csv.Error as exc:
        raise SourceError(f"{source.uri}: the header cannot be read", detail=f"{exc}.", hint=_HEADER_HINT) from exc
    _require_header(source, names)
    for number, line in lines:
        if not line.strip(BLANKS):
            continue
        if (wrong := _complaint(number, line)) is not None:
            yield number, wrong
            continue
        try:
            fields = next(csv.reader([line], delimiter=delimiter, strict=True))
        except csv.Error:
            yield number, _refused(number, "unbalanced_quote", "a quote is opened and not closed", line)
            continue
        if len(fields) != len(names):
            reason = f"{len(fields)} fields where the header has {len(names)}"
            yield number, _refused(number, "field_count", reason, line)
            continue
        yield number, dict(zip(names, fields, strict=True))


def _require_header(source: Source, names: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise SourceError(
            f"{source.uri}: no column {', '.join(missing)}", detail=f"It has: {', '.join(names)}.", hint=_HEADER_HINT
        )
    if len(set(names)) != len(names):
        raise SourceError(f"{source.uri}: a column stands in the header twice", detail=f"It has: {', '.join(names)}.")
