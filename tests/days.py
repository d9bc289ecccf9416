"""Days of CDRs put straight into Silver, with their batch, marks and watermark, for tests of expectations."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta

import psycopg

WEEK = timedelta(days=7)
PLANS = (40, 30, 20, 10)


def instant(day: date, hour: int = 0, minute: int = 0) -> datetime:
    """Return a time of a day in UTC."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


def prepare(connection: psycopg.Connection) -> None:
    """Make cells and plans that are known, and let the shipped rules judge the small amounts of tests."""
    connection.execute(
        "INSERT INTO silver.dim_network_cell (cell_id, name, is_placeholder)"
        " SELECT 'cell-' || n, 'c', n = 4 FROM generate_series(1, 4) AS n"
    )
    connection.execute(
        "INSERT INTO silver.dim_service_plan (plan_code, name) SELECT 'plan-' || n, 'p' FROM generate_series(1, 4) AS n"
    )
    connection.execute("UPDATE quality.expectation SET min_support = 50 WHERE min_support > 0")
    connection.execute("UPDATE quality.rule SET is_enabled = true WHERE rule = 'unknown_customers'")


def load_day(
    connection: psycopg.Connection,
    day: date,
    rows: int,
    *,
    cell: str = "cell-1",
    plans: tuple[int, ...] = PLANS,
    source: str = "msc-01",
) -> None:
    """Put CDRs into two hours of a day: all of one cell, their plans in these per cents. Gold is left marked."""
    start = instant(day, 10)
    bounds = [sum(plans[:number]) for number in range(len(plans))]
    (batch_id,) = connection.execute(
        "INSERT INTO ops.batch (dataset, source_kind, rows_in, rows_loaded, min_event_at, max_event_at, status,"
        " code_version, finished_at) VALUES ('cdr', 'kafka', %(rows)s, %(rows)s, %(start)s::timestamptz,"
        " %(start)s::timestamptz + interval '2 hours', 'done', 'test', clock_timestamp()) RETURNING batch_id",
        {"rows": rows, "start": start},
    ).fetchone()  # type: ignore[misc]
    connection.execute(
        "INSERT INTO silver.fact_cdr (started_at, cdr_id, batch_id, source_line, subscriber_id, caller_id, called_id,"
        " cell_key, region_key, plan_key, is_roaming, source_system, record_type, direction, disposition, duration_s)"
        " SELECT %(start)s::timestamptz + n * interval '2 hours' / %(rows)s, gen_random_uuid(), %(batch)s, n, 0, 0, 0,"
        " c.cell_key, 0, p.plan_key, false, %(source)s, CASE WHEN n %% 4 = 0 THEN 'sms' ELSE 'voice' END, 'mo',"
        " 'answered', 60 FROM generate_series(0, %(rows)s - 1) AS n"
        " INNER JOIN silver.dim_network_cell AS c ON c.cell_id = %(cell)s INNER JOIN silver.dim_service_plan AS p"
        " ON p.plan_code = 'plan-' || width_bucket(n * 37 %% 100, %(bounds)s::int[])",
        {"start": start, "rows": rows, "batch": batch_id, "source": source, "cell": cell, "bounds": bounds},
    )
    connection.execute(
        "SELECT rollup._mark('silver.fact_cdr', array_agg(g), %s)"
        " FROM generate_series(%s::timestamptz, %s::timestamptz, '5 minutes') AS g",
        (batch_id, start, instant(day, 11, 55)),
    )
    connection.execute(
        "INSERT INTO ops.watermark AS w (dataset, source, event_at) VALUES ('cdr', %s, %s)"
        " ON CONFLICT (dataset, source) DO UPDATE SET event_at = greatest(w.event_at, excluded.event_at)",
        (source, instant(day, 11, 59)),
    )


def load_weeks(connection: psycopg.Connection, until: date, weeks: int) -> None:
    """Put weeks of usual days before `until` into Silver and Gold, an hour ago: quiet weekends, some noise."""
    noise = random.Random(7)
    for back in range(7 * weeks, 0, -1):
        day = until - timedelta(days=back)
        load_day(connection, day, int((60 if day.isoweekday() > 5 else 100) * noise.uniform(0.8, 1.25)))
    connection.execute("UPDATE ops.batch SET finished_at = finished_at - interval '1 hour'")
    refresh(connection)


def refresh(connection: psycopg.Connection) -> None:
    """Bring Gold up to date."""
    connection.execute("SET ROLE telestream_owner")
    connection.execute("CALL rollup.refresh_pending()")
    connection.execute("RESET ROLE")
