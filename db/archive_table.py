"""One Delta Lake table of the archive: a day is a partition that is replaced as a whole, and read back by DuckDB."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
import fsspec
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import DeltaError

from telestream.errors import TerminalError, UsageError

_MAKER = "telestream.dataset"
# Of the Parquet writer: a group is held in memory, a file is begun anew once it is as large.
_GROUP_ROWS = 131_072
_FILE_BYTES = 128 << 20
# In what an object store or its client says; the address is where credentials are looked for last.
_NOT_LET_IN = ("redential", "InvalidAccessKey", "SignatureDoesNotMatch", "403", "Forbidden", "169.254.169.254")
_COLOURS = re.compile(r"\x1b\[\d+m|↳")
# What an overwritten day has left behind goes after a week, when no reader of an older version needs it.
_KEPT_HOURS = 168


@dataclass(frozen=True)
class Column:
    """A column of the archive and how it is read from Silver."""

    name: str
    kind: str
    """Its type in PostgreSQL."""

    def arrow(self) -> pa.DataType:
        """Return its type in the archive; an id is text there, since Delta Lake has no such type."""
        return _ARROW[self.kind]

    def text(self) -> str:
        """Return what the checksum takes of it, in DuckDB's SQL; `ops.day_checksum` has the same in PostgreSQL's."""
        name = f'"{self.name}"'
        match self.kind:
            case "timestamp with time zone":
                inner = f"epoch_us({name})::VARCHAR"
            case "real":
                inner = f"floor({name}::DOUBLE * 1073741824)::BIGINT::VARCHAR"
            case _:
                inner = f"{name}::VARCHAR"
        return f"coalesce({inner}, chr(30))"


_ARROW = {
    "timestamp with time zone": pa.timestamp("us", "UTC"),
    "uuid": pa.string(),
    "text": pa.string(),
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "real": pa.float32(),
    "boolean": pa.bool_(),
}


@dataclass(frozen=True)
class Content:
    """What a day holds."""

    rows: int
    checksum: int


class ArchiveTable:
    """The Delta table of one dataset below a target, made if it is not there."""

    def __init__(self, target: str, dataset: str, columns: list[Column]) -> None:
        """Open or create it.

        Args:
            target: folder, or `s3://bucket/prefix`.
            dataset: cdr or network_event.
            columns: what it holds, in order; it is partitioned by `day` besides.

        Raises:
            UsageError: the target is of a kind that is not supported.
            TerminalError: it cannot be read or written, or another table is there.
        """
        self.uri = table_uri(target, dataset)
        self._dataset = dataset
        self._columns = columns
        self._storage = _storage(self.uri)
        self.schema = pa.schema([pa.field(column.name, column.arrow()) for column in columns])
        with self._refusals("opened"):
            self._table = self._opened()

    def _opened(self) -> DeltaTable:
        if not DeltaTable.is_deltatable(self.uri, self._storage):
            if self._is_local() and any(Path(self.uri).glob("*")):
                raise TerminalError(
                    "there is something else where the archive should be",
                    detail=f"{self.uri} is not empty and not a Delta table.",
                    hint="Name another target.",
                )
            return DeltaTable.create(
                self.uri,
                pa.schema([*self.schema, pa.field("day", pa.date32())]),
                partition_by=["day"],
                name=f"telestream_{self._dataset}",
                description=f"{self._dataset}: days that have left Silver; people are surrogates",
                storage_options=self._storage,
                commit_properties=CommitProperties(custom_metadata={_MAKER: self._dataset}),
            )
        table = DeltaTable(self.uri, storage_options=self._storage)
        metadata = table.metadata()
        if metadata.name != f"telestream_{self._dataset}" or metadata.partition_columns != ["day"]:
            raise TerminalError(
                "another Delta table is where the archive should be",
                detail=f"{self.uri} is called {metadata.name or 'nothing'}, "
                f"partitioned by {', '.join(metadata.partition_columns) or 'nothing'}.",
                hint="Name another target.",
            )
        have = {field.name: str(field.type) for field in pa.schema(table.schema().to_arrow())}
        want = {field.name: str(field.type) for field in self.schema} | {"day": "date32[day]"}
        have = {name: kind.removeprefix("large_").replace("string_view", "string") for name, kind in have.items()}
        if have != want:
            differing = sorted(name for name in have.keys() | want.keys() if have.get(name) != want.get(name))
            raise TerminalError(
                "the archive has other columns",
                detail=f"{self.uri} differs from ops.archive_column in {', '.join(differing)}.",
                hint="Archive to a new target, and read both; ops.archive_day names the table of each day.",
            )
        return table

    def kinds(self) -> list[str]:
        """Return the columns' types in PostgreSQL."""
        return [column.kind for column in self._columns]

    def replace_day(self, day: date, batches: pa.RecordBatchReader) -> int:
        """Write a day in place of what the table has of it, in one commit; return the version of the table."""

        def with_day() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                columns = [column.cast(field.type) for column, field in zip(batch.columns, self.schema, strict=True)]
                columns.append(pa.repeat(pa.scalar(day, pa.date32()), batch.num_rows))
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

        schema = pa.schema([*self.schema, pa.field("day", pa.date32())])
        with self._refusals("written"):
            write_deltalake(
                self._table,
                pa.RecordBatchReader.from_batches(schema, with_day()),
                mode="overwrite",
                predicate=f"day = '{day.isoformat()}'",
                target_file_size=_FILE_BYTES,
                writer_properties=WriterProperties(
                    compression="ZSTD", compression_level=3, max_row_group_size=_GROUP_ROWS
                ),
                commit_properties=CommitProperties(custom_metadata={_MAKER: self._dataset}),
            )
            self._table.update_incremental()
            return self._table.version()

    def files(self, day: date) -> list[str]:
        """Return the active Parquet files of a day."""
        with self._refusals("read"):
            return self._table.file_uris(file_pruning_predicate=[("day", "=", day.isoformat())])

    def content(self, day: date) -> Content:
        """Count and sum up what is read back of a day, by DuckDB's own Parquet reader."""
        files = self.files(day)
        if not files:
            return Content(0, 0)
        row = ", ".join(column.text() for column in self._columns)
        with self._refusals("read back"), duckdb.connect() as engine:
            if not self._is_local():
                engine.register_filesystem(_filesystem())
            found = engine.execute(
                f"SELECT count(*), coalesce(sum(('0x' || left(md5(concat_ws(chr(31), {row})), 15))::BIGINT), 0)"
                " FROM read_parquet($1, hive_partitioning = false)",
                [files],
            ).fetchone()
        assert found is not None
        return Content(int(found[0]), int(found[1]))

    def has_person(self, day: date, subscriber_id: int) -> bool:
        """Say whether a day names a person, by surrogate, in whatever part."""
        parts = [c.name for c in self._columns if c.name in {"subscriber_id", "caller_id", "called_id"}]
        files = self.files(day)
        if not files:
            return False
        with self._refusals("read"), duckdb.connect() as engine:
            if not self._is_local():
                engine.register_filesystem(_filesystem())
            found = engine.execute(
                f"SELECT EXISTS (SELECT 1 FROM read_parquet($1, hive_partitioning = false)"
                f" WHERE $2 IN ({', '.join(parts)}))",
                [files, subscriber_id],
            ).fetchone()
        return found == (True,)

    def delete_days(self, days: list[date]) -> None:
        """Delete days in one commit, and their files at once: who reads an older version then fails."""
        listed = ", ".join(f"'{day.isoformat()}'" for day in days)
        with self._refusals("shortened"):
            self._table.delete(
                f"day IN ({listed})", commit_properties=CommitProperties(custom_metadata={_MAKER: self._dataset})
            )
            self._table.update_incremental()
            self._table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)

    def size(self, day: date) -> int:
        """Return the bytes of the active files of a day."""
        actions = pa.table(self._table.get_add_actions(flatten=True)).to_pylist()
        return sum(action["size_bytes"] for action in actions if action["partition.day"] == day)

    def tidy(self) -> None:
        """Delete files that no version of the last week needs, those of killed runs included."""
        with self._refusals("tidied"):
            self._table.vacuum(retention_hours=_KEPT_HOURS, dry_run=False, full=True)

    def _is_local(self) -> bool:
        return "://" not in self.uri

    @contextmanager
    def _refusals(self, what: str) -> Iterator[None]:
        try:
            yield
        except (DeltaError, OSError, duckdb.Error) as exc:
            text = " ".join(_COLOURS.sub("", str(exc)).split())
            if any(sign in text for sign in _NOT_LET_IN):
                raise TerminalError(
                    "the object store does not let us in",
                    detail=f"{self.uri}: {text[:300]}",
                    hint="Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL.",
                ) from exc
            raise TerminalError(
                f"the archive cannot be {what}",
                detail=f"{self.uri}: {text[:300]}",
                hint="Nothing was dropped from the database. See that the target exists, has space and may be written, "
                "then run the same command again.",
            ) from exc


def table_uri(target: str, dataset: str) -> str:
    """Return where the table of a dataset lies below a target: an absolute path, or its address.

    Raises:
        UsageError: the target is of a kind that is not supported.
    """
    scheme = urlsplit(target).scheme if "://" in target else ""
    if scheme not in {"", "s3"}:
        raise UsageError(f"{scheme}:// is not supported as a target", hint="Name a folder or s3://bucket/prefix.")
    root = target.rstrip("/") if scheme else str(Path(target).absolute())
    return f"{root}/fact_{dataset}"


def is_table(uri: str) -> bool:
    """Say whether a Delta table is at an address, see `table_uri`."""
    return DeltaTable.is_deltatable(uri, _storage(uri))


def _storage(uri: str) -> dict[str, str]:
    if "://" not in uri:
        return {}
    options = {"AWS_S3_ALLOW_UNSAFE_RENAME": "true"}  # one writer at a time: the database's lock sees to it
    if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"):
        options["AWS_ALLOW_HTTP"] = "true"
    return options


def _filesystem() -> fsspec.AbstractFileSystem:
    return fsspec.filesystem("s3", endpoint_url=os.environ.get("AWS_ENDPOINT_URL") or None, use_listings_cache=False)
