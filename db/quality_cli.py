"""The commands `telestream quality check|show|rules`: what is expected of datasets, and what came of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table

from telestream.console import console
from telestream.db import expectations, migrate
from telestream.db.connection import connect, database_url, translated
from telestream.errors import UsageError


def add_commands(app: typer.Typer) -> None:
    """Add the commands to `telestream quality`."""
    app.command("check")(check)
    app.command("show")(show)
    app.command("rules")(rules)


def check(
    at: Annotated[
        str | None, typer.Option(help="Judge as of this time, ISO 8601 with an offset; default: now.")
    ] = None,
) -> None:
    """Judge what is expected of each dataset; exit code 1 if anything fails or cannot be judged for an error."""
    url = database_url()
    with translated(url), connect(url) as connection:
        migrate.require_head(connection)
    judged = expectations.check(url, _moment(at) if at else None)
    errors = sorted({(one.dataset, one.rule) for one in judged if one.outcome == "error"})
    counts = ", ".join(
        f"{sum(one.outcome == outcome for one in judged):,} {outcome}"
        for outcome in ("passed", "failed", "no_history", "maintenance", "error")
    )
    console.print(f"judged: {counts}")
    incidents = expectations.open_incidents(url)
    if incidents:
        table = Table("dataset", "of", "rule", "severity", "since", "what is wrong", title="Open incidents")
        for one in incidents:
            table.add_row(
                one.dataset, one.subject, one.rule, one.severity, f"{one.started_at:%Y-%m-%d %H:%M}", one.message
            )
        console.print(table)
    for dataset, rule in errors:
        console.print(f"{rule} of {dataset} cannot run; see telestream quality show")
    if incidents or errors:
        raise typer.Exit(1)
    console.print("nothing fails")


def show(
    dataset: Annotated[str | None, typer.Option(help="Only this dataset: cdr, network_event or customer.")] = None,
) -> None:
    """Show the latest result of every expectation."""
    table = Table(
        "dataset", "rule", "of", "bucket", "outcome", "found", "at least", "at most", "since or why",
        title="Expectations",
    )  # fmt: skip
    with translated(), connect() as connection:
        migrate.require_head(connection)
        for name, rule, subject, bucket, outcome, observed, low, high, reason, since in connection.execute(
            "SELECT dataset, rule, subject, bucket, outcome, observed, at_least, at_most, reason, failing_since"
            " FROM quality.expectation_status WHERE dataset = coalesce(%s, dataset) ORDER BY dataset, rule, subject",
            (dataset,),
        ):
            note = f"since {since:%Y-%m-%d %H:%M}" if since else reason or ""
            table.add_row(
                name, rule, subject, f"{bucket:%Y-%m-%d %H:%M}", outcome, *map(_figure, (observed, low, high)), note
            )
    console.print(table)


def rules() -> None:
    """Show every rule: those over records, and what is expected of datasets."""
    table = Table("dataset", "rule", "kind", "dimension", "severity", "on", "what it is about", title="Quality rules")
    with translated(), connect() as connection:
        migrate.require_head(connection)
        for name, rule, kind, dimension, severity, enabled, message in connection.execute(
            "SELECT r.dataset, r.rule, coalesce(e.kind, 'record'), r.dimension, r.severity, r.is_enabled, r.message"
            " FROM quality.rule AS r LEFT JOIN quality.expectation AS e USING (dataset, rule)"
            " ORDER BY r.dataset, e.kind NULLS FIRST, r.rule"
        ):
            table.add_row(name, rule, kind, dimension, severity, "yes" if enabled else "no", message)
    console.print(table)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}"


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise UsageError(f"{text} is no time", hint="Write it like 2026-03-01T08:00Z.") from exc
    if moment.tzinfo is None:
        raise UsageError(f"{text} has no zone", hint="Write it like 2026-03-01T08:00Z.")
    return moment
