"""What is wrong with a database: findings from what `doctor` has seen, each with a stable code and the next step."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from telestream.db.doctor import Hypertable, Job, Partitioned, Report, Server, Waiting


class Level(StrEnum):
    """How bad it is: an error makes the command fail."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True)
class Finding:
    """One thing to know, and what to do about it."""

    code: str
    """Stable; docs/doctor.md lists all."""
    level: Level
    about: str
    """Table, job, setting, or what waits."""
    what: str
    todo: str


_ORDER = list(Level)
_MINUTES_10 = timedelta(minutes=10)
_DAY = timedelta(days=1)
_MB = 1 << 20


def findings(report: Report) -> list[Finding]:
    """Return what is to know, the worst first."""
    found = [
        *(item for table in report.hypertables for item in _of_hypertable(report, table)),
        *_of_edition(report),
        *(item for table in report.partitions for item in _of_partitions(table)),
        *_of_jobs(report),
        *_of_retention(report),
        *(item for waiting in report.backlog for item in _of_backlog(report, waiting)),
        *_of_freshness(report),
        *(_of_server(report, report.server) if report.server else ()),
        *_of_disk(report),
        *(
            Finding(
                "NOT_EXAMINED",
                Level.WARNING if part in report.timed_out else Level.INFO,
                part,
                f"not examined: {why}",
                "give it longer with --timeout, or look for what holds locks"
                if part in report.timed_out
                else "run the doctor as the login that owns the database",
            )
            for part, why in report.unknown.items()
        ),
    ]
    return sorted(found, key=lambda finding: _ORDER.index(finding.level))


def _of_hypertable(report: Report, table: Hypertable) -> Iterator[Finding]:
    name = table.table_name
    loaded = {one.dataset: one.last_loaded_at for one in report.freshness}
    last = loaded.get(table.dataset or "")
    if table.dataset and not table.has_chunk_for_now and last is not None and report.at - last < _DAY:
        yield Finding(
            "NO_CHUNK_FOR_NOW", Level.INFO, name,
            "rows came within a day, and none of them is of now",
            "nothing, where files come afterwards; else look at the clock and the time zone of the source",
        )  # fmt: skip
    if table.newest is not None and table.newest > report.at + timedelta(minutes=5):
        yield Finding(
            "ROWS_IN_THE_FUTURE", Level.WARNING, name,
            f"its newest row is of {_time(table.newest)}",
            "correct the clock or the time zone of the source; ops.setting's event_window_future says what is refused",
        )  # fmt: skip
    if table.index_ratio is not None and table.index_bytes > _MB and table.index_ratio > table.max_index_ratio:
        yield Finding(
            "INDEXES_LARGER_THAN_ROWS", Level.WARNING, name,
            f"the indexes of uncompressed chunks are {table.index_ratio:.1f} times their rows,"
            f" {table.max_index_ratio:g} is expected",
            "drop indexes that nobody uses (pg_stat_user_indexes), REINDEX bloated ones, or raise"
            " ops.storage_policy.max_index_ratio",
        )  # fmt: skip
    if table.chunks_never_analyzed:
        yield Finding(
            "NEVER_ANALYZED", Level.WARNING, name,
            f"{table.chunks_never_analyzed} large chunks that are complete have never been analyzed",
            f"ANALYZE {name}; and see that autovacuum runs",
        )  # fmt: skip
    if report.edition == "community" and table.compress_after != table.policy_compresses:
        yield Finding(
            "POLICY_NOT_APPLIED", Level.WARNING, name,
            f"it is to be compressed after {_span(table.compress_after)}, and the server's job says"
            f" {_span(table.policy_compresses)}",
            "telestream storage apply",
        )  # fmt: skip
    if (
        report.edition == "community"
        and table.policy_compresses is not None
        and table.oldest_to_compress is not None
        and table.compress_after is not None
        and report.at - table.oldest_to_compress > table.compress_after + _DAY
    ):
        yield Finding(
            "NOT_COMPRESSED", Level.WARNING, name,
            f"{table.chunks_to_compress} chunks are due to be compressed, one since"
            f" {_time(table.oldest_to_compress + table.compress_after)}",
            "see why the job does not run or fails: timescaledb_information.job_errors",
        )  # fmt: skip
    server = report.server
    locks = table.chunks * (1 + table.indexes)
    if server is not None and locks > server.max_lock_entries // 2:
        yield Finding(
            "TOO_FEW_LOCKS", Level.WARNING, name,
            f"a statement over all its chunks takes {locks:,} locks, and the server has room for"
            f" {server.max_lock_entries:,}",
            "raise max_locks_per_transaction, or let old days go (telestream archive, retention)",
        )  # fmt: skip


def _of_edition(report: Report) -> Iterator[Finding]:
    chunks = sum(table.chunks_to_compress for table in report.hypertables)
    if report.edition == "apache" and chunks:
        yield Finding(
            "NO_COMPRESSION", Level.INFO, "compression",
            f"{chunks:,} chunks are old enough to be compressed, and the Apache edition cannot",
            "nothing; the community edition would",
        )  # fmt: skip


def _of_partitions(table: Partitioned) -> Iterator[Finding]:
    if table.default_rows:
        yield Finding(
            "DEFAULT_PARTITION_FILLED", Level.ERROR, table.table_name,
            f"{table.default_rows:,} rows lie in the default partition: no partition was there for them",
            f"CALL partman.partition_data_proc('{table.table_name}')",
        )  # fmt: skip
    if not table.partitions:
        return
    # Batches make the partition they need; the access log has neither that nor a default partition.
    waits = table.table_name.startswith("bronze.")
    if not table.has_partition_for_now or not table.ahead:
        yield Finding(
            "PARTITION_MISSING", Level.INFO if waits else Level.ERROR, table.table_name,
            "it has no partition ahead of what is written now" if table.has_partition_for_now
            else "it has no partition for what is written now",
            "nothing: the next batch makes it" if waits else "SELECT * FROM ops.maintain(); and telestream db schedule",
        )  # fmt: skip


def _of_jobs(report: Report) -> Iterator[Finding]:
    if "jobs" in report.unknown or report.server is None:
        return
    if report.edition == "apache" and not report.server.has_pg_cron:
        yield Finding(
            "NO_SCHEDULER", Level.WARNING, "jobs",
            "pg_cron is not in this database: nothing runs by itself",
            "install pg_cron and run telestream db schedule, or call from outside what it would"
            f" ({', '.join(report.jobs_expected)})",
        )  # fmt: skip
        return
    there = {job.name for job in report.jobs}
    missing = [name for name in report.jobs_expected if name not in there]
    if missing:
        yield Finding(
            "JOB_MISSING", Level.WARNING, "jobs", f"not scheduled by this login: {', '.join(missing)}",
            "telestream db schedule",
        )  # fmt: skip
    for job in report.jobs:
        yield from _of_job(report, job)


def _of_job(report: Report, job: Job) -> Iterator[Finding]:
    if job.last_result not in {None, "succeeded", "success"}:
        yield Finding(
            "JOB_FAILED", Level.ERROR, job.name, "its last run failed",
            "see why: cron.job_run_details" if report.edition == "apache"
            else "see why: timescaledb_information.job_errors",
        )  # fmt: skip
    patience = timedelta(seconds=2 * job.every_s) + _MINUTES_10
    if job.last_run_at is None and job.every_s > 3600:
        return
    if job.last_run_at is None or report.at - job.last_run_at > patience:
        yield Finding(
            "JOB_OVERDUE", Level.WARNING, job.name,
            "it has never run" if job.last_run_at is None else f"it ran last at {_time(job.last_run_at)}",
            "nothing within a minute of scheduling it; else see that the server's scheduler runs and has workers left",
        )  # fmt: skip


def _of_retention(report: Report) -> Iterator[Finding]:
    for rule in report.retention:
        if rule.problem is not None:
            yield Finding(
                "RETENTION_CONTRADICTS", Level.ERROR, rule.record_class, rule.problem,
                "correct ops.retention_rule or the setting jurisdiction: nothing is dropped before",
            )  # fmt: skip
        elif rule.next_at is not None and rule.held is not None and report.at > rule.next_at:
            yield Finding(
                "RETENTION_HELD", Level.INFO, rule.record_class,
                f"due since {_time(rule.next_at)}, and held: {rule.held}", "telestream retention show",
            )  # fmt: skip
        elif rule.next_at is not None and report.at - rule.next_at > 2 * _DAY:
            yield Finding(
                "RETENTION_OVERDUE", Level.ERROR, rule.record_class,
                f"records were to go at {_time(rule.next_at)}",
                "telestream retention run; and see that its job runs each night",
            )  # fmt: skip


# What waits, how long it may, and what it is called when it does longer.
_LIMITS = {
    "buckets to refresh": ("GOLD_BEHIND", _MINUTES_10, "telestream gold refresh; and see its job"),
    "numbers to carry to facts": ("FACTS_BEHIND", _MINUTES_10, "CALL silver.rekey_pending(); and see its job"),
    "alerts to send": ("ALERTS_NOT_SENT", _MINUTES_10, "see that a consumer runs and reaches Kafka"),
    "dead letters to send": ("DEAD_LETTERS_NOT_SENT", _MINUTES_10, "see that a consumer runs and reaches Kafka"),
    "rows of the access log to chain": ("ACCESS_NOT_CHAINED", _MINUTES_10, "telestream audit seal; and see its job"),
    "archived days not verified": ("ARCHIVE_NOT_VERIFIED", _DAY, "telestream archive run"),
    "chunks before the horizon": ("HORIZON_BEHIND", _DAY, "telestream archive run --drop, or telestream retention run"),
}  # fmt: skip
_COUNTED = {
    "dead letters of the last day": (
        "DEAD_LETTERS", Level.WARNING, "see reason in ops.dead_letter: mostly a schema that is not registered",
    ),
    "refused records not replayed": (
        "QUARANTINE_WAITS", Level.INFO, "telestream quality quarantine; put rules or data right, then replay",
    ),
    "legal holds in force": ("HOLDS_IN_FORCE", Level.INFO, "telestream retention show"),
}  # fmt: skip


def _of_backlog(report: Report, waiting: Waiting) -> Iterator[Finding]:
    if not waiting.items:
        return
    since = f" since {_time(waiting.oldest_at)}" if waiting.oldest_at else ""
    if waiting.what in _LIMITS:
        code, patience, todo = _LIMITS[waiting.what]
        if waiting.oldest_at is not None and report.at - waiting.oldest_at > patience:
            yield Finding(code, Level.WARNING, waiting.what, f"{waiting.items:,}{since}", todo)
    elif waiting.what in _COUNTED:
        code, level, todo = _COUNTED[waiting.what]
        yield Finding(code, level, waiting.what, f"{waiting.items:,}{since}", todo)
    elif waiting.what == "days to archive" and report.server is not None and waiting.oldest_at is not None:
        late = report.at - waiting.oldest_at - report.server.hot_window
        if late > 3 * _DAY:
            yield Finding(
                "ARCHIVE_BEHIND", Level.WARNING, waiting.what,
                f"{waiting.items:,} days of Silver are older than the hot window and not archived",
                "telestream archive run, each night",
            )  # fmt: skip


def _of_freshness(report: Report) -> Iterator[Finding]:
    for one in report.freshness:
        if one.last_loaded_at is not None and report.at - one.last_loaded_at > _DAY:
            yield Finding(
                "NOTHING_ARRIVES", Level.WARNING, one.dataset,
                f"its last batch was finished at {_time(one.last_loaded_at)}",
                "see that the source delivers and a loader or consumer runs",
            )  # fmt: skip


def _of_server(report: Report, server: Server) -> Iterator[Finding]:
    yield from _of_version(report, server)
    for name, hurts, what, todo in (
        ("jit", server.jit, "jit is on: it costs short queries more than they take", "SET jit = off for the database"),
        (
            "TimeZone", server.time_zone not in {"UTC", "Etc/UTC", "GMT"},
            f"TimeZone is {server.time_zone}: jobs and months of partitions are meant in UTC",
            "ALTER DATABASE … SET timezone = 'UTC'",
        ),
        (
            "work_mem", server.work_mem_bytes < 4 * _MB,
            f"work_mem is {server.work_mem_bytes // 1024} kB: sorts and hashes of readers spill to disk",
            "set it to 16 MB or more",
        ),
    ):  # fmt: skip
        if hurts:
            yield Finding("SETTING_HURTS", Level.WARNING, name, what, todo)
    for role in server.readers_with_generic_plans:
        yield Finding(
            "GENERIC_PLANS", Level.WARNING, role,
            "it lacks plan_cache_mode = force_custom_plan: its prepared queries read all chunks",
            "telestream db user add sets it; or ALTER ROLE … SET plan_cache_mode = force_custom_plan",
        )  # fmt: skip
    if not server.has_pgaudit:
        yield Finding(
            "NO_PGAUDIT", Level.INFO, "shared_preload_libraries",
            "pgaudit is not loaded: who reads personal tables in psql is not noted",
            "see docs/security.md",
        )  # fmt: skip


def _of_version(report: Report, server: Server) -> Iterator[Finding]:
    parts = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", server.timescaledb)
    version = tuple(int(part or 0) for part in parts.groups()) if parts else (0, 0, 0)
    compressed = any(table.compressed_chunks for table in report.hypertables)
    if version < (2, 19, 0):
        yield Finding(
            "EXTENSION_VERSION", Level.ERROR, f"timescaledb {server.timescaledb}", "it is older than 2.19",
            "ALTER EXTENSION timescaledb UPDATE to 2.29.2 or newer",
        )  # fmt: skip
    elif version == (2, 30, 0):
        yield Finding(
            "EXTENSION_VERSION", Level.ERROR, f"timescaledb {server.timescaledb}",
            "a prepared ORDER BY time LIMIT n returns wrong rows once its plan is generic",
            "use 2.29.2 or a version after 2.30.0",
        )  # fmt: skip
    elif version < (2, 29, 2) and compressed:
        yield Finding(
            "EXTENSION_VERSION", Level.WARNING, f"timescaledb {server.timescaledb}",
            "SkipScan over chunks of which some are compressed has given wrong rows before 2.29.2",
            "update, or ALTER DATABASE … SET timescaledb.enable_skipscan = off",
        )  # fmt: skip


def _of_disk(report: Report) -> Iterator[Finding]:
    if report.disk is None:
        return
    used = 1 - report.disk.free_bytes / report.disk.total_bytes
    if used > 0.85:
        yield Finding(
            "DISK_NEARLY_FULL", Level.ERROR if used > 0.95 else Level.WARNING, "disk",
            f"{used:.0%} of the database's volume is used",
            "free space, enlarge it, or let old days go (telestream archive run --drop)",
        )  # fmt: skip


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z" if at.utcoffset() == timedelta(0) else f"{at:%Y-%m-%d %H:%M %z}"


def _span(span: timedelta | None) -> str:
    return "never" if span is None else str(span).removesuffix(", 0:00:00")
