"""`telestream notify`: tells people of alerts by Slack, PagerDuty and e-mail."""

from __future__ import annotations

import signal
import threading
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from telestream import logs
from telestream.console import console
from telestream.db import migrate
from telestream.db.connection import connect, database_url, translated
from telestream.db.notifier import NOTIFIER_ROLE, Notifier
from telestream.db.notify_channels import configured_channels
from telestream.errors import TerminalError, TransientError, UsageError

notify_app = typer.Typer(help="Tell people of alerts: Slack, PagerDuty, e-mail.", no_args_is_help=True)

Name = Literal["slack", "pagerduty", "email"]
Severity = Literal["minor", "major", "critical"]
ChannelName = Annotated[Name, typer.Argument(help="The channel.")]
_SETTINGS = {
    "slack": "TELESTREAM_SLACK_WEBHOOK_URL",
    "pagerduty": "TELESTREAM_PAGERDUTY_ROUTING_KEY",
    "email": "TELESTREAM_SMTP_URL, TELESTREAM_EMAIL_FROM and TELESTREAM_EMAIL_TO",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(notify_app, name="notify")


@notify_app.command("on")
def notify_on(
    channel: ChannelName,
    from_severity: Annotated[Severity | None, typer.Option(help="Only alerts at least as severe.")] = None,
) -> None:
    """Queue the alerts from now on for a channel; `telestream notify send` sends them.

    Try: telestream notify on slack --from-severity major
    """
    _switch(channel, True, from_severity)


@notify_app.command("off")
def notify_off(channel: ChannelName) -> None:
    """Queue nothing any more for a channel and forget what waits."""
    _switch(channel, False, None)


def _switch(channel: Name, is_enabled: bool, severity: Severity | None) -> None:
    with translated(), connect(role=NOTIFIER_ROLE) as connection:
        migrate.require_head(connection)
        connection.execute(
            "UPDATE ops.notification_channel SET is_enabled = %s, min_severity = coalesce(%s, min_severity),"
            " attempts = 0, next_attempt_at = '-infinity', problem = NULL WHERE channel = %s",
            (is_enabled, severity, channel),
        )
        if not is_enabled:
            connection.execute(
                "DELETE FROM ops.notification WHERE channel = %s AND sent_at IS NULL AND refused IS NULL", (channel,)
            )
    console.print(f"{channel} is {'on' if is_enabled else 'off'}")


@notify_app.command("test")
def notify_test(channel: ChannelName) -> None:
    """Send one message that says it is a test, and tell what the receiver answers."""
    chosen = configured_channels().get(channel)
    if chosen is None:
        raise UsageError(f"{channel} has no settings", hint=f"Set {_SETTINGS[channel]}.")
    now = datetime.now(UTC).isoformat()
    answer = chosen.send(
        [
            {
                "alert_id": f"test-{now}",
                "anomaly_id": 0,
                # Of two ends, so that it leaves no incident open.
                "status": "ended",
                "severity": "minor",
                "kpi": "test",
                "cell_id": "",
                "dataset": "telestream",
                "started_at": now,
                "ended_at": now,
                "raised_at": now,
                "message": "This is a test: nothing has happened.",
                "query": "SELECT * FROM ops.sla",
            }
        ]
    )
    if answer.outcome == "refused":
        raise TerminalError(f"{channel} refuses the test", detail=answer.problem)
    if answer.outcome == "later":
        raise TransientError(f"{channel} has not taken the test", detail=answer.problem)
    console.print(f"{channel} has taken the test")


@notify_app.command("send")
def notify_send(
    once: Annotated[
        bool, typer.Option("--once", help="Send what waits and end; exit code 75 if some is left.")
    ] = False,
) -> None:
    """Send alerts to people by the channels that are on, until interrupted.

    At least once, those of a channel in their order. A receiver that cannot be reached is tried again, later each
    time, and holds up no other; what it refuses for good is kept with its reason, see `telestream notify status`.
    Several may run: one works, the others stand by.
    """
    url = database_url()
    channels = configured_channels()
    if not channels:
        raise UsageError("no channel has settings", hint=f"Set {', or '.join(_SETTINGS.values())}.")
    with translated(url), connect(url, role=NOTIFIER_ROLE) as connection:
        migrate.require_served(connection)
        enabled = [
            name
            for (name,) in connection.execute(
                "SELECT channel FROM ops.notification_channel WHERE is_enabled ORDER BY channel"
            )
        ]
    for name in enabled:
        if name not in channels:
            console.print(f"[yellow]warning:[/] {name} is on and has no settings here: set {_SETTINGS[name]}")
    for name in channels:
        if name not in enabled:
            console.print(f"[yellow]warning:[/] {name} is off: telestream notify on {name}")
    notifier = Notifier(url, channels)
    try:
        if once:
            _send_once(notifier, url, list(channels))
            return
        logs.to_stderr()
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        console.print(f"sending alerts by {', '.join(channels)}")
        notifier.run(stop)
    finally:
        notifier.close()


def _send_once(notifier: Notifier, url: str, names: list[str]) -> None:
    done = notifier.send_waiting()
    with translated(url), connect(url, role=NOTIFIER_ROLE) as connection:
        left = connection.execute(
            "SELECT c.channel, c.problem FROM ops.notification_channel AS c WHERE c.channel = ANY(%s) AND EXISTS ("
            " SELECT FROM ops.notification AS n"
            " WHERE n.channel = c.channel AND n.sent_at IS NULL AND n.refused IS NULL) ORDER BY c.channel",
            (names,),
        ).fetchall()
    console.print(f"{done.sent:,} alerts sent, {done.refused:,} refused")
    if left:
        raise TransientError(
            "not all alerts were sent",
            detail="\n".join(f"{name}: {problem or 'more came meanwhile'}" for name, problem in left),
            hint="They wait: run the same command again, or `telestream notify send` without --once.",
        )


@notify_app.command("status")
def notify_status() -> None:
    """Show which channels are on, what waits, and what was refused and why."""
    channels = configured_channels()
    table = Table(
        "channel", "is", "from severity", "settings here", "sent", "waits", "since", "refused", "last refusal",
        "problem", title="Notifications",
    )  # fmt: skip
    with translated(), connect(role=NOTIFIER_ROLE) as connection:
        migrate.require_served(connection)
        for name, is_enabled, severity, problem, sent, waits, since, refused, reason in connection.execute(
            """
            SELECT
                c.channel, c.is_enabled, c.min_severity, c.problem,
                count(n.sent_at),
                count(*) FILTER (WHERE n.outbox_id IS NOT NULL AND n.sent_at IS NULL AND n.refused IS NULL),
                min(o.created_at) FILTER (WHERE n.sent_at IS NULL AND n.refused IS NULL),
                count(n.refused),
                (array_agg(n.refused ORDER BY n.outbox_id DESC) FILTER (WHERE n.refused IS NOT NULL))[1]
            FROM ops.notification_channel AS c
            LEFT JOIN ops.notification AS n ON c.channel = n.channel
            LEFT JOIN ops.outbox AS o ON n.outbox_id = o.outbox_id
            GROUP BY c.channel
            ORDER BY c.channel
            """
        ):
            table.add_row(
                name, "on" if is_enabled else "off", severity, "yes" if name in channels else "no", f"{sent:,}",
                f"{waits:,}", f"{since:%Y-%m-%d %H:%M}" if since else "", f"{refused:,}", escape(reason or ""),
                escape(problem or ""),
            )  # fmt: skip
    console.print(table)
