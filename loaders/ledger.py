"""Keeps the record of files in the database: what has arrived, how far it got, and who is on it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

from telestream import __version__
from telestream.db.connection import Connection
from telestream.db.lineage_runs import failing
from telestream.loaders.readers.segment import DoneSegment
from telestream.loaders.sources import Source

FileStatus = Literal["loading", "loaded", "refused"]


@dataclass(frozen=True)
class FileRecord:
    """One file as `ops.source_file` knows it."""

    file_id: int
    uri: str
    status: FileStatus
    reason: str | None
    profile: str
    profile_hash: str
    segment_size: int


@dataclass(frozen=True)
class Counts:
    """How many records came in and what became of them."""

    rows_in: int = 0
    loaded: int = 0
    duplicate: int = 0
    quarantined: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.rows_in + other.rows_in,
            self.loaded + other.loaded,
            self.duplicate + other.duplicate,
            self.quarantined + other.quarantined,
        )


class Ledger:
    """The files of one dataset, over one autocommit connection that also holds the file locks."""

    def __init__(self, connection: Connection, dataset: str) -> None:
        self._connection = connection
        self._dataset = dataset

    def try_lock(self, content_hash: str) -> bool:
        """Take the file for this process; False if another process is loading the same content."""
        row = self._connection.execute(
            "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (content_hash,)
        ).fetchone()
        return bool(row and row[0])

    def wait_lock(self, content_hash: str) -> None:
        """Wait until the process that has the file is done with it or dead."""
        self._connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (content_hash,))

    def unlock(self, content_hash: str) -> None:
        """Give the file free."""
        self._connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (content_hash,))

    def find(self, content_hash: str) -> FileRecord | None:
        """Return what is known of a file with this content."""
        row = self._connection.execute(
            "SELECT file_id, uri, status, reason, profile, profile_hash, segment_size"
            " FROM ops.source_file WHERE dataset = %s AND content_hash = %s",
            (self._dataset, content_hash),
        ).fetchone()
        return None if row is None else FileRecord(*row)

    def register(
        self, content_hash: str, source: Source, profile: str, profile_hash: str, segment_size: int
    ) -> FileRecord:
        """Note a file as loading; a file refused before may come again with another profile."""
        self._connection.execute(
            "INSERT INTO ops.source_file AS f"
            " (dataset, content_hash, uri, size_bytes, modified_at, profile, profile_hash, segment_size,"
            " code_version) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (dataset, content_hash) DO UPDATE SET status = 'loading', reason = NULL,"
            " profile = excluded.profile, profile_hash = excluded.profile_hash WHERE f.status = 'refused'",
            (
                self._dataset,
                content_hash,
                source.uri,
                source.size,
                source.modified_at,
                profile,
                profile_hash,
                segment_size,
                __version__,
            ),
        )
        record = self.find(content_hash)
        assert record is not None  # the statement above has just made sure of it
        return record

    def begin(self, file_id: int) -> AbstractContextManager[None]:
        """Note in the lineage that a load of the file begins, and give a block whose errors end it as failed.

        The lock of the file is held, so a load of it that has not ended is of a process that died.
        """
        self._connection.execute("SELECT ops.begin_load(%s)", (file_id,))
        return self.failing(file_id)

    def failing(self, file_id: int) -> AbstractContextManager[None]:
        """Give a block whose errors end the load of the file as failed."""
        return failing(self._connection, f"file:{file_id}")

    def done_segments(self, file_id: int) -> dict[int, DoneSegment]:
        """Return the committed segments of a file by number."""
        rows = self._connection.execute(
            "SELECT segment_number, end_position, next_line FROM ops.batch"
            " WHERE file_id = %s AND segment_number >= 0 AND status = 'done'",
            (file_id,),
        ).fetchall()
        return {number: DoneSegment(end=end, next_line=next_line) for number, end, next_line in rows}

    def counts(self, file_id: int) -> Counts:
        """Return the sums over the committed batches of a file, the refused attempt left out."""
        row = self._connection.execute(
            "SELECT coalesce(sum(rows_in), 0)::bigint, coalesce(sum(rows_loaded), 0)::bigint,"
            " coalesce(sum(rows_duplicate), 0)::bigint, coalesce(sum(rows_quarantined), 0)::bigint"
            " FROM ops.batch AS b INNER JOIN ops.source_file AS f ON b.file_id = f.file_id"
            " WHERE b.file_id = %s AND b.status = 'done' AND (b.segment_number >= 0) = (f.status <> 'refused')",
            (file_id,),
        ).fetchone()
        return Counts(*row) if row is not None else Counts()

    def finish(self, file_id: int) -> None:
        """Note that every segment of the file is committed; lines of an earlier refusal count as sent again."""
        with self._connection.transaction():
            self._connection.execute(
                "UPDATE ops.source_file SET status = 'loaded', finished_at = clock_timestamp()"
                " WHERE file_id = %s AND status = 'loading'",
                (file_id,),
            )
            self._connection.execute(
                "UPDATE quality.quarantine AS q SET replayed_at = clock_timestamp() FROM ops.batch AS b"
                " WHERE q.batch_id = b.batch_id AND b.file_id = %s AND b.segment_number < 0",
                (file_id,),
            )
            self._connection.execute("SELECT ops.end_load(%s, 'COMPLETE', NULL)", (file_id,))

    def knows(self, source: Source) -> bool:
        """Say whether this very file, unchanged since, has been taken or refused."""
        row = self._connection.execute(
            "SELECT 1 FROM ops.source_file WHERE dataset = %s AND uri = %s AND size_bytes = %s"
            " AND status <> 'loading' AND modified_at = %s",
            (self._dataset, source.uri, source.size, source.modified_at),
        ).fetchone()
        return row is not None

    def move_watermark(self, path: str, newest: Source) -> None:
        """Note the newest file taken from a watched folder or prefix."""
        self._connection.execute(
            "INSERT INTO ops.watermark (dataset, source, event_at, position) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (dataset, source) DO UPDATE"
            " SET event_at = excluded.event_at, position = excluded.position, updated_at = clock_timestamp()",
            (self._dataset, path, newest.modified_at, newest.uri),
        )
