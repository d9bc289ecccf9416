"""Moves days of Silver to the archive: written, read back and compared, and only then dropped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import adbc_driver_manager
from psycopg import errors as pg
from psycopg import sql

from telestream import __version__
from telestream.db.archive_table import ArchiveTable, Column, Content, table_uri
from telestream.db.arrow import arrow_batches
from telestream.db.connection import Connection
from telestream.db.lineage_runs import failing
from telestream.db.retention import OWNER
from telestream.errors import TerminalError, TransientError

Dataset = Literal["cdr", "network_event"]
DATASETS: tuple[Dataset, ...] = ("cdr", "network_event")
_ATTEMPTS = 3


@dataclass(frozen=True)
class ArchivedDay:
    """What came of one day."""

    dataset: Dataset
    day: date
    outcome: Literal["written", "verified again", "already verified"]
    rows: int
    archive_bytes: int


@dataclass(frozen=True)
class Dropped:
    """Days that have left Silver, or why they have not."""

    dataset: Dataset
    lo: date
    hi: date
    freed_bytes: int
    kept_because: str | None


def hot_days(connection: Connection) -> int:
    """Return how many days stay in Silver: the setting hot_window."""
    row = connection.execute(
        "SELECT ceil(extract(epoch FROM value::interval) / 86400)::int FROM ops.setting WHERE name = 'hot_window'"
    ).fetchone()
    return int(row[0]) if row else 90


class Archiver:
    """Archives one dataset to one table, within an exclusive run."""

    def __init__(self, connection: Connection, url: str, dataset: Dataset, target: str) -> None:
        """Open the table.

        Raises:
            TerminalError: the target cannot be used, or the archive of the dataset is elsewhere.
        """
        self._connection = connection
        self._url = url
        self._dataset = dataset
        self._fact = sql.Identifier("silver", f"fact_{dataset}")
        elsewhere = connection.execute(
            "SELECT target FROM ops.archive_day WHERE dataset = %s AND target <> %s LIMIT 1",
            (dataset, table_uri(target, dataset)),
        ).fetchone()
        if elsewhere:
            raise TerminalError(
                f"the archive of {dataset} is elsewhere",
                detail=f"It is {elsewhere[0]}.",
                hint="Name that target; if it was moved, copy all of it and UPDATE ops.archive_day SET target.",
            )
        self.table = ArchiveTable(target, dataset, archive_columns(connection, dataset))
        row = connection.execute(
            "SELECT time_column FROM rollup.definition WHERE source = %s LIMIT 1", (f"silver.fact_{dataset}",)
        ).fetchone()
        assert row is not None
        self._time = str(row[0])

    def due(self, older_than: int) -> list[date]:
        """Return the days of Silver (UTC) that ended at least so many days ago, oldest first."""
        end = datetime.now(UTC).date() - timedelta(days=older_than)
        rows = self._connection.execute(
            "SELECT DISTINCT g.at::date FROM timescaledb_information.chunks AS c"
            " CROSS JOIN generate_series(date_trunc('day', c.range_start), c.range_end - interval '1 microsecond',"
            " interval '1 day') AS g (at)"
            " WHERE c.hypertable_schema = 'silver' AND c.hypertable_name = %s AND g.at < %s ORDER BY 1",
            (f"fact_{self._dataset}", end),
        ).fetchall()
        return [day for (day,) in rows]

    def archive(self, day: date, *, thorough: bool = False) -> ArchivedDay | None:
        """Bring a day of the archive up to what Silver has of it, and verify it.

        Args:
            day: in UTC.
            thorough: read a verified day again, even if no batch has touched it since.

        Returns:
            What came of it; None: Silver has nothing of the day, or has let go of it.

        Raises:
            TerminalError: the table cannot be written, or what is read back differs time and again.
        """
        known = self._connection.execute(
            "SELECT a.state, a.rows, a.checksum::text, EXISTS (SELECT FROM ops.batch AS b"
            " WHERE b.dataset = a.dataset AND b.min_event_at < a.day + 1 AND b.max_event_at >= a.day"
            # A batch is finished a little before it is committed.
            " AND b.finished_at > a.verified_at - interval '1 hour')"
            " FROM ops.archive_day AS a WHERE a.dataset = %s AND a.day = %s",
            (self._dataset, day),
        ).fetchone()
        if known and known[0] in {"dropped", "expired"}:
            return None
        if known and known[0] == "verified" and not known[3] and not thorough:
            return ArchivedDay(self._dataset, day, "already verified", known[1], self.table.size(day))
        if known:
            archived, source = Content(known[1], int(known[2])), self._source(day)
            if archived == source and self.table.content(day) == source:
                self._verified(day)
                return ArchivedDay(self._dataset, day, "verified again", source.rows, self.table.size(day))
            if source.rows < archived.rows:
                raise TerminalError(
                    f"Silver has less of {day} than its archive",
                    detail=f"{self._dataset}: {archived.rows} rows are archived, Silver has {source.rows}. "
                    "Something else than this command has dropped them, and the archive is left as it is.",
                    hint="If they were meant to go, delete the day from ops.archive_day: what is left is written next.",
                )
        elif not self._exists(day):
            return None
        subject = self._begin(day)
        with failing(self._connection, subject):
            return self._write_equal(day, subject)

    def _write_equal(self, day: date, subject: str) -> ArchivedDay:
        """Write a day until what is read back equals Silver."""
        for _ in range(_ATTEMPTS):
            version = self._write(day)
            back = self.table.content(day)
            self._written(day, back, version)
            # A row that came while it was written is in Silver alone: write it again.
            source = self._source(day)
            if back == source:
                with self._connection.transaction():
                    self._verified(day)
                    self._end(subject, back.rows)
                return ArchivedDay(self._dataset, day, "written", back.rows, self.table.size(day))
        raise TerminalError(
            f"the archive of {day} does not equal Silver",
            detail=f"{self._dataset}: {back.rows} rows were read back from {self.table.uri}, Silver has {source.rows}.",
            hint="Nothing was dropped. Stop what is loading that day, or check the target's storage; run it again.",
        )

    def _begin(self, day: date) -> str:
        """Note in the lineage that a day is being archived; return the run's subject."""
        subject = f"archive:{self._dataset}:{day}"
        self._connection.execute(
            "SELECT ops.begin_run(%s::text, %s::text, %s::text, jsonb_build_array(ops._lineage_table(%s)),"
            " jsonb_build_array(ops.lineage_place(%s)), %s, %s, '{}')",
            (subject, f"archive.{self._dataset}", __version__, f"silver.fact_{self._dataset}", self.table.uri,
             f"{day}T00:00:00Z", f"{day + timedelta(days=1)}T00:00:00Z"),
        )  # fmt: skip
        return subject

    def _end(self, subject: str, rows: int) -> None:
        self._connection.execute(
            "SELECT ops.end_run(%s, 'COMPLETE', NULL, jsonb_build_array(ops._lineage_read(ops._lineage_table(%s), %s)),"
            " jsonb_build_array(ops._lineage_written(ops.lineage_place(%s), %s)))",
            (subject, f"silver.fact_{self._dataset}", rows, self.table.uri, rows),
        )

    def drop(self, older_than: int) -> list[Dropped]:
        """Drop from Silver the days that ended so long ago and are verified; return what came of each, oldest first."""
        end = datetime.now(UTC).date() - timedelta(days=older_than)
        # The newest first: its horizon, which waits for loads in flight, serves all before it.
        units = self._connection.execute(
            "SELECT lo, hi FROM ops._silver_units(%s) WHERE hi <= %s ORDER BY lo DESC", (self._dataset, end)
        ).fetchall()
        return [self._drop_unit(lo, hi) for lo, hi in units][::-1]

    def _drop_unit(self, lo: datetime, hi: datetime) -> Dropped:
        kept: str | None = None
        freed = 0
        try:
            blocked = self._connection.execute(
                "SELECT ops._silver_blocked(%s, %s, %s)", (self._dataset, lo, hi)
            ).fetchone()
            if blocked and blocked[0]:
                return Dropped(self._dataset, lo.date(), hi.date() - timedelta(days=1), 0, str(blocked[0]))
            self._connection.execute("SELECT ops.raise_horizon(%s, %s)", (self._dataset, hi))
            # No row can come any more: what has come since the day was verified is written now.
            for offset in range((hi - lo).days):
                self.archive(lo.date() + timedelta(days=offset), thorough=True)
            row = self._connection.execute("SELECT ops.drop_silver(%s, %s, %s)", (self._dataset, lo, hi)).fetchone()
            freed = int(row[0]) if row else 0
        except pg.LockNotAvailable:
            kept = "a reader or a load holds a lock on it; the next run tries again"
        except pg.Error as exc:
            if exc.sqlstate not in {"TS011", "TS013"}:
                raise
            kept = exc.diag.message_detail or exc.diag.message_primary
        return Dropped(self._dataset, lo.date(), hi.date() - timedelta(days=1), freed, kept)

    def _exists(self, day: date) -> bool:
        found = self._connection.execute(
            sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {})").format(self._fact, self._within(day))
        ).fetchone()
        return found == (True,)

    def _within(self, day: date) -> sql.Composed:
        """Return the condition of a day, with constants: chunks outside are not read."""
        time = sql.Identifier(self._time)
        return sql.SQL("{} >= {} AND {} < {}").format(
            time, sql.Literal(f"{day}T00:00:00Z"), time, sql.Literal(f"{day + timedelta(days=1)}T00:00:00Z")
        )

    def _source(self, day: date) -> Content:
        row = self._connection.execute(
            "SELECT o_rows, o_checksum::text FROM ops.day_checksum(%s, %s)", (self._dataset, day)
        ).fetchone()
        assert row is not None
        return Content(int(row[0]), int(row[1]))

    def _write(self, day: date) -> int:
        columns = sql.SQL(", ").join(
            sql.SQL("{}::text").format(sql.Identifier(field.name)) if kind == "uuid" else sql.Identifier(field.name)
            for field, kind in zip(self.table.schema, self.table.kinds(), strict=True)
        )
        statement = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {}").format(
            columns, self._fact, self._within(day), sql.Identifier(self._time)
        )
        try:
            with arrow_batches(self._url, statement, role=OWNER) as reader:
                return self.table.replace_day(day, reader)
        except adbc_driver_manager.Error as exc:
            raise TransientError(
                "the database broke off while a day was read",
                detail=str(exc).splitlines()[0],
                hint="Run the same command again: days that are verified stay so.",
            ) from exc

    def _written(self, day: date, content: Content, version: int) -> None:
        self._connection.execute(
            "INSERT INTO ops.archive_day (dataset, day, target, state, rows, checksum, table_version)"
            " VALUES (%s, %s, %s, 'written', %s, %s, %s) ON CONFLICT (dataset, day) DO UPDATE SET"
            " state = 'written', rows = excluded.rows, checksum = excluded.checksum,"
            " table_version = excluded.table_version, written_at = clock_timestamp(), verified_at = NULL",
            (self._dataset, day, self.table.uri, content.rows, content.checksum, version),
        )

    def _verified(self, day: date) -> None:
        self._connection.execute(
            "UPDATE ops.archive_day SET state = 'verified', verified_at = clock_timestamp()"
            " WHERE dataset = %s AND day = %s AND state <> 'dropped'",
            (self._dataset, day),
        )


def archive_columns(connection: Connection, dataset: Dataset) -> list[Column]:
    """Return what the archive of a dataset holds, in order."""
    rows = connection.execute(
        "SELECT c.name, format_type(a.atttypid, NULL) FROM ops.archive_column AS c"
        " INNER JOIN pg_attribute AS a ON a.attrelid = %s::regclass AND a.attname = c.name"
        " WHERE c.dataset = %s AND c.left_out_because IS NULL ORDER BY c.position",
        (f"silver.fact_{dataset}", dataset),
    ).fetchall()
    return [Column(name, kind) for name, kind in rows]
