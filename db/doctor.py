"""Examines a database and changes nothing: storage, partitions, jobs, settings of the server, what waits."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from telestream.db.connection import Connection
from telestream.db.edition import Edition, edition
from telestream.db.schedule import job_names
from telestream.settings import settings
from telestream.stack import state as stack_state

_DAY_S = 86_400
_READERS = ["telestream_api", "telestream_analyst", "telestream_engineer", "telestream_gateway"]


@dataclass(frozen=True)
class Hypertable:
    """A fact or a rollup; rows are estimates, heap and indexes those of chunks that are not compressed."""

    table_name: str
    chunks: int
    compressed_chunks: int
    bytes: int
    compressed_bytes: int
    unpacked_bytes: int
    """What the compressed chunks took before, without indexes."""
    heap_bytes: int
    index_bytes: int
    indexes: int
    row_count: int | None
    recent_rows: int | None
    """Of the chunks of the last seven days of data, as are the bytes."""
    recent_bytes: int | None
    recent_from: datetime | None
    first_chunk_to: datetime | None
    last_chunk_to: datetime | None
    has_chunk_for_now: bool
    chunks_never_analyzed: int
    """Large ones that are complete."""
    compress_after: timedelta | None
    """As ops.storage_policy says."""
    policy_compresses: timedelta | None
    """As the server's job says."""
    chunks_to_compress: int
    oldest_to_compress: datetime | None
    max_index_ratio: float
    oldest: datetime | None = None
    newest: datetime | None = None

    @property
    def dataset(self) -> str | None:
        """Dataset of a fact."""
        return self.table_name.removeprefix("silver.fact_") if self.table_name.startswith("silver.") else None

    @property
    def bytes_per_row(self) -> float | None:
        """With indexes."""
        return self.bytes / self.row_count if self.row_count else None

    @property
    def index_ratio(self) -> float | None:
        """Bytes of indexes over bytes of rows, where chunks are not compressed."""
        return self.index_bytes / self.heap_bytes if self.heap_bytes else None

    @property
    def rows_per_day(self) -> float | None:
        """Of the last seven days of data; a day at least."""
        return self.recent_rows / self._recent_days if self.recent_rows is not None else None

    @property
    def bytes_per_day(self) -> float | None:
        """Of the last seven days of data, with indexes; a day at least."""
        return self.recent_bytes / self._recent_days if self.recent_bytes is not None else None

    @property
    def _recent_days(self) -> float:
        if self.newest is None or self.oldest is None or self.recent_from is None:
            return 1.0
        return max((self.newest - max(self.oldest, self.recent_from)).total_seconds() / _DAY_S, 1.0)


@dataclass(frozen=True)
class Partitioned:
    """A table in native partitions, or a plain one that retention empties (no partitions)."""

    table_name: str
    partitions: int
    ahead: int
    has_partition_for_now: bool
    bytes: int
    row_count: int
    default_rows: int | None
    """Counted up to 10,000; None: there is no default partition."""


@dataclass(frozen=True)
class Job:
    """What runs by itself inside the database."""

    name: str
    schedule: str
    last_run_at: datetime | None
    last_result: str | None
    next_run_at: datetime | None
    """Only where the server tells."""
    failures: int
    """Apache: of those that pg_cron still has, a week. Community: ever."""
    every_s: float


@dataclass(frozen=True)
class Retention:
    """When something of a kind of record is dropped next."""

    record_class: str
    maximum: timedelta | None
    next_at: datetime | None
    held: str | None
    problem: str | None


@dataclass(frozen=True)
class Waiting:
    """Something that waits to be done."""

    what: str
    items: int
    oldest_at: datetime | None


@dataclass(frozen=True)
class Freshness:
    """How far a dataset has come."""

    dataset: str
    newest_event_at: datetime | None
    last_loaded_at: datetime | None


@dataclass(frozen=True)
class Server:
    """Versions and settings, as a new session gets them."""

    postgresql: str
    timescaledb: str
    max_lock_entries: int
    """Locks that fit into the shared table: max_locks_per_transaction for each session allowed."""
    jit: bool
    time_zone: str
    work_mem_bytes: int
    has_pg_cron: bool
    """In this database."""
    has_pgaudit: bool
    readers_with_generic_plans: list[str]
    """Reading roles, and logins that hold one, without plan_cache_mode = force_custom_plan."""
    hot_window: timedelta


@dataclass(frozen=True)
class Disk:
    """The volume of the embedded database."""

    total_bytes: int
    free_bytes: int


@dataclass
class Report:
    """What was found; what could not be examined is in unknown, with the reason."""

    at: datetime
    edition: Edition
    server: Server | None = None
    hypertables: list[Hypertable] = field(default_factory=list)
    partitions: list[Partitioned] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    jobs_expected: list[str] = field(default_factory=list)
    retention: list[Retention] = field(default_factory=list)
    backlog: list[Waiting] = field(default_factory=list)
    freshness: list[Freshness] = field(default_factory=list)
    disk: Disk | None = None
    unknown: dict[str, str] = field(default_factory=dict)
    timed_out: set[str] = field(default_factory=set)


def examine(connection: Connection, url: str, *, timeout_s: float = 30) -> Report:
    """Examine a database; what takes too long or may not be seen is left out and named.

    Args:
        connection: autocommit; is set to read only.
        url: its URL, to find the volume of the embedded one.
        timeout_s: seconds that each statement may take.
    """
    connection.execute("SET default_transaction_read_only = on")
    connection.execute("SELECT set_config('statement_timeout', %s, false)", (f"{int(timeout_s * 1000)}ms",))
    connection.execute("SELECT set_config('lock_timeout', '2s', false)")
    report = Report(at=_rows(connection, "SELECT clock_timestamp() AS at")[0]["at"], edition=edition(connection))
    with _part(report, "server"):
        report.server = _server(connection)
    with _part(report, "hypertables"):
        found = _rows(connection, "SELECT * FROM ops.hypertable_state()")
        report.hypertables = [_hypertable(report, connection, row) for row in found]
    with _part(report, "partitions"):
        report.partitions = [Partitioned(**row) for row in _rows(connection, "SELECT * FROM ops.partition_state()")]
    with _part(report, "jobs"):
        report.jobs_expected = job_names(connection)
        report.jobs = _jobs(connection, report)
    with _part(report, "retention"):
        report.retention = [Retention(**row) for row in _rows(connection, "SELECT * FROM ops.retention_next()")]
    with _part(report, "backlog"):
        report.backlog = [Waiting(**row) for row in _rows(connection, "SELECT * FROM ops.backlog()")]
    with _part(report, "freshness"):
        report.freshness = [
            Freshness(**row)
            for row in _rows(
                connection,
                # Customers change when they change: that a CRM is silent is a matter of its expectation.
                "SELECT dataset, newest_event_at, last_loaded_at FROM ops.freshness WHERE dataset <> 'customer'",
            )
        ]
    report.disk = _disk(url)
    return report


def _rows(connection: Connection, query: str, *parameters: Any) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, parameters or None).fetchall()


@contextmanager
def _part(report: Report, name: str) -> Iterator[None]:
    try:
        yield
    except (pg.QueryCanceled, pg.LockNotAvailable):
        report.unknown[name] = "it took too long"
        report.timed_out.add(name)
    except pg.InsufficientPrivilege:
        report.unknown[name] = "this login may not see it"


def _hypertable(report: Report, connection: Connection, row: dict[str, Any]) -> Hypertable:
    span: dict[str, Any] = {}
    with _part(report, row["table_name"]):
        span = _rows(
            connection,
            "SELECT o_oldest AS oldest, o_newest AS newest FROM ops.hypertable_span(%s)",
            row["table_name"],
        )[0]
    return Hypertable(**{**row, "max_index_ratio": float(row["max_index_ratio"])}, **span)


_COMMUNITY_JOBS = """
SELECT
    j.proc_schema || '.' || j.proc_name || coalesce(' ' || j.hypertable_schema || '.' || j.hypertable_name, '') AS name,
    'every ' || j.schedule_interval AS schedule,
    nullif(s.last_run_started_at, '-infinity') AS last_run_at,
    lower(s.last_run_status) AS last_result,
    CASE WHEN isfinite(j.next_start) THEN j.next_start END AS next_run_at,
    coalesce(s.total_failures, 0)::int AS failures,
    extract(EPOCH FROM j.schedule_interval)::float8 AS every_s
FROM timescaledb_information.jobs AS j
LEFT JOIN timescaledb_information.job_stats AS s ON j.job_id = s.job_id
WHERE j.job_id >= 1000 AND j.scheduled
ORDER BY j.job_id
"""
_CRON_JOBS = """
SELECT
    j.jobname AS name,
    j.schedule,
    l.start_time AS last_run_at,
    l.status AS last_result,
    NULL::timestamptz AS next_run_at,
    (SELECT count(*) FROM cron.job_run_details AS d WHERE d.jobid = j.jobid AND d.status = 'failed')::int AS failures,
    CASE WHEN j.schedule LIKE '* %' THEN 60 ELSE 86400 END::float8 AS every_s
FROM cron.job AS j
LEFT JOIN LATERAL (
    SELECT d.start_time, d.status FROM cron.job_run_details AS d
    WHERE d.jobid = j.jobid AND d.status IN ('succeeded', 'failed')
    ORDER BY d.runid DESC
    LIMIT 1
) AS l ON true
WHERE j.active AND j.database = current_database() AND j.jobname LIKE 'telestream %'
ORDER BY j.jobid
"""


def _jobs(connection: Connection, report: Report) -> list[Job]:
    if report.edition == "community":
        query = _COMMUNITY_JOBS
    elif report.server is not None and report.server.has_pg_cron:
        query = _CRON_JOBS
    else:
        return []
    return [Job(**row) for row in _rows(connection, query)]


_SERVER = """
SELECT
    current_setting('server_version') AS postgresql,
    (SELECT e.extversion FROM pg_extension AS e WHERE e.extname = 'timescaledb') AS timescaledb,
    current_setting('max_locks_per_transaction')::int
    * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int)
        AS max_lock_entries,
    (SELECT s.reset_val = 'on' FROM pg_settings AS s WHERE s.name = 'jit') AS jit,
    (SELECT s.reset_val FROM pg_settings AS s WHERE s.name = 'TimeZone') AS time_zone,
    (SELECT s.reset_val::bigint * 1024 FROM pg_settings AS s WHERE s.name = 'work_mem') AS work_mem_bytes,
    to_regnamespace('cron') IS NOT NULL AS has_pg_cron,
    current_setting('pgaudit.log', true) IS NOT NULL AS has_pgaudit,
    (SELECT s.value::interval FROM ops.setting AS s WHERE s.name = 'hot_window') AS hot_window,
    ARRAY(
        SELECT r.rolname::text
        FROM pg_roles AS r
        WHERE NOT r.rolsuper
            AND NOT pg_has_role(r.oid, 'telestream_owner', 'MEMBER')
            AND (
                r.rolname = ANY (%(readers)s) OR (r.rolcanlogin AND EXISTS (
                    SELECT FROM unnest(%(readers)s::text[]) AS g (name) WHERE pg_has_role(r.oid, g.name, 'MEMBER')
                ))
            )
            AND NOT EXISTS (
                SELECT FROM pg_db_role_setting AS s
                WHERE s.setrole = r.oid AND 'plan_cache_mode=force_custom_plan' = ANY (s.setconfig)
            )
        ORDER BY 1
    ) AS readers_with_generic_plans
"""


def _server(connection: Connection) -> Server:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SERVER, {"readers": _READERS}).fetchone()
    assert row is not None
    return Server(**row)


def _disk(url: str) -> Disk | None:
    """Return the volume of the embedded database; of any other server it cannot be seen."""
    state = stack_state.load()
    if state is None or not state.postgres_pid:
        return None
    ours, this = conninfo_to_dict(state.database_url), conninfo_to_dict(url)
    if (ours.get("host"), ours.get("port")) != (this.get("host"), this.get("port")):
        return None
    usage = shutil.disk_usage(settings().state_dir)
    return Disk(total_bytes=usage.total, free_bytes=usage.free)
