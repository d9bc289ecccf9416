"""A small network for the dashboards: CDRs, network events with an outage, customers of weeks, results of analytics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pyarrow.csv
from command import telestream
from days import refresh
from truth import DAY
from use import add_use, fading_population

from telestream.db import analytics
from telestream.loaders.dimensions import CELLS, PLANS, REGIONS, load_dimension
from telestream.loaders.generate import GenerateSpec, cells, generate_cdr, plans, regions

END = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) + timedelta(days=1)
_FORTNIGHT = timedelta(days=14)


def load(url: str, superuser: psycopg.Connection, folder: Path) -> None:
    """Fill a database at head; what happened in it ends at `END`."""
    spec = GenerateSpec(rows=8_000, day=DAY, cells=10, subscribers=500, duplicates=0.02, late=0.02, bad=0.02)
    for name, table, dimension in (
        ("regions", regions(), REGIONS), ("plans", plans(), PLANS), ("cells", cells(spec), CELLS),
    ):  # fmt: skip
        path = folder / f"{name}.csv"
        pyarrow.csv.write_csv(table, path)
        load_dimension(dimension, path, url)
    file = folder / "cdr.csv"
    generate_cdr(spec, file)
    done = telestream("load", "cdr", file, "--profile", "canonical", TELESTREAM_DATABASE_URL=url)
    assert done.returncode == 0, done.stdout + done.stderr
    with psycopg.connect(url, autocommit=True) as connection:
        # Earlier days lie in other chunks.
        add_use(connection, fading_population(40, 8))
        for start, hours in ((END - _FORTNIGHT, 1), (END - timedelta(hours=7), 7)):
            _radio(connection, start, hours)
        _outage(connection)
        connection.execute("SELECT count(*) FROM quality.check_expectations(now())")
    analytics.run(url, "customer_profile")
    _results(superuser)


def _radio(connection: psycopg.Connection, start: datetime, hours: int) -> None:
    """Put events of six cells into Silver and Gold; the first is silent in the last hour."""
    connection.execute(
        """
        INSERT INTO silver.fact_network_event (
            event_at, event_id, batch_id, source_line, subscriber_id, cell_key, rsrp_dbm, sinr_db, latency_ms,
            throughput_up_kbps, throughput_down_kbps, packet_loss_pct, is_late, event_type, outcome, technology,
            source_system
        )
        SELECT w.at + n * interval '3 seconds', gen_random_uuid(), 1, 1, 0, c.cell_key, s.rsrp, s.sinr, s.latency,
            s.up, s.down, s.loss, false, k.kind, CASE WHEN k.kind <> 'kpi_sample' AND n = 1 THEN 'failure' END,
            c.technology, 'oss'
        FROM (
            SELECT cell_key, coalesce(technology, '4g') AS technology, row_number() OVER (ORDER BY cell_key) AS number
            FROM silver.dim_network_cell WHERE cell_key <> 0 ORDER BY cell_key LIMIT 6
        ) AS c
        CROSS JOIN generate_series(%(start)s, %(end)s, interval '5 minutes') AS w (at)
        CROSS JOIN (VALUES ('kpi_sample'), ('attach'), ('rrc_setup'), ('handover'), ('alarm')) AS k (kind)
        CROSS JOIN generate_series(1, 12) AS n
        LEFT JOIN (VALUES (-80.0, 12.0, 25.0, 900.0, 9000.0, 0.1)) AS s (rsrp, sinr, latency, up, down, loss)
            ON k.kind = 'kpi_sample'
        WHERE c.number > 1 OR w.at < %(silent)s
        """,
        {
            "start": start, "end": start + timedelta(hours=hours, minutes=-5), "silent": END - timedelta(hours=1),
        },
    )  # fmt: skip
    connection.execute(
        "INSERT INTO rollup.pending SELECT 'network_5m', g, 0"
        " FROM generate_series(%s::timestamptz, %s, '5 minutes') AS g",
        (start, start + timedelta(hours=hours, minutes=-5)),
    )
    refresh(connection)


def _outage(connection: psycopg.Connection) -> None:
    connection.execute("UPDATE analytics.detection SET evaluated_to = %s", (END - timedelta(hours=1),))
    connection.execute("SELECT * FROM analytics.detect(%s, 1000)", (END - timedelta(minutes=30),))
    found = connection.execute("SELECT kpi, is_open FROM gold.anomaly").fetchall()
    assert ("events", True) in found, found


def _results(superuser: psycopg.Connection) -> None:
    """Put results of analytics that need more data than this into their tables."""
    for statement in (
        "UPDATE silver.dim_network_cell SET capacity_erlangs = 5 WHERE cell_key <> 0",
        "INSERT INTO analytics.forecast (first_day, horizon, history_from, model, finished_at, cells)"
        f" VALUES ('{END:%Y-%m-%d}', 1, '2025-12-01', 'test', now(), 1)",
        "INSERT INTO analytics.capacity_forecast SELECT max(f.forecast_id), max(c.cell_key), 'erlangs',"
        " max(f.first_day), 1, 'model', 6, 5, 7, 4, 8 FROM analytics.forecast AS f, silver.dim_network_cell AS c",
        "INSERT INTO analytics.cell_drift SELECT '2026-02-23', max(c.cell_key), 0.5, 0.1, 100, 400, 4, now()"
        " FROM silver.dim_network_cell AS c",
        "INSERT INTO analytics.fraud_case (rule, subscriber_id, severity, score, started_at, last_seen_at)"
        f" SELECT r.rule, 1, 'major', 50, '{DAY} 12:00Z', '{DAY} 13:00Z' FROM analytics.fraud_rule AS r",
        "INSERT INTO analytics.churn_model (first_week, last_week, horizon_weeks, customers, churned, features, means,"
        " scales, coefficients, steps, held_customers, auc_held, later_customers) VALUES ('2026-01-05', '2026-02-02', 4,"
        " 30, 10, '{recency}', '{1}', '{1}', '{0,1}', 5, 10, 0.9, 0)",
        "INSERT INTO analytics.churn_score SELECT '2026-02-23', 1, m.version, 0.8, '{0.1}'"
        " FROM analytics.churn_model AS m",
        "INSERT INTO quality.incident (dataset, rule, subject, severity, started_at, failed_at, message)"
        " VALUES ('cdr', 'daily_volume', '', 'major', now() - interval '1 hour', now(), 'test')",
    ):
        superuser.execute(statement)
