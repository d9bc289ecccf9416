"""Every metric of the list is served by its part, and what the exporter tells of a database is true."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from command import ROOT
from days import refresh
from lineage.quick_command import started
from prometheus_client import CollectorRegistry, generate_latest
from staging import cdr, refine

from telestream import metrics
from telestream.db.metrics import DatabaseCollector
from telestream.graphql.problems import Problem
from telestream.graphql.telemetry import Telemetry


def shown(text: str) -> dict[str, str]:
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))


def values(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^(\w+(?:\{[^}]*\})?) (\S+)$", text, re.MULTILINE)}


def listed(component: str) -> dict[str, str]:
    return {metric.full_name: metric.kind for metric in metrics.of(component)}


def test_the_api_shows_its_part_of_the_list() -> None:
    assert shown(Telemetry().text().decode()) == listed("api")


def test_the_faults_of_the_service_are_the_errors_that_are_not_of_the_client() -> None:
    def below(problem: type[Problem]) -> Iterator[type[Problem]]:
        yield problem
        for one in problem.__subclasses__():
            yield from below(one)

    assert set(metrics.SERVICE_FAULTS) == {one.code for one in below(Problem) if one.status >= 500}


@pytest.mark.parametrize("component", ["consumer", "api", "database"])
def test_the_page_of_metrics_has_the_list_as_it_is(component: str) -> None:
    assert metrics.metrics_table(component) in (ROOT / "docs" / "metrics.md").read_text()


def test_the_exporter_tells_how_the_database_is(connection: psycopg.Connection, database: str) -> None:
    refine(connection, [cdr(), cdr(native_key="bad", duration_s=-1)])
    refresh(connection)
    collector = DatabaseCollector(database)
    registry = CollectorRegistry()
    registry.register(collector)
    text = generate_latest(registry).decode()
    collector.close()
    assert shown(text) == listed("database")
    found = values(text)
    (newest, loaded) = connection.execute(
        "SELECT extract(EPOCH FROM newest_event_at), extract(EPOCH FROM last_loaded_at) FROM ops.freshness"
        " WHERE dataset = 'cdr'"
    ).fetchone()  # type: ignore[misc]
    assert found["telestream_database_up"] == 1
    assert found['telestream_database_newest_event_timestamp_seconds{dataset="cdr"}'] == float(newest)
    assert found['telestream_database_last_load_timestamp_seconds{dataset="cdr"}'] == pytest.approx(float(loaded))
    assert found['telestream_database_quality_score{dataset="cdr"}'] == 0.5
    assert found['telestream_database_backlog_items{what="refused records not replayed"}'] == 1
    assert found['telestream_database_incidents_open{dataset="cdr"}'] == 0
    assert found["telestream_database_size_bytes"] > 1e6


def test_one_look_serves_many_scrapes(connection: psycopg.Connection, database: str) -> None:
    collector = DatabaseCollector(database)
    first = list(collector.collect())
    refine(connection, [cdr()])
    assert list(collector.collect()) == first
    collector.close()


def test_a_database_that_is_away_is_told_and_its_return_too(
    own_server: None, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telestream.db.metrics._SECONDS", 0.0)
    from telestream.stack import lifecycle

    with started(tmp_path, "db", "metrics", "--port", "0") as exporter:
        collector = DatabaseCollector(database)
        registry = CollectorRegistry()
        registry.register(collector)
        assert exporter.get("/metrics")[0] == 200
        lifecycle.down()
        away = values(generate_latest(registry).decode())
        lifecycle.up()
        back = values(generate_latest(registry).decode())
        collector.close()
        exporter.signal(signal.SIGTERM)
        exporter.ends(0)
    assert away == {"telestream_database_up": 0}
    assert back["telestream_database_up"] == 1
