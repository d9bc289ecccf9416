"""Rows in bulk: from the database in Arrow batches by COPY BINARY, out as CSV, Arrow or Parquet, in bounded memory."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator, Iterator
from typing import Any

import adbc_driver_manager
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from adbc_driver_manager import dbapi as adbc

from telestream.db.arrow import arrow_batches
from telestream.graphql import arguments
from telestream.graphql.principal import Principal
from telestream.graphql.problems import DatabaseProblem, ForbiddenProblem, TimeoutProblem
from telestream.graphql.reading import Statement

# Media type and ending of a file, by name.
FORMATS = {
    "csv": ("text/csv; charset=utf-8; header=present", "csv"),
    "arrow": ("application/vnd.apache.arrow.stream", "arrows"),
    "parquet": ("application/vnd.apache.parquet", "parquet"),
}
SECONDS = 600
# Rows of a group of Parquet: what it holds in memory before it writes.
_GROUP_ROWS = 65_536

_log = logging.getLogger(__name__)


class Bulk:
    """Reads with connections of its own, so that long exports take none from short queries."""

    def __init__(self, url: str, *, seconds: float = SECONDS) -> None:
        """Remember where to read.

        Args:
            url: of the database or of its replica.
            seconds: a statement that takes longer is ended by the server.
        """
        self._url = url
        self._seconds = seconds

    def read(
        self, principal: Principal, statement: Statement, form: str, units: dict[str, str]
    ) -> Generator[bytes, None, None]:
        """Yield a file in pieces; blocks, so for a thread.

        Args:
            principal: the rows are those its role may see.
            statement: without parameters; its first column is a time.
            form: a name of `FORMATS`.
            units: unit per column, for the metadata of Arrow and Parquet.

        Raises:
            ForbiddenProblem: the role may not read it.
            TimeoutProblem: it took too long.
            DatabaseProblem: the database does not answer.
        """
        with (
            _refusals(),
            arrow_batches(self._url, statement, role=principal.database_role, seconds=self._seconds) as reader,
        ):
            yield from _written(_typed(reader, units), form)


def _typed(reader: pa.RecordBatchReader, units: dict[str, str]) -> Iterator[pa.RecordBatch]:
    """Yield batches with whole seconds and units; one without rows first, for its schema."""
    fields = []
    for field in reader.schema:
        kind = pa.timestamp("s", "UTC") if pa.types.is_timestamp(field.type) else field.type
        metadata = {"unit": units[field.name]} if field.name in units else None
        fields.append(pa.field(field.name, kind, metadata=metadata))
    schema = pa.schema(fields)
    yield pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
    for batch in reader:
        columns = [column.cast(field.type) for column, field in zip(batch.columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


class _Sink:
    """A file to write to, and to take what was written from."""

    def __init__(self) -> None:
        self.closed = False
        self._pieces: list[bytes] = []

    def write(self, piece: Any) -> int:
        self._pieces.append(bytes(piece))
        return len(self._pieces[-1])

    def flush(self) -> None:
        """Do nothing: what was written is there."""

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def _written(batches: Iterator[pa.RecordBatch], form: str) -> Generator[bytes, None, None]:
    sink = _Sink()
    empty = next(batches)
    writer = _WRITERS[form](sink, empty.schema)
    waiting: list[pa.RecordBatch] = []
    least = _GROUP_ROWS if form == "parquet" else 1
    for batch in batches:
        waiting.append(batch)
        if sum(one.num_rows for one in waiting) >= least:
            writer.write_table(pa.Table.from_batches(waiting))
            waiting.clear()
            if piece := sink.take():
                yield piece
    if waiting:
        writer.write_table(pa.Table.from_batches(waiting))
    writer.close()
    yield sink.take()


_WRITERS: dict[str, Callable[[Any, pa.Schema], Any]] = {
    "csv": pyarrow.csv.CSVWriter,
    "arrow": pa.ipc.new_stream,
    "parquet": lambda sink, schema: pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd"),
}


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Say in the API's words what the driver raises: with an SQLSTATE before the first row, as OSError later."""
    try:
        yield
    except (adbc_driver_manager.Error, adbc.Error, OSError) as exc:
        state = getattr(exc, "sqlstate", None)
        if state == "42501":
            raise ForbiddenProblem(
                "the role of the caller may not read this", hint="Ask for a key of another role."
            ) from exc
        if state == "57014" or "statement timeout" in str(exc):
            raise TimeoutProblem from exc
        if state == "22023" or ("time zone" in str(exc) and "not recognized" in str(exc)):
            raise arguments.zone_unknown_to_database() from exc
        _log.warning("an export failed: %s", state or type(exc).__name__)
        raise DatabaseProblem from exc
