"""The commands of the archive: `telestream archive run` and `archive show`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from telestream.console import console
from telestream.db import migrate
from telestream.db.connection import connect, database_url, translated
from telestream.db.retention import exclusive
from telestream.errors import UsageError

if TYPE_CHECKING:
    from telestream.db.archive import Dropped

archive_app = typer.Typer(help="Move old days of Silver to Delta Lake.", no_args_is_help=True)


@archive_app.command("run")
def archive_run(
    target: Annotated[str, typer.Option(help="Folder or s3://bucket/prefix; a table fact_<dataset> is made below it.")],
    dataset: Annotated[
        list[str] | None, typer.Option(help="cdr or network_event; repeatable. Without it both.")
    ] = None,
    older_than: Annotated[
        int | None,
        typer.Option(min=1, help="Days (UTC) that ended at least so many days ago; else the setting hot_window."),
    ] = None,
    drop: Annotated[
        bool, typer.Option("--drop", help="Drop the days from Silver once they are verified. Gold keeps them.")
    ] = False,
) -> None:
    """Write old days of Silver to Delta Lake, read them back, compare, and with --drop let Silver go of them.

    Each day is one partition. It counts as verified once row count and checksum of what DuckDB reads back equal
    those PostgreSQL computes. Killed at any point, the same command goes on; verified days are not written again
    unless late rows have come.

    From the first dropped day on, Gold before it is final: later records of these days go to quarantine under the
    rule before_horizon. What is under legal hold or younger than its minimum stays, and the table says why.

    The archive holds surrogates, no number. Left out are the unchecked fields of the source (extras, payload): see
    ops.archive_column.

    Try: telestream archive run --target ./archive --older-than 90

    Then read it: docs/archive.md.
    """
    # Only here: the libraries of the archive take half a second to import.
    from telestream.db.archive import DATASETS, Archiver, hot_days

    chosen = [name for name in DATASETS if dataset is None or name in dataset]
    if unknown := set(dataset or ()) - set(DATASETS):
        raise UsageError(f"there is no dataset {', '.join(sorted(unknown))}", hint=f"Name {' or '.join(DATASETS)}.")
    url = database_url()
    summary = Table(title="Archive")
    for name in ("dataset", "days", "written", "rows", "rows/s", "archive bytes", "bytes/row"):
        summary.add_column(name, justify="left" if name == "dataset" else "right")
    dropped: list[Dropped] = []
    with exclusive(url) as connection, _progress() as bars:
        migrate.require_head(connection)
        days = older_than if older_than is not None else hot_days(connection)
        for name in chosen:
            archiver = Archiver(connection, url, name, target)
            due = archiver.due(days)
            task = bars.add_task(f"archive {name}", total=len(due))
            results = []
            started = time.monotonic()
            for day in due:
                if (result := archiver.archive(day)) is not None:
                    results.append(result)
                bars.advance(task)
            seconds = time.monotonic() - started
            fresh = [result for result in results if result.outcome == "written"]
            rows = sum(result.rows for result in results)
            size = sum(result.archive_bytes for result in results)
            new_rows = sum(result.rows for result in fresh)
            summary.add_row(
                name, f"{len(results):,}", f"{len(fresh):,}", f"{rows:,}",
                f"{new_rows / seconds:,.0f}" if new_rows else "", f"{size:,}", f"{size / rows:.1f}" if rows else "",
            )  # fmt: skip
            if drop:
                dropped += archiver.drop(days)
            archiver.table.tidy()
    console.print(summary)
    if drop:
        console.print(_dropped_table(dropped))


@archive_app.command("show")
def archive_show() -> None:
    """Show which days are in the archive, where, and from when on Gold can still change."""
    table = Table("dataset", "state", "first day", "last day", "days", "rows", "target", title="Archive")
    with translated(), connect() as connection:
        migrate.require_head(connection)
        for dataset, state, first, last, days, rows, target in connection.execute(
            "SELECT dataset, state, min(day), max(day), count(*), sum(rows), target FROM ops.archive_day"
            " GROUP BY dataset, state, target ORDER BY dataset, min(day)"
        ):
            table.add_row(dataset, state, str(first), str(last), f"{days:,}", f"{rows:,}", target)
        horizons = connection.execute(
            "SELECT dataset, nullif(kept_from, '-infinity')::text FROM ops.horizon ORDER BY dataset"
        ).fetchall()
    console.print(table)
    for dataset, kept_from in horizons:
        console.print(f"{dataset}: " + (f"Gold is final before {kept_from}" if kept_from else "all of Gold can change"))


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("days"), TimeRemainingColumn(),
        console=console, transient=True,
    )  # fmt: skip


def _dropped_table(items: list[Dropped]) -> Table:
    table = Table(title="Dropped from Silver")
    for name in ("dataset", "from", "to", "bytes freed", "kept because"):
        table.add_column(name, justify="right" if name == "bytes freed" else "left")
    for item in items:
        table.add_row(
            item.dataset, str(item.lo), str(item.hi), f"{item.freed_bytes:,}" if item.freed_bytes else "",
            item.kept_because or "",
        )  # fmt: skip
    return table
