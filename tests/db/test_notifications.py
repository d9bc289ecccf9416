"""Alerts reach people: by Slack, PagerDuty and e-mail, at least once, in order, whatever one of them does."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from json_server import JsonServer, json_server
from lineage.quick_command import quick, started
from streams import wait_for

from telestream.stack import ports

SECRET = "T0KEN-that-nobody-may-see"


@pytest.fixture
def slack() -> Iterator[JsonServer]:
    with json_server(path=f"/services/{SECRET}") as server:
        yield server


@pytest.fixture
def pagerduty() -> Iterator[JsonServer]:
    with json_server(path="/v2/enqueue") as server:
        yield server


class Mailbox:
    """Keeps mails; answers as it is told."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.answer = "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.answer.startswith("250"):
            self.mails.append(message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
        return self.answer


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=ports.choose())
    controller.start()
    try:
        yield box, f"smtp://127.0.0.1:{controller.port}"
    finally:
        controller.stop()


def settings_of(slack: JsonServer) -> dict[str, str]:
    return {"TELESTREAM_SLACK_WEBHOOK_URL": f"{slack.url}/services/{SECRET}"}


def enable(connection: psycopg.Connection, channel: str, severity: str = "minor") -> None:
    connection.execute(
        "UPDATE ops.notification_channel SET is_enabled = true, min_severity = %s WHERE channel = %s",
        (severity, channel),
    )


def due(connection: psycopg.Connection) -> None:
    """Let the time of the next attempt come."""
    connection.execute("UPDATE ops.notification_channel SET next_attempt_at = '-infinity'")


def waiting(connection: psycopg.Connection, channel: str) -> int:
    row = connection.execute(
        "SELECT count(*) FROM ops.notification WHERE channel = %s AND sent_at IS NULL AND refused IS NULL", (channel,)
    ).fetchone()
    return int(row[0]) if row else 0


def raise_alert(
    connection: psycopg.Connection, number: int, status: str = "opened", severity: str = "major", **fields: object
) -> None:
    payload = {
        "alert_id": str(uuid.uuid4()),
        "anomaly_id": number,
        "status": status,
        "severity": severity,
        "kpi": "drop_rate",
        "cell_id": f"cell-{number}",
        "started_at": "2026-03-01T08:00:00+00:00",
        "ended_at": "2026-03-01T09:00:00+00:00" if status == "ended" else None,
        "raised_at": "2026-03-01T08:05:00+00:00",
        "message": f"drop rate in cell-{number} is 9, normal is <1 & falling",
        "query": "SELECT 1",
        **fields,
    }
    connection.execute(
        "INSERT INTO ops.outbox (alert_id, topic, key, payload) VALUES (%s, 'alerts', %s, %s)",
        (payload["alert_id"], str(number), json.dumps(payload)),
    )


def test_only_channels_that_are_on_get_alerts_and_only_severe_ones(connection: psycopg.Connection) -> None:
    raise_alert(connection, 1, severity="critical")
    enable(connection, "slack", "minor")
    enable(connection, "email", "major")
    for severity in ("minor", "major", "critical"):
        raise_alert(connection, 2, severity=severity)
    assert [waiting(connection, channel) for channel in ("slack", "email", "pagerduty")] == [3, 2, 0]


def test_an_alert_that_is_rolled_back_tells_nobody(connection: psycopg.Connection) -> None:
    enable(connection, "slack")
    with connection.transaction():
        raise_alert(connection, 1)
        raise psycopg.Rollback
    assert waiting(connection, "slack") == 0


def test_an_incident_of_quality_reaches_slack(
    connection: psycopg.Connection, slack: JsonServer, tmp_path: Path
) -> None:
    quick(tmp_path, "notify", "on", "slack", "--from-severity", "minor")
    connection.execute(
        "INSERT INTO quality.incident (dataset, rule, subject, severity, started_at, failed_at, observed, normal,"
        " message) VALUES ('cdr', 'source_on_time', 'msc-09', 'major', '2026-03-01Z', '2026-03-01Z', 40, 24,"
        " 'cdr of msc-09: a source has delivered nothing new in time')"
    )
    connection.execute("SELECT quality._alert(incident_id, 'opened') FROM quality.incident")
    assert "1 alerts sent, 0 refused" in quick(tmp_path, "notify", "send", "--once", **settings_of(slack))
    (message,) = slack.taken
    assert "major, opened 2026-03-01 00:00 UTC: source_on_time of cdr/msc-09" in message["text"]
    assert "nothing new in time" in message["text"]
    assert "quality.expectation_result" in message["text"]


def test_many_alerts_are_a_few_messages_for_slack_and_special_characters_stay(
    connection: psycopg.Connection, slack: JsonServer, tmp_path: Path
) -> None:
    enable(connection, "slack")
    for number in range(45):
        raise_alert(connection, number)
    assert "45 alerts sent" in quick(tmp_path, "notify", "send", "--once", **settings_of(slack))
    assert [message["text"].count("normal is &lt;1 &amp; falling") for message in slack.taken] == [20, 20, 5]
    assert "0 alerts sent" in quick(tmp_path, "notify", "send", "--once", **settings_of(slack))


def test_pagerduty_resolves_what_it_was_told_of(
    connection: psycopg.Connection, pagerduty: JsonServer, tmp_path: Path
) -> None:
    enable(connection, "pagerduty")
    raise_alert(connection, 7, severity="critical")
    raise_alert(connection, 7, status="ended", severity="critical")
    configured = {
        "TELESTREAM_PAGERDUTY_ROUTING_KEY": SECRET,
        "TELESTREAM_PAGERDUTY_URL": f"{pagerduty.url}/v2/enqueue",
    }
    quick(tmp_path, "notify", "send", "--once", **configured)
    opened, ended = pagerduty.taken
    assert (opened["event_action"], ended["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == ended["dedup_key"]
    assert opened["routing_key"] == SECRET
    assert opened["payload"]["severity"] == "critical"
    assert opened["payload"]["source"] == "cell-7"


def test_mails_go_to_all_receivers_and_a_refused_one_is_kept(
    connection: psycopg.Connection, mailbox: tuple[Mailbox, str], tmp_path: Path
) -> None:
    box, url = mailbox
    configured = {
        "TELESTREAM_SMTP_URL": url,
        "TELESTREAM_EMAIL_FROM": "hub@example.com",
        "TELESTREAM_EMAIL_TO": "noc@example.com, duty@example.com",
    }
    enable(connection, "email")
    raise_alert(connection, 1)
    raise_alert(connection, 2)
    quick(tmp_path, "notify", "send", "--once", **configured)
    (mail,) = box.mails
    assert mail["To"] == "noc@example.com, duty@example.com"
    assert mail["Subject"] == ("[TeleStream] major, opened 2026-03-01 08:00 UTC: drop_rate of cell-1 and 1 more")
    assert "cell-2 is 9, normal is <1 & falling" in mail.get_content()

    box.answer = "451 try again later"
    raise_alert(connection, 3)
    assert "email: the mail server says: 451" in quick(tmp_path, "notify", "send", "--once", code=75, **configured)
    box.answer = "554 no"
    due(connection)
    assert "0 alerts sent, 1 refused" in quick(tmp_path, "notify", "send", "--once", **configured)
    assert connection.execute("SELECT refused FROM ops.notification WHERE refused IS NOT NULL").fetchall() == [
        ("the mail server says: 554",)
    ]


def test_a_password_is_not_sent_in_the_clear(mailbox: tuple[Mailbox, str], database: str, tmp_path: Path) -> None:
    _, url = mailbox
    text = quick(
        tmp_path, "notify", "test", "email", code=75,
        TELESTREAM_SMTP_URL=url.replace("smtp://", f"smtp://hub:{SECRET}@"),
        TELESTREAM_EMAIL_FROM="hub@example.com", TELESTREAM_EMAIL_TO="noc@example.com",
    )  # fmt: skip
    assert "SMTPNotSupportedError" in text
    assert SECRET not in text


def test_what_cannot_be_reached_holds_up_no_other_and_gets_all_in_order_later(
    connection: psycopg.Connection, slack: JsonServer, pagerduty: JsonServer, tmp_path: Path
) -> None:
    configured = settings_of(slack) | {
        "TELESTREAM_PAGERDUTY_ROUTING_KEY": "key",
        "TELESTREAM_PAGERDUTY_URL": f"{pagerduty.url}/v2/enqueue",
    }
    enable(connection, "slack")
    enable(connection, "pagerduty")
    pagerduty.answer = lambda _: (503, {})
    for number in range(3):
        raise_alert(connection, number)
    text = quick(tmp_path, "notify", "send", "--once", code=75, **configured)
    assert "3 alerts sent" in text
    assert "pagerduty: 503" in text
    connection.execute("UPDATE ops.notification_channel SET next_attempt_at = 'infinity' WHERE attempts = 1")
    quick(tmp_path, "notify", "send", "--once", code=75, **configured)
    assert pagerduty.requests == 1  # not before its time
    assert "503" in quick(tmp_path, "notify", "status", COLUMNS="200", **configured)
    pagerduty.answer = lambda _: (201, {})
    due(connection)
    quick(tmp_path, "notify", "send", "--once", **configured)
    assert [body["payload"]["source"] for body in pagerduty.taken] == ["cell-0", "cell-1", "cell-2"]


def test_what_one_alert_is_refused_for_takes_no_other_with_it(
    connection: psycopg.Connection, slack: JsonServer, tmp_path: Path
) -> None:
    enable(connection, "slack")
    for number in (1, 2):
        raise_alert(connection, number)
    raise_alert(connection, 3, status="ended", ended_at=None)
    raise_alert(connection, 4)
    slack.answer = lambda body: (400 if "cell-2" in body["text"] else 201, {})
    assert "2 alerts sent, 2 refused" in quick(tmp_path, "notify", "send", "--once", **settings_of(slack))
    assert [re.findall(r"cell-\d", message["text"])[0] for message in slack.taken] == ["cell-1", "cell-4"]
    refused = connection.execute("SELECT refused FROM ops.notification WHERE refused IS NOT NULL ORDER BY outbox_id")
    told, unfit = (text for (text,) in refused.fetchall())
    assert told.startswith("400 ")
    assert unfit.startswith("an alert does not fit: TypeError")
    assert waiting(connection, "slack") == 0


def test_the_service_sends_what_comes_and_another_stands_by(
    connection: psycopg.Connection, slack: JsonServer, tmp_path: Path
) -> None:
    enable(connection, "slack")
    with started(tmp_path, "notify", "send", **settings_of(slack)) as first:
        raise_alert(connection, 1)
        wait_for(lambda: len(slack.taken) == 1, "the first is sent", first)
        with started(tmp_path, "notify", "send", **settings_of(slack)) as second:
            second.says("another process sends the notifications")
            first.kill()
            raise_alert(connection, 2)
            wait_for(lambda: len(slack.taken) == 2, "the second is sent", second)
            assert SECRET not in second.log
            second.terminate()
    assert SECRET not in first.log


def test_off_forgets_what_waits(connection: psycopg.Connection, tmp_path: Path) -> None:
    enable(connection, "slack")
    raise_alert(connection, 1)
    assert "slack is off" in quick(tmp_path, "notify", "off", "slack")
    assert waiting(connection, "slack") == 0
    raise_alert(connection, 2)
    assert waiting(connection, "slack") == 0


def test_wrong_settings_are_told_without_the_secret(database: str, tmp_path: Path) -> None:
    assert "no channel has settings" in quick(tmp_path, "notify", "send", "--once", code=2)
    assert "slack has no settings" in quick(tmp_path, "notify", "test", "slack", code=2)
    for wrong in (
        {"TELESTREAM_SLACK_WEBHOOK_URL": SECRET},
        {"TELESTREAM_SMTP_URL": f"smtp://[{SECRET}"},
        {"TELESTREAM_SMTP_URL": f"smtp://hub:{SECRET}@mail.example"},
        {"TELESTREAM_PAGERDUTY_ROUTING_KEY": SECRET, "TELESTREAM_PAGERDUTY_URL": "pagerduty"},
    ):
        text = quick(tmp_path, "notify", "send", "--once", code=2, **wrong)
        assert "hint" in text
        assert SECRET not in text


def test_a_test_message_opens_no_incident(
    slack: JsonServer, pagerduty: JsonServer, database: str, tmp_path: Path
) -> None:
    assert "slack has taken the test" in quick(tmp_path, "notify", "test", "slack", **settings_of(slack))
    configured = {
        "TELESTREAM_PAGERDUTY_ROUTING_KEY": "key",
        "TELESTREAM_PAGERDUTY_URL": f"{pagerduty.url}/v2/enqueue",
    }
    quick(tmp_path, "notify", "test", "pagerduty", **configured)
    assert pagerduty.taken[0]["event_action"] == "resolve"
    pagerduty.answer = lambda _: (400, {})
    assert "pagerduty refuses the test" in quick(tmp_path, "notify", "test", "pagerduty", code=1, **configured)
