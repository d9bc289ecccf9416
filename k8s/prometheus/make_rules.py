"""Writes the alert rules (`make rules`): rules/*.yaml for Prometheus, ../base/rules.yaml for the operator of a cluster.

Promises (SLOs) are recorded as the share of what was bad over several windows. An alert comes when the budget of bad is
used up so fast that two windows agree: the long one says that it matters, the short one that it goes on. Factors and
windows are those of the Site Reliability Workbook, chapter 5: 14.4 times too fast uses 2 % of a month's budget in an
hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from telestream.metrics import SERVICE_FAULTS

HERE = Path(__file__).parent
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
# Severity, how long it must last, and pairs of factor, long and short window of which one suffices.
BURNS = (
    ("page", "2m", ((14.4, "1h", "5m"), (6, "6h", "30m"))),
    ("ticket", "1h", ((3, "1d", "2h"), (1, "3d", "6h"))),
)
RUNBOOK = "docs/runbook.md"


@dataclass(frozen=True)
class Promise:
    """What was promised: `bad` is the share of what was bad in a window, with WINDOW in its place."""

    name: str
    alert: str
    objective: float
    bad: str
    summary: str


_ERRORS = f'code=~"{"|".join(SERVICE_FAULTS)}"'


def _slower(metric: str, seconds: str) -> str:
    """Return the share of observations of a histogram that were above a bound."""
    return f'1 - sum(rate({metric}_bucket{{le="{seconds}"}}[WINDOW])) / sum(rate({metric}_count[WINDOW]))'


PROMISES = (
    Promise(
        "api_errors", "ApiAvailability", 0.999,
        f"sum(rate(telestream_api_requests_total{{{_ERRORS}}}[WINDOW]))"
        " / sum(rate(telestream_api_requests_total[WINDOW]))",
        "Requests fail: more than 0.1 % of them, of the service's making",
    ),
    Promise(
        "api_slow", "ApiLatency", 0.95, _slower("telestream_api_request_seconds", "0.2"),
        "More than 5 % of requests take longer than 200 ms",
    ),
    Promise(
        "stream_slow", "StreamLatency", 0.95, _slower("telestream_consumer_commit_latency_seconds", "30.0"),
        "More than 5 % of messages are in Gold later than 30 s after they were sent",
    ),
    Promise(
        "batch_late", "BatchFreshness", 0.99,
        'avg_over_time((time() - telestream_database_last_load_timestamp_seconds{dataset="cdr"} > bool 7200)'
        "[WINDOW:1m])",
        "No CDRs have been loaded for more than two hours, for more than 1 % of the time",
    ),
)  # fmt: skip


def _alert(name: str, expression: str, lasting: str, severity: str, summary: str) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        "for": lasting,
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "runbook": f"{RUNBOOK}#{name.lower()}"},
    }


def promises() -> list[dict[str, Any]]:
    """Return a group of rules for each promise."""
    groups = []
    for one in PROMISES:
        rules: list[dict[str, Any]] = [
            {"record": f"slo:{one.name}:ratio{window}", "expr": one.bad.replace("WINDOW", window)} for window in WINDOWS
        ]
        for severity, lasting, pairs in BURNS:
            expression = " or ".join(
                f"(slo:{one.name}:ratio{long} > {factor} * {1 - one.objective:.3f}"
                f" and slo:{one.name}:ratio{short} > {factor} * {1 - one.objective:.3f})"
                for factor, long, short in pairs
            )
            rules.append(_alert(one.alert, expression, lasting, severity, one.summary))
        groups.append({"name": f"slo-{one.name}", "rules": rules})
    return groups


def causes() -> list[dict[str, Any]]:
    """Return the alerts of what is wrong before a promise is broken, or beside it."""
    backlog = 'telestream_database_backlog_age_seconds{{what="{}"}} > {}'
    return [
        {
            "name": "causes",
            "rules": [
                _alert("TargetDown", "up == 0", "5m", "page", "{{ $labels.job }} at {{ $labels.instance }} is away"),
                _alert(
                    "DatabaseNotSeen", "telestream_database_up == 0", "5m", "page",
                    "The database does not answer the one who watches it",
                ),
                _alert(
                    "ConsumerStuck",
                    "time() - telestream_consumer_last_commit_timestamp_seconds > 600"
                    " and on (instance) sum by (instance) (telestream_consumer_lag_messages) > 0",
                    "5m", "page", "{{ $labels.instance }} has messages to read and has written none for ten minutes",
                ),
                _alert(
                    "ConsumerLag",
                    "sum by (topic) (telestream_consumer_lag_messages) > 500000"
                    " and deriv(sum by (topic) (telestream_consumer_lag_messages)[15m:1m]) > 0",
                    "15m", "ticket", "Consumers of {{ $labels.topic }} do not keep up",
                ),
                _alert(
                    "DeadLetters",
                    "sum by (topic, reason) (increase(telestream_consumer_dead_letters_total[15m])) > 0",
                    "0m", "ticket", "Messages of {{ $labels.topic }} cannot be read: {{ $labels.reason }}",
                ),
                _alert(
                    "AlertsRefused", "increase(telestream_consumer_alerts_refused_total[1h]) > 0", "0m", "ticket",
                    "An alert does not fit its schema: a defect",
                ),
                _alert(
                    "AlertsNotSent", backlog.format("alerts to send", 300), "5m", "page",
                    "Alerts have waited for Kafka for more than five minutes",
                ),
                _alert(
                    "NotificationsNotSent", backlog.format("notifications to send", 600), "5m", "page",
                    "Alerts for people have waited for their channel for more than ten minutes",
                ),
                _alert(
                    "GoldBehind", backlog.format("buckets to refresh", 3600), "15m", "ticket",
                    "Gold has not taken up what was loaded more than an hour ago",
                ),
                _alert(
                    "AccessLogWaiting", "telestream_api_audit_waiting > 1000", "5m", "page",
                    "Reads of people wait to be written to the access log",
                ),
                _alert(
                    "QualityBelowTarget", "telestream_database_quality_score < 0.99", "30m", "ticket",
                    "Less than 99 % of the rows of {{ $labels.dataset }} of the last day were good",
                ),
                _alert(
                    "ExpectationFails", "telestream_database_incidents_open > 0", "15m", "ticket",
                    "{{ $labels.dataset }} is not as it is expected to be",
                ),
                _alert(
                    "AnalyticsOverdue", "telestream_database_task_overdue > 0", "1h", "ticket",
                    "The task {{ $labels.task }} has not ended well for a day",
                ),
            ],
        }
    ]  # fmt: skip


_HEAD = "# Written by k8s/prometheus/make_rules.py.\n"


def files() -> dict[Path, str]:
    """Return what each file holds."""
    operator = [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": name},
            "spec": {"groups": groups},
        }
        for name, groups in (("promises", promises()), ("causes", causes()))
    ]

    def text(document: Any) -> str:
        return str(yaml.safe_dump(document, sort_keys=False, width=110))

    return {
        HERE / "rules" / "slo.yaml": _HEAD + text({"groups": promises()}),
        HERE / "rules" / "causes.yaml": _HEAD + text({"groups": causes()}),
        HERE.parent / "base" / "rules.yaml": _HEAD + "---\n".join(text(one) for one in operator),
    }


if __name__ == "__main__":
    for path, content in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
