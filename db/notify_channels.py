"""The ways to tell people of alerts: Slack, PagerDuty and e-mail."""

from __future__ import annotations

import json
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.message import EmailMessage
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from telestream.db.http_post import Answer, JsonPoster, http_url
from telestream.errors import UsageError
from telestream.settings import settings

# An alert: the payload of a row of `ops.outbox`, fields as in consumers/schemas/alert.avsc.
Alert = Mapping[str, Any]

_DIGEST = 20
_SMTP_SECONDS = 10.0
# Of PagerDuty's Events API v2: severities have its names, a summary has 1,024 characters.
_SEVERITIES = {"minor": "warning", "major": "error", "critical": "critical"}
_LONGEST_SUMMARY = 1024


class Channel(Protocol):
    """A way to tell people; `most` is the number of alerts that one message may hold."""

    most: int

    def send(self, alerts: Sequence[Alert]) -> Answer:
        """Send one message about these alerts, oldest first; whatever happens is an answer."""


class Slack:
    """Posts to an incoming webhook, many alerts in one message: Slack takes one message a second.

    Args:
        url: of the webhook; it is a secret.

    Raises:
        UsageError: it is no HTTP URL.
    """

    most = _DIGEST

    def __init__(self, url: str) -> None:
        if http_url(url) is None:
            raise UsageError(
                "the webhook of Slack cannot be used",
                hint="TELESTREAM_SLACK_WEBHOOK_URL looks like https://hooks.slack.com/services/….",
            )
        self._poster = JsonPoster(url)

    def send(self, alerts: Sequence[Alert]) -> Answer:
        """Send one message about these alerts, oldest first; whatever happens is an answer."""
        text = "\n".join(f"*{_title(alert)}*\n{alert['message']}\n```{alert['query']}```" for alert in alerts)
        for sign, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = text.replace(sign, name)
        return self._poster.post(json.dumps({"text": text}))


class PagerDuty:
    """Sends events to the Events API v2; the alert that ends an anomaly resolves the incident its beginning opened.

    Args:
        key: routing key of the integration.
        url: of the API.

    Raises:
        UsageError: the URL is no HTTP URL.
    """

    most = 1

    def __init__(self, key: str, url: str) -> None:
        if http_url(url) is None:
            raise UsageError(
                "the URL of PagerDuty cannot be used",
                hint="TELESTREAM_PAGERDUTY_URL is https://events.pagerduty.com/v2/enqueue, or that of its EU service.",
            )
        self._key = key
        self._poster = JsonPoster(url)

    def send(self, alerts: Sequence[Alert]) -> Answer:
        """Send the event of one alert; whatever happens is an answer."""
        (alert,) = alerts
        event = {
            "routing_key": self._key,
            "event_action": "resolve" if alert["status"] == "ended" else "trigger",
            # Of this anomaly, also where the database was made anew and counts from 1 again.
            "dedup_key": f"telestream-{alert['anomaly_id']}-{alert['started_at']}",
            "client": "TeleStream Insights Hub",
            "payload": {
                "summary": alert["message"][:_LONGEST_SUMMARY],
                "source": _subject(alert),
                "severity": _SEVERITIES[alert["severity"]],
                "timestamp": alert["raised_at"],
                "component": alert["kpi"],
                "class": alert.get("kind") or "anomaly",
                "custom_details": dict(alert),
            },
        }
        return self._poster.post(json.dumps(event))


class Mail:
    """Sends e-mails, many alerts in one.

    Args:
        url: `smtps://user:password@host:port` (TLS) or `smtp://…` (STARTTLS where the server has it).
        sender: address they come from.
        receivers: addresses they go to.

    Raises:
        UsageError: the URL cannot be used, or an address is missing.
    """

    most = _DIGEST

    def __init__(self, url: str, sender: str, receivers: Sequence[str]) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise UsageError(
                "the URL of the mail server cannot be used",
                hint="TELESTREAM_SMTP_URL looks like smtps://user:password@mail.example:465.",
            )
        if not sender or not receivers:
            raise UsageError(
                "e-mail has no sender or nobody to go to", hint="Set TELESTREAM_EMAIL_FROM and TELESTREAM_EMAIL_TO."
            )
        self._is_tls = parts.scheme == "smtps"
        self._host, self._port = parts.hostname, port or (465 if self._is_tls else 587)
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._sender, self._receivers = sender, list(receivers)

    def send(self, alerts: Sequence[Alert]) -> Answer:
        """Send one message about these alerts, oldest first; whatever happens is an answer."""
        message = EmailMessage()
        more = f" and {len(alerts) - 1} more" if len(alerts) > 1 else ""
        message["Subject"] = f"[TeleStream] {_title(alerts[0])}{more}"
        message["From"] = self._sender
        message["To"] = ", ".join(self._receivers)
        # A receiver that has seen the message tells its repetition by the id.
        message["Message-ID"] = f"<{alerts[0]['alert_id']}@telestream>"
        message.set_content(
            "\n\n".join(f"{_title(alert)}\n{alert['message']}\n\n    {alert['query']}" for alert in alerts)
        )
        try:
            with self._server() as server:
                server.send_message(message)
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as exc:
            return Answer("refused" if _is_final(exc) else "later", f"the mail server says: {_codes(exc)}")
        except (smtplib.SMTPException, OSError) as exc:
            return Answer("later", f"the mail server does not take it: {type(exc).__name__}")
        return Answer("taken")

    def _server(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self._is_tls:
            server: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=_SMTP_SECONDS, context=context)
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=_SMTP_SECONDS)
        try:
            server.ehlo_or_helo_if_needed()
            if not self._is_tls and server.has_extn("starttls"):
                server.starttls(context=context)
            elif self._user and not self._is_tls:
                raise smtplib.SMTPNotSupportedError("no TLS to send a password over")
            if self._user:
                server.login(self._user, self._password)
        except BaseException:
            server.close()
            raise
        return server


def configured_channels() -> dict[str, Channel]:
    """Return the channels that have settings, by the names of `ops.notification_channel`.

    Raises:
        UsageError: a setting cannot be used; shows no secret.
    """
    given = settings()
    channels: dict[str, Channel] = {}
    if url := given.slack_webhook_url.get_secret_value():
        channels["slack"] = Slack(url)
    if key := given.pagerduty_routing_key.get_secret_value():
        channels["pagerduty"] = PagerDuty(key, given.pagerduty_url)
    if url := given.smtp_url.get_secret_value():
        receivers = [address.strip() for address in given.email_to.split(",") if address.strip()]
        channels["email"] = Mail(url, given.email_from, receivers)
    return channels


def _title(alert: Alert) -> str:
    at = datetime.fromisoformat(alert["ended_at" if alert["status"] == "ended" else "started_at"])
    return f"{alert['severity']}, {alert['status']} {at:%Y-%m-%d %H:%M %Z}: {alert['kpi']} of {_subject(alert)}"


def _subject(alert: Alert) -> str:
    """Return what an alert is about: a cell, or a dataset with its source or other part."""
    return alert["cell_id"] or "/".join(filter(None, (alert.get("dataset"), alert.get("subject"))))


def _codes(exc: smtplib.SMTPException) -> str:
    """Return the status codes of a refusal: its text may hold an address."""
    if isinstance(exc, smtplib.SMTPRecipientsRefused):
        return ", ".join(sorted({str(code) for code, _ in exc.recipients.values()}))
    return str(getattr(exc, "smtp_code", ""))


def _is_final(exc: smtplib.SMTPException) -> bool:
    return _codes(exc).startswith("5") and "," not in _codes(exc)
