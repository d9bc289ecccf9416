"""Anomalies: baselines, thresholds, one open anomaly per cell and KPI, alerts in its transaction, stream time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

MONDAY = datetime(2026, 3, 2, 10, tzinfo=UTC)
WINDOW = timedelta(minutes=5)


def traffic(
    connection: psycopg.Connection,
    start: datetime,
    windows: int,
    *,
    cell: str = "cell-1",
    samples: int = 20,
    setups: int = 20,
    latency: float = 30.0,
    drops: int = 0,
) -> None:
    """Put windows of like traffic into Silver and Gold, with a little noise that a baseline needs."""
    connection.execute(
        "INSERT INTO silver.dim_network_cell (cell_id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING", (cell, cell)
    )
    connection.execute(
        """
        INSERT INTO silver.fact_network_event (
            event_at, event_id, batch_id, source_line, subscriber_id, cell_key, latency_ms, is_late, event_type,
            technology, source_system
        )
        SELECT w.at + n * interval '1 second', gen_random_uuid(), 1, 1, 0, c.cell_key,
            CASE WHEN k.kind = 'kpi_sample' THEN %(latency)s + n %% 5 END, false, k.kind, '4g', 'oss'
        FROM silver.dim_network_cell AS c
        CROSS JOIN generate_series(0, %(windows)s - 1) AS number
        CROSS JOIN LATERAL (SELECT %(start)s + number * interval '5 minutes' AS at) AS w
        CROSS JOIN (VALUES ('kpi_sample', %(samples)s), ('rrc_setup', %(setups)s), ('drop', %(drops)s)) AS k (kind, amount)
        CROSS JOIN LATERAL generate_series(1, k.amount + CASE WHEN k.amount > 0 THEN number %% 3 ELSE 0 END) AS n
        WHERE c.cell_id = %(cell)s
        """,
        {"latency": latency, "windows": windows, "start": start, "samples": samples, "setups": setups,
         "drops": drops, "cell": cell},
    )  # fmt: skip
    connection.execute(
        "INSERT INTO rollup.pending SELECT 'network_5m', g, 0 FROM generate_series(%s::timestamptz, %s, '5 minutes') AS g"
        " ON CONFLICT DO NOTHING",
        (start, start + (windows - 1) * WINDOW),
    )
    connection.execute("SELECT rollup.refresh_table('network_5m')")


def begin(connection: psycopg.Connection, at: datetime) -> None:
    connection.execute("UPDATE analytics.detection SET evaluated_to = %s", (at,))


def detect(connection: psycopg.Connection, to: datetime) -> tuple[int, int]:
    row = connection.execute("SELECT * FROM analytics.detect(%s, 1000)", (to + timedelta(seconds=5),)).fetchone()
    assert row is not None
    return row


def anomalies(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT cell_id, kpi, started_at, ended_at FROM gold.anomaly ORDER BY anomaly_id"
    ).fetchall()


def test_an_outage_opens_one_anomaly_and_ends_it(connection: psycopg.Connection) -> None:
    traffic(connection, MONDAY, 12)
    traffic(connection, MONDAY + 15 * WINDOW, 3)
    begin(connection, MONDAY + 10 * WINDOW)
    outage = MONDAY + 12 * WINDOW
    assert detect(connection, outage) == (2, 0)
    assert detect(connection, outage + WINDOW) == (1, 1)
    assert anomalies(connection) == [("cell-1", "events", outage, None)]
    assert detect(connection, outage + 3 * WINDOW) == (2, 0)
    assert anomalies(connection) == [("cell-1", "events", outage, None)]
    assert detect(connection, outage + 5 * WINDOW) == (2, 0)
    assert anomalies(connection) == [("cell-1", "events", outage, outage + 3 * WINDOW)]
    alerts = connection.execute(
        "SELECT payload ->> 'status', payload ->> 'kpi', key, alert_id FROM ops.outbox ORDER BY outbox_id"
    ).fetchall()
    assert [alert[:2] for alert in alerts] == [("opened", "events"), ("ended", "events")]
    assert alerts[0][2] == alerts[1][2]
    assert alerts[0][3] != alerts[1][3]


def test_the_query_of_an_anomaly_shows_it(connection: psycopg.Connection) -> None:
    traffic(connection, MONDAY, 12)
    begin(connection, MONDAY + 12 * WINDOW)
    detect(connection, MONDAY + 14 * WINDOW)
    [(query, from_at, to_at)] = connection.execute("SELECT query, from_at, to_at FROM gold.anomaly").fetchall()
    rows = connection.execute(query).fetchall()
    assert len(rows) == 12
    assert from_at < MONDAY + 12 * WINDOW < to_at


def test_a_sleeping_cell_reports_and_serves_nobody(connection: psycopg.Connection) -> None:
    traffic(connection, MONDAY, 12)
    traffic(connection, MONDAY + 12 * WINDOW, 3, setups=0)
    begin(connection, MONDAY + 12 * WINDOW)
    detect(connection, MONDAY + 15 * WINDOW)
    assert [row[:2] for row in anomalies(connection)] == [("cell-1", "activity")]


def test_congestion_needs_two_windows_in_a_row(connection: psycopg.Connection) -> None:
    traffic(connection, MONDAY, 12)
    traffic(connection, MONDAY + 12 * WINDOW, 1, latency=150)
    traffic(connection, MONDAY + 13 * WINDOW, 2)
    traffic(connection, MONDAY + 15 * WINDOW, 2, latency=150)
    begin(connection, MONDAY + 12 * WINDOW)
    detect(connection, MONDAY + 17 * WINDOW)
    assert anomalies(connection) == [("cell-1", "latency_ms", MONDAY + 15 * WINDOW, None)]


def test_the_same_hour_of_past_weeks_is_what_is_normal(connection: psycopg.Connection) -> None:
    """A busy hour is no anomaly where it is busy each week, though the hour before was calm."""
    for week in (1, 2, 3):
        traffic(connection, MONDAY - timedelta(weeks=week), 12, latency=150)
    traffic(connection, MONDAY - 12 * WINDOW, 12, latency=30)
    traffic(connection, MONDAY, 3, latency=150)
    traffic(connection, MONDAY - 12 * WINDOW, 15, cell="new", latency=30)
    begin(connection, MONDAY)
    detect(connection, MONDAY + 3 * WINDOW)
    assert anomalies(connection) == []
    rows = connection.execute(
        "SELECT c.cell_id, b.is_seasonal FROM analytics.baseline AS b"
        " INNER JOIN silver.dim_network_cell AS c USING (cell_key) WHERE b.kpi = 'latency_ms' AND b.hour_at = %s"
        " ORDER BY 1",
        (MONDAY,),
    ).fetchall()
    assert rows == [("cell-1", True), ("new", False)]


def test_a_long_anomaly_does_not_become_normal(connection: psycopg.Connection) -> None:
    traffic(connection, MONDAY, 12)
    traffic(connection, MONDAY + 12 * WINDOW, 40, latency=150)
    begin(connection, MONDAY + 12 * WINDOW)
    detect(connection, MONDAY + 52 * WINDOW)
    assert anomalies(connection) == [("cell-1", "latency_ms", MONDAY + 12 * WINDOW, None)]


def test_little_traffic_is_not_judged(connection: psycopg.Connection) -> None:
    traffic(connection, MONDAY, 12, samples=3, setups=3)
    begin(connection, MONDAY + 12 * WINDOW)
    detect(connection, MONDAY + 15 * WINDOW)
    assert anomalies(connection) == []


def test_windows_are_judged_once_and_in_order_after_a_crash(connection: psycopg.Connection) -> None:
    traffic(connection, MONDAY, 12)
    begin(connection, MONDAY + 12 * WINDOW)
    with connection.transaction(force_rollback=True):
        assert detect(connection, MONDAY + 14 * WINDOW) == (2, 1)
    assert connection.execute("SELECT count(*) FROM ops.outbox").fetchone() == (0,)
    assert detect(connection, MONDAY + 14 * WINDOW) == (2, 1)
    assert detect(connection, MONDAY + 14 * WINDOW) == (0, 0)
    assert connection.execute("SELECT count(*) FROM ops.outbox").fetchone() == (1,)


def test_thresholds_are_rows(connection: psycopg.Connection) -> None:
    traffic(connection, MONDAY, 12)
    connection.execute("UPDATE analytics.kpi SET is_enabled = false WHERE kpi = 'events'")
    begin(connection, MONDAY + 12 * WINDOW)
    detect(connection, MONDAY + 13 * WINDOW)
    assert anomalies(connection) == []
    connection.execute("UPDATE analytics.kpi SET is_enabled = true, severity = 'minor' WHERE kpi = 'events'")
    detect(connection, MONDAY + 14 * WINDOW)
    assert connection.execute("SELECT severity FROM gold.anomaly").fetchall() == [("minor",)]


def test_a_kpi_that_cannot_run_is_refused_when_it_is_written(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.Error, match="kpi latency_ms cannot be used") as caught:
        connection.execute("UPDATE analytics.kpi SET expression = 'w.nothing' WHERE kpi = 'latency_ms'")
    assert caught.value.sqlstate == "TS010"


def offsets(connection: psycopg.Connection, *rows: tuple[int, int, datetime | None]) -> None:
    """Write partitions as (next_offset, log_end, event_at)."""
    connection.execute("DELETE FROM ops.kafka_offset")
    for number, (next_offset, log_end, event_at) in enumerate(rows):
        connection.execute(
            "INSERT INTO ops.kafka_offset (incarnation, topic, partition, next_offset, epoch, owner, log_end, event_at)"
            " VALUES ('i', 't', %s, %s, 1, 'me', %s, %s)",
            (number, next_offset, log_end, event_at),
        )


def stream_time(connection: psycopg.Connection, now: datetime) -> datetime | None:
    row = connection.execute("SELECT analytics.stream_time('i', 't', %s)", (now,)).fetchone()
    assert row is not None
    return row[0]


def test_stream_time_waits_for_the_slowest_partition(connection: psycopg.Connection) -> None:
    """A partition that is behind must not look like cells that are silent."""
    now = MONDAY + timedelta(days=30)
    offsets(connection, (10, 10, MONDAY), (5, 9, MONDAY - timedelta(hours=1)), (0, 0, None))
    assert stream_time(connection, now) == MONDAY - timedelta(hours=1)
    offsets(connection, (10, 10, MONDAY), (9, 9, MONDAY - timedelta(hours=1)), (0, 0, None))
    assert stream_time(connection, now) == MONDAY
    offsets(connection, (10, 10, MONDAY), (0, 9, None))
    assert stream_time(connection, now) is None
    offsets(connection, (5, 10, MONDAY), (0, 9, None))
    assert stream_time(connection, now) is None


def test_a_silent_live_stream_goes_on_by_the_clock(connection: psycopg.Connection) -> None:
    offsets(connection, (10, 10, MONDAY))
    assert stream_time(connection, MONDAY + timedelta(seconds=30)) == MONDAY
    assert stream_time(connection, MONDAY + timedelta(minutes=20)) == MONDAY + timedelta(minutes=19)
    assert stream_time(connection, MONDAY + timedelta(hours=2)) == MONDAY


def test_the_payload_of_an_alert_has_the_fields_of_its_schema(connection: psycopg.Connection) -> None:
    from telestream.consumers.registry import packaged_schema

    traffic(connection, MONDAY, 12)
    begin(connection, MONDAY + 12 * WINDOW)
    detect(connection, MONDAY + 13 * WINDOW)
    [(payload,)] = connection.execute("SELECT payload FROM ops.outbox").fetchall()
    # These are of data quality; an anomaly has their defaults.
    unsaid = {"kind", "dataset", "subject"}
    assert payload.keys() == {field["name"] for field in packaged_schema("alert")["fields"]} - unsaid
    assert payload["value"] == 0
    assert "outage" in payload["message"]
