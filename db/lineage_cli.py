"""`telestream lineage`: where data went and came from, and sending the events to a lineage server."""

from __future__ import annotations

import json
import signal
import threading
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from telestream import logs
from telestream.console import console
from telestream.db import migrate
from telestream.db.connection import connect, database_url, translated
from telestream.db.lineage_receiver import configured_receiver
from telestream.db.lineage_sender import SENDER_ROLE, LineageSender
from telestream.db.lineage_show import describe
from telestream.errors import TransientError, UsageError

lineage_app = typer.Typer(help="Where data comes from and went: OpenLineage events.", no_args_is_help=True)
_MAY_CLOSE = "SELECT has_function_privilege('ops.close_lineage(boolean)', 'EXECUTE')"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(lineage_app, name="lineage")


@lineage_app.command("show")
def lineage_show(
    name: Annotated[str, typer.Argument(help="A file that was loaded (path, name or SHA-256), or a table.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show where the records of a file went, or what a table is made of and which runs wrote it last.

    Stream batches and scheduled refreshes show up when their minute is over.

    Try: telestream lineage show gold.network_kpi_hourly
    """
    with translated(), connect(autocommit=True) as connection:
        migrate.require_head(connection)
        if connection.execute(_MAY_CLOSE).fetchone() == (True,):
            connection.execute("SELECT ops.close_lineage()")
        found = describe(connection, name)
    if as_json:
        typer.echo(json.dumps(found, default=_plain, indent=2))
    else:
        console.print(_file_tree(found) if "file" in found else _table_tree(found))


@lineage_app.command("send")
def lineage_send(
    once: Annotated[
        bool, typer.Option("--once", help="Send what waits and end; exit code 75 if some is left.")
    ] = False,
    parked: Annotated[bool, typer.Option("--parked", help="Try again what the server has refused, too.")] = False,
    off: Annotated[bool, typer.Option("--off", help="Queue nothing any more and forget what waits; then end.")] = False,
) -> None:
    """Send lineage events to the OpenLineage server of TELESTREAM_LINEAGE_URL, e.g. Marquez, until interrupted.

    The first start switches the queue on: events from then on are sent, at least once, those of a run in their
    order. Without a start nothing is queued. An outage of the server is waited for; what it refuses for good is
    parked with its reason, see `telestream lineage status`. Several may run: one works, the others stand by.
    """
    url = database_url()
    with translated(url), connect(url, role=SENDER_ROLE, autocommit=True) as connection:
        migrate.require_head(connection)
        if off:
            connection.execute("SELECT ops.queue_lineage(false)")
            console.print("nothing is queued for the lineage server any more")
            return
        receiver = configured_receiver()
        if receiver is None:
            raise UsageError(
                "no lineage server is configured",
                hint="Set TELESTREAM_LINEAGE_URL, e.g. http://marquez.example:5000.",
            )
        connection.execute("SELECT ops.queue_lineage(true)")
        if parked:
            connection.execute(
                "UPDATE ops.lineage_outbox SET parked_at = NULL, attempts = 0, next_attempt_at = '-infinity'"
                " WHERE parked_at IS NOT NULL"
            )
    sender = LineageSender(url, receiver.post)
    try:
        if once:
            _send_once(sender, url)
            return
        logs.to_stderr()
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        console.print(f"sending lineage events to {receiver.url}", highlight=False)
        sender.run(stop)
    finally:
        sender.close()


def _send_once(sender: LineageSender, url: str) -> None:
    done = sender.drain()
    with translated(url), connect(url, role=SENDER_ROLE) as connection:
        row = connection.execute("SELECT count(*) FROM ops.lineage_outbox WHERE parked_at IS NULL").fetchone()
    left = int(row[0]) if row else 0
    console.print(f"{done.sent:,} events sent, {done.parked:,} parked, {left:,} wait")
    if left:
        raise TransientError(
            "not all lineage events were sent",
            detail=f"{done.problem[0].upper()}{done.problem[1:]}." if done.problem else None,
            hint="They wait: run the same command again, or `telestream lineage send` without --once.",
        )


@lineage_app.command("status")
def lineage_status() -> None:
    """Show how many events there are, what waits to be sent, and what the server has refused and why."""
    table = Table("what", "value", title="Lineage")
    refused = Table("events", "job", "first", "last", "the server said", title="Parked")
    with translated(), connect() as connection:
        migrate.require_head(connection)
        for name, query in (
            ("events", "SELECT count(*) FROM ops.lineage_event"),
            ("oldest", "SELECT min(recorded_at) FROM ops.lineage_event"),
            ("runs under way", "SELECT count(*) FROM ops.lineage_run"),
            ("queue", "SELECT value FROM ops.setting WHERE name = 'lineage_send'"),
            ("waiting", "SELECT count(*) FROM ops.lineage_outbox WHERE parked_at IS NULL"),
            ("waiting since", "SELECT min(recorded_at) FROM ops.lineage_outbox WHERE parked_at IS NULL"),
            (
                "last problem",
                "SELECT problem FROM ops.lineage_outbox WHERE parked_at IS NULL AND problem IS NOT NULL"
                " ORDER BY next_attempt_at DESC LIMIT 1",
            ),
            ("parked", "SELECT count(*) FROM ops.lineage_outbox WHERE parked_at IS NOT NULL"),
        ):
            row = connection.execute(query).fetchone()
            table.add_row(name, _text(row[0]) if row else "")
        for row in connection.execute(
            "SELECT count(*), e.job, min(o.parked_at), max(o.parked_at), o.problem FROM ops.lineage_outbox AS o"
            " INNER JOIN ops.lineage_event AS e USING (event_id, recorded_at) WHERE o.parked_at IS NOT NULL"
            " GROUP BY e.job, o.problem ORDER BY 1 DESC LIMIT 20"
        ).fetchall():
            refused.add_row(*map(_text, row))
    console.print(table)
    if refused.row_count:
        console.print(refused)


def _file_tree(found: dict[str, Any]) -> Tree:
    file = found["file"]
    tree = Tree(f"[bold]{escape(file['uri'])}[/]")
    tree.add(
        f"{file['status']}, profile {escape(file['profile'])}, code {escape(file['code_version'])},"
        f" {_text(file['started_at'])} to {_text(file['finished_at'])}"
    )
    if file["reason"]:
        tree.add(f"refused: {escape(file['reason'])}")
    for run in found["runs"]:
        tree.add(f"run {run['run_id']}: {run['outcome']} {escape(run['problem'] or '')}".rstrip())
    batches = tree.add(f"{found['bronze']}: {file['rows_in']:,} records in {len(found['batches']):,} batches")
    for batch in found["batches"]:
        lines = "" if batch["first_line"] is None else f", lines {batch['first_line']:,} to {batch['next_line'] - 1:,}"
        batches.add(
            f"batch {batch['batch_id']}{lines}: {batch['rows_in']:,} in, {batch['rows_loaded']:,} loaded,"
            f" {batch['rows_duplicate']:,} duplicate, {batch['rows_quarantined']:,} quarantined,"
            f" {_text(batch['finished_at'])}"
        )
    silver = tree.add(f"{found['silver']}: {file['rows_loaded']:,} rows, {file['rows_duplicate']:,} were there already")
    for rollup in found["gold"]:
        waiting = f", {rollup['waiting']:,} buckets wait for their refresh" if rollup["waiting"] else ""
        silver.add(
            f"{', '.join(rollup['views']) or 'rollup.' + rollup['rollup_name']}: buckets of {rollup['grain']}"
            f" {_text(rollup['first_bucket'])} to {_text(rollup['last_bucket'])}{waiting}"
        )
    if file["rows_quarantined"]:
        refused = tree.add(f"quality.quarantine: {file['rows_quarantined']:,} records")
        for rule in found["quarantine"]:
            refused.add(f"{rule['rule']}: {rule['records']:,}, {rule['replayed']:,} of them sent again")
    return tree


def _table_tree(found: dict[str, Any]) -> Tree:
    tree = Tree(_label(found))
    _grow(tree, found)
    if found["downstream"]:
        below = tree.add("read by")
        for name in found["downstream"]:
            below.add(name)
    return tree


def _grow(tree: Tree, found: dict[str, Any]) -> None:
    for run in found["runs"]:
        rows = "" if run["rows"] is None else f", {run['rows']:,} rows"
        tree.add(f"[dim]{run['job']} {run['outcome']} {run['ended_at']}{rows}[/]")
    for source in found.get("sources", ()):
        tree.add(f"{escape(source['namespace'])} {escape(source['name'])} [dim]read {_text(source['read_at'])}[/]")
    for above in found["upstream"]:
        _grow(tree.add(_label(above)), above)


def _label(found: dict[str, Any]) -> str:
    return f"[bold]{found['table']}[/]" + (" (view)" if found["kind"] == "view" else "")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return f"{value:,}" if isinstance(value, int) else str(value)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
