"""The command `telestream doctor`: what it has seen as tables or JSON, and what to do."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from telestream.console import console
from telestream.db import migrate
from telestream.db.connection import connect, database_url, translated
from telestream.db.doctor import Hypertable, Report, Retention, examine
from telestream.db.doctor_findings import Finding, Level, findings

_STYLE = {Level.ERROR: "bold red", Level.WARNING: "yellow", Level.INFO: "dim"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="All of it as one JSON document.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 also with warnings.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that each look may take.")] = 30,
) -> None:
    """Examine the database: storage, partitions, jobs, settings, what waits; exit code 1 if there is an error.

    It changes nothing, reads the catalogue and not the data, and works for the owner and for a user of the role
    engineer. Each finding has a code that docs/doctor.md explains.

    Try: telestream doctor --json | jq .findings
    """
    url = database_url()
    with translated(url), connect(url, autocommit=True) as connection:
        migrate.require_head(connection)
        report = examine(connection, url, timeout_s=timeout)
    found = findings(report)
    if as_json:
        typer.echo(json.dumps(_document(report, found), default=_plain, indent=2))
    else:
        _show(report, found)
    if any(finding.level is Level.ERROR or (strict and finding.level is Level.WARNING) for finding in found):
        raise typer.Exit(1)


def _document(report: Report, found: list[Finding]) -> dict[str, Any]:
    document = dataclasses.asdict(report)
    document["timed_out"] = sorted(report.timed_out)
    for table, row in zip(report.hypertables, document["hypertables"], strict=True):
        row |= {
            name: getattr(table, name) for name in ("bytes_per_row", "index_ratio", "rows_per_day", "bytes_per_day")
        }
        row["next_retention"] = _next_retention(report, table)
    document["findings"] = [dataclasses.asdict(finding) for finding in found]
    return document


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"no JSON for {type(value).__name__}")


def _next_retention(report: Report, table: Hypertable) -> datetime | None:
    rule = _rule(report, table)
    return rule.next_at if rule else None


def _rule(report: Report, table: Hypertable) -> Retention | None:
    return next((rule for rule in report.retention if rule.record_class == f"silver.{table.dataset}"), None)


def _kept_until(report: Report, table: Hypertable) -> str:
    if table.dataset is None:
        return "kept"
    rule = _rule(report, table)
    return "" if rule is None else _day(rule.next_at) or ("" if rule.maximum else "no maximum")


def _show(report: Report, found: list[Finding]) -> None:
    if report.hypertables:
        console.print(_hypertables(report))
        if report.edition == "apache":
            console.print("Apache edition of TimescaleDB: it has no compression.", highlight=False)
    if report.partitions:
        console.print(_partitions(report))
    if report.jobs:
        console.print(_jobs(report))
    if report.backlog:
        console.print(_backlog(report))
    if report.server:
        server = report.server
        console.print(
            f"PostgreSQL {server.postgresql}, TimescaleDB {server.timescaledb} ({report.edition}), work_mem"
            f" {_size(server.work_mem_bytes)}, room for {server.max_lock_entries:,} locks",
            highlight=False,
        )
    if report.disk:
        console.print(f"disk: {_size(report.disk.free_bytes)} free of {_size(report.disk.total_bytes)}")
    if not found:
        console.print("nothing to warn of")
        return
    table = Table("level", "code", "about", "what", "what to do", title="Findings")
    for item in found:
        table.add_row(
            f"[{_STYLE[item.level]}]{item.level}[/]", item.code, *map(escape, (item.about, item.what, item.todo))
        )
    console.print(table)


def _hypertables(report: Report) -> Table:
    table = Table(title="Facts and rollups (rows are estimates; a day is a mean of the last seven of data)")
    # What is not compressed; without compression that is all.
    hot = report.edition == "community"
    for name in (
        "table", "chunks", *(["hot"] if hot else []), "size", "rows", "B/row", "index: heap", "oldest row",
        "newest row", "rows/day", "size/day", "retention",
    ):  # fmt: skip
        table.add_column(name, justify="left" if name == "table" else "right", no_wrap=name == "table")
    for one in report.hypertables:
        table.add_row(
            one.table_name.partition(".")[2], f"{one.chunks:,}",
            *([f"{one.chunks - one.compressed_chunks:,}"] if hot else []), _size(one.bytes),
            _count(one.row_count), _count(one.bytes_per_row),
            "" if one.index_ratio is None else f"{one.index_ratio:.2f}", _day(one.oldest), _minute(one.newest),
            _count(one.rows_per_day), "" if one.bytes_per_day is None else _size(one.bytes_per_day),
            _kept_until(report, one),
        )  # fmt: skip
    return table


def _partitions(report: Report) -> Table:
    table = Table(title="Partitions")
    for name in ("table", "partitions", "ahead", "in default", "size", "rows", "next retention"):
        table.add_column(name, justify="left" if name == "table" else "right")
    classes = {"quality.quarantine": "quarantine", "ops.dead_letter": "dead_letter"}
    due = {rule.record_class: rule.next_at for rule in report.retention}
    for one in report.partitions:
        table.add_row(
            one.table_name, f"{one.partitions:,}" if one.partitions else "", str(one.ahead) if one.partitions else "",
            _count(one.default_rows), _size(one.bytes), _count(one.row_count),
            _minute(due.get(classes.get(one.table_name, one.table_name))),
        )  # fmt: skip
    return table


def _jobs(report: Report) -> Table:
    # pg_cron does not tell when a job runs next.
    told = report.edition == "community"
    table = Table("job", "schedule", "last run", "result", *(["next run"] if told else []), "failures", title="Jobs")
    for job in report.jobs:
        table.add_row(
            escape(job.name), job.schedule, _minute(job.last_run_at), job.last_result or "",
            *([_minute(job.next_run_at)] if told else []), str(job.failures),
        )  # fmt: skip
    return table


def _backlog(report: Report) -> Table:
    table = Table("what", "how many", "since", title="What waits")
    for one in report.backlog:
        table.add_row(one.what, f"{one.items:,}", _minute(one.oldest_at))
    for fresh in report.freshness:
        newest, loaded = _minute(fresh.newest_event_at) or "never", _minute(fresh.last_loaded_at) or "never"
        table.add_row(f"newest event of {fresh.dataset}", newest, f"loaded {loaded}")
    return table


def _minute(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M}"


def _day(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d}"


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _size(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1024:
            return f"{value:,.0f} {unit}" if unit in {"B", "kB"} else f"{value:,.1f} {unit}"
        value /= 1024
    return f"{value:,.1f} TB"
