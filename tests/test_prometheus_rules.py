"""The alert rules, in Prometheus' own words: each fires when it should and only then, and has a page in the runbook."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import ROOT

from telestream import metrics
from telestream.consumers.telemetry import Telemetry as OfConsumer
from telestream.graphql.telemetry import Telemetry as OfApi
from telestream.settings import settings

FOLDER = ROOT / "k8s" / "prometheus"
OPERATOR = ROOT / "k8s" / "base" / "monitoring.yaml"
# Of others: Prometheus itself, kube-state-metrics, CloudNativePG and its plugin.
FOREIGN = {
    "up", "kube_job_failed", "barman_cloud_cloudnative_pg_io_last_available_backup_timestamp",
    "cnpg_pg_stat_archiver_last_failed_time", "cnpg_pg_stat_archiver_last_archived_time",
}  # fmt: skip

Series = dict[str, str]
BACKLOG = 'telestream_database_backlog_age_seconds{{what="{}"}}'
CDR_LOAD = 'telestream_database_last_load_timestamp_seconds{dataset="cdr"}'


def fault_of(code: str) -> str:
    return f'telestream_api_requests_total{{code="{code}"}}'


OK, INTERNAL = fault_of("ok"), fault_of("INTERNAL")
FAST, ALL = 'telestream_api_request_seconds_bucket{le="0.2"}', "telestream_api_request_seconds_count"
SOON = 'telestream_consumer_commit_latency_seconds_bucket{topic="t",le="30.0"}'
SENT = 'telestream_consumer_commit_latency_seconds_count{topic="t"}'
COMMIT, LAG = (
    'telestream_consumer_last_commit_timestamp_seconds{instance="c"}',
    'telestream_consumer_lag_messages{instance="c",topic="t",partition="0"}',
)
ARCHIVED = 'cnpg_pg_stat_archiver_last_archived_time{namespace="telestream"}'
FAILED = 'cnpg_pg_stat_archiver_last_failed_time{namespace="telestream"}'
BACKUP = 'barman_cloud_cloudnative_pg_io_last_available_backup_timestamp{namespace="telestream"}'
# What is seen, one value a minute from 1970 on; when it is looked at; which alerts fire then.
CASES: list[tuple[Series, str, set[tuple[str, str]]]] = [
    ({OK: "0+10000x120", INTERNAL: "0+1x120"}, "2h", set()),
    ({OK: "0+995x120", INTERNAL: "0+5x120"}, "2h", {("ApiAvailability", "ticket")}),
    # Every fault of the service counts, and none of a client.
    *(
        (
            {OK: "0+98x120", fault_of(code): "0+2x120"},
            "2h",
            {("ApiAvailability", "page"), ("ApiAvailability", "ticket")},
        )
        for code in metrics.SERVICE_FAULTS
    ),
    ({OK: "0+98x120", fault_of("BODY_TIMEOUT"): "0+2x120"}, "2h", set()),
    # Over since half an hour: the short window says so.
    ({OK: "0+98x90 8920+100x30", INTERNAL: "0+2x90 180x30"}, "2h", {("ApiAvailability", "ticket")}),
    ({FAST: "0+97x120", ALL: "0+100x120"}, "2h", set()),
    ({FAST: "0+80x120", ALL: "0+100x120"}, "2h", {("ApiLatency", "ticket")}),
    ({FAST: "0+20x120", ALL: "0+100x120"}, "2h", {("ApiLatency", "page"), ("ApiLatency", "ticket")}),
    ({SOON: "0+97x120", SENT: "0+100x120"}, "2h", set()),
    ({SOON: "0+20x120", SENT: "0+100x120"}, "2h", {("StreamLatency", "page"), ("StreamLatency", "ticket")}),
    ({CDR_LOAD: "0+60x240"}, "4h", set()),
    ({CDR_LOAD: "0x240"}, "2h30m", {("BatchFreshness", "page")}),
    ({CDR_LOAD: "0x240"}, "4h", {("BatchFreshness", "page"), ("BatchFreshness", "ticket")}),
    ({'up{job="api",instance="a"}': "1x20"}, "10m", set()),
    ({'up{job="api",instance="a"}': "0x20"}, "10m", {("TargetDown", "page")}),
    ({"telestream_database_up": "1x20"}, "10m", set()),
    ({"telestream_database_up": "0x20"}, "10m", {("DatabaseNotSeen", "page")}),
    ({COMMIT: "0x40", LAG: "0x40"}, "30m", set()),
    ({COMMIT: "0x40", LAG: "5x40"}, "30m", {("ConsumerStuck", "page")}),
    ({LAG: "900000-20000x40"}, "30m", set()),
    ({LAG: "400000+20000x40"}, "40m", {("ConsumerLag", "ticket")}),
    ({'telestream_consumer_dead_letters_total{topic="t",reason="r"}': "3x20"}, "10m", set()),
    ({'telestream_consumer_dead_letters_total{topic="t",reason="r"}': "3x5 4x20"}, "10m", {("DeadLetters", "ticket")}),
    ({"telestream_consumer_alerts_refused_total": "3x20"}, "10m", set()),
    ({"telestream_consumer_alerts_refused_total": "3x5 4x20"}, "10m", {("AlertsRefused", "ticket")}),
    ({BACKLOG.format("alerts to send"): "200x20"}, "10m", set()),
    ({BACKLOG.format("alerts to send"): "400x20"}, "10m", {("AlertsNotSent", "page")}),
    ({BACKLOG.format("notifications to send"): "400x20"}, "10m", set()),
    ({BACKLOG.format("notifications to send"): "700x20"}, "10m", {("NotificationsNotSent", "page")}),
    ({BACKLOG.format("buckets to refresh"): "3000x30"}, "20m", set()),
    ({BACKLOG.format("buckets to refresh"): "4000x30"}, "20m", {("GoldBehind", "ticket")}),
    ({"telestream_api_audit_waiting": "100x20"}, "10m", set()),
    ({"telestream_api_audit_waiting": "2000x20"}, "10m", {("AccessLogWaiting", "page")}),
    ({'telestream_database_quality_score{dataset="cdr"}': "0.995x60"}, "40m", set()),
    ({'telestream_database_quality_score{dataset="cdr"}': "0.98x60"}, "40m", {("QualityBelowTarget", "ticket")}),
    ({'telestream_database_incidents_open{dataset="cdr"}': "0x30"}, "20m", set()),
    ({'telestream_database_incidents_open{dataset="cdr"}': "1x30"}, "20m", {("ExpectationFails", "ticket")}),
    ({'telestream_database_task_overdue{task="churn"}': "0x90"}, "80m", set()),
    ({'telestream_database_task_overdue{task="churn"}': "1x90"}, "80m", {("AnalyticsOverdue", "ticket")}),
    ({BACKUP: "0x2300"}, "30h", set()),
    ({BACKUP: "0x2300"}, "37h", {("BackupTooOld", "page")}),
    ({ARCHIVED: "600x40", FAILED: "300x40"}, "20m", set()),
    ({ARCHIVED: "300x40", FAILED: "600x40"}, "20m", {("WalNotArchived", "page")}),
    ({'kube_job_failed{namespace="telestream",condition="true",job_name="j"}': "0x40"}, "20m", set()),
    (
        {'kube_job_failed{namespace="telestream",condition="true",job_name="j"}': "1x40"},
        "20m",
        {("JobFailed", "ticket")},
    ),
]


def tool(name: str) -> str:
    """Return the path of a program of Prometheus, as bootstrap.sh --tests finds or fetches it."""
    path = os.pathsep.join((os.environ["PATH"], str(settings().cache_dir / "prometheus")))
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"no {name}: run ./bootstrap.sh --tests")
    return found


def run(*arguments: str | Path) -> None:
    done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def groups() -> list[dict[str, Any]]:
    """Return all groups of rules: ours, and those of what only a cluster has."""
    ours = [yaml.safe_load(path.read_text())["groups"] for path in sorted((FOLDER / "rules").glob("*.yaml"))]
    cluster = [
        one["spec"]["groups"] for one in yaml.safe_load_all(OPERATOR.read_text()) if one["kind"] == "PrometheusRule"
    ]
    return [group for part in (*ours, *cluster) for group in part]


def alerts() -> list[dict[str, Any]]:
    return [rule for group in groups() for rule in group["rules"] if "alert" in rule]


def test_the_files_are_what_the_code_makes() -> None:
    for path, content in runpy.run_path(str(FOLDER / "make_rules.py"))["files"]().items():
        assert path.read_text() == content, f"run `make rules`: {path}"


def test_prometheus_takes_its_configuration() -> None:
    run(tool("promtool"), "check", "config", FOLDER / "prometheus.yml")
    run(tool("amtool"), "check-config", FOLDER / "alertmanager.yml")


def test_each_alert_fires_when_it_should_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups()}))
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname, severity) (ALERTS{alertstate="firing"})',
                    "eval_time": at,
                    "exp_samples": [
                        {"labels": f'{{alertname="{name}",severity="{severity}"}}', "value": 1}
                        for name, severity in sorted(firing)
                    ],
                }
            ],
        }
        for series, at, firing in CASES
    ]
    path = tmp_path / "tests.yaml"
    path.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "5m", "tests": tests}))
    run(tool("promtool"), "test", "rules", path)
    tried = {one for _, _, firing in CASES for one in firing}
    assert tried == {(rule["alert"], rule["labels"]["severity"]) for rule in alerts()}


def test_rules_use_metrics_that_exist() -> None:
    known = FOREIGN | {metric.full_name for metric in metrics.METRICS}
    known |= {f"{metric.full_name}_{part}" for metric in metrics.METRICS for part in ("bucket", "count")}
    for group in groups():
        for rule in group["rules"]:
            used = re.findall(
                r"\b((?:telestream|cnpg|kube|barman)_\w+|up)\b(?!=)", re.sub(r'"[^"]*"', "", rule["expr"])
            )
            assert set(used) <= known, rule


def test_a_bound_that_a_rule_names_is_one_of_its_histogram() -> None:
    """A bucket that is not there would make no alert, ever."""
    of_consumer, of_api = OfConsumer(), OfApi()
    of_consumer.latency("t", 1.0)
    shown = (of_consumer.text() + of_api.text()).decode()
    for group in groups():
        for rule in group["rules"]:
            for name, bound in re.findall(r'(\w+_bucket)\{le="([\d.]+)"\}', rule["expr"]):
                assert re.search(rf'^{name}\{{[^}}]*le="{re.escape(bound)}"', shown, re.MULTILINE), (name, bound)


def test_an_alert_leads_to_its_page_of_the_runbook() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    headings = set(re.findall(r"^### (\w+)$", runbook.partition("\n## Procedures\n")[0], re.MULTILINE))
    assert headings == {rule["alert"] for rule in alerts()}
    for rule in alerts():
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
        page = runbook.partition(f"\n### {rule['alert']}\n")[2].partition("\n### ")[0].partition("\n## ")[0]
        for part in ("**Meaning.**", "**Query.**", "**Action.**"):
            assert part in page, rule["alert"]
