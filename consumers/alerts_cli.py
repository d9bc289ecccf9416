"""The commands `telestream alerts …`: read the alerts topic, and send alerts again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from telestream import topics
from telestream.console import console
from telestream.consumers.decode import AvroDecoder
from telestream.consumers.kafka_broker import KafkaBroker
from telestream.consumers.kafka_options import kafka_options
from telestream.consumers.registry import open_registry, packaged_schema
from telestream.consumers.writer import CONSUMER_ROLE
from telestream.db.connection import connect, translated
from telestream.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Alerts: what was raised, and sending it again.")

# The topic counts as read to its end when it has been silent this long.
_QUIET_SECONDS = 1.0
_POLL_SECONDS = 0.2


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="alerts")


@app.command()
def read(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as alerts come; Ctrl-C ends.")] = False,
) -> None:
    """Show the alerts that are in the alerts topic, oldest first; one that was sent again is shown once."""
    seen: set[str] = set()
    if follow:
        for alert in read_alerts(follow=True):
            if alert["alert_id"] not in seen:
                seen.add(alert["alert_id"])
                console.print(f"{alert['raised_at']:%Y-%m-%d %H:%M:%S} {alert['status']:6} {alert['message']}")
        return
    console.print(alerts_table(list(read_alerts())))


@app.command()
def replay(
    since: Annotated[str, typer.Option(help="Raised at or after this time, ISO 8601, e.g. 2026-03-01T08:00Z.")],
) -> None:
    """Send alerts again, with the ids they had: a receiver that has seen them ignores them."""
    try:
        moment = datetime.fromisoformat(since)
    except ValueError as exc:
        raise UsageError(f"{since} is no time", hint="Write it like 2026-03-01T08:00Z.") from exc
    if moment.tzinfo is None:
        raise UsageError(f"{since} has no zone", hint="Write it like 2026-03-01T08:00Z.")
    console.print(f"{mark_again(moment):,} alerts will be sent again by the next consumer that runs, or now runs")


def mark_again(since: datetime) -> int:
    """Let the alerts raised since then be published once more; return how many."""
    with translated(), connect(role=CONSUMER_ROLE, autocommit=True) as connection:
        return connection.execute(
            "UPDATE ops.outbox SET published_at = NULL WHERE created_at >= %s AND published_at IS NOT NULL", (since,)
        ).rowcount


def read_alerts(*, follow: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the alerts of the topic in the order of its log, decoded; those that cannot be decoded are left out.

    Raises:
        TransientError: the broker does not answer.
    """
    decoder = AvroDecoder(open_registry(), packaged_schema("alert"))
    broker = KafkaBroker(kafka_options(), topics.ALERTS, partitions=[])
    try:
        heard = time.monotonic()
        while follow or time.monotonic() - heard < _QUIET_SECONDS:
            polled = broker.poll(_POLL_SECONDS)
            for partition, (first, _) in broker.log_range(polled.assigned).items():
                broker.seek(partition, first)
            for messages in polled.messages:
                heard = time.monotonic()
                yield from decoder.decode(messages.values).table.to_pylist()
    finally:
        broker.close()


def alerts_table(alerts: list[dict[str, Any]]) -> Table:
    """Return alerts as a table, each once."""
    table = Table(
        "started", "cell or dataset", "kpi or rule", "status", "severity", "value", "normal", "message", title="Alerts"
    )
    for alert in {one["alert_id"]: one for one in alerts}.values():
        table.add_row(
            f"{alert['started_at']:%Y-%m-%d %H:%M}",
            alert["cell_id"] or "/".join(filter(None, (alert["dataset"], alert["subject"]))),
            alert["kpi"],
            alert["status"],
            alert["severity"],
            f"{alert['value']:,.1f}",
            f"{alert['baseline']:,.1f}",
            alert["message"],
        )
    return table
