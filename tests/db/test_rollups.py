"""Gold equals Silver: after loads, late rows and replays, and the check finds what does not."""

from __future__ import annotations

import re

import psycopg
import pytest
from staging import cdr, refine

from telestream.db import rollups


def calls(day: str, count: int = 20, **changes: object) -> list[dict[str, object]]:
    return [
        cdr(
            native_key=f"{day}-{n}-{changes}",
            started_at=f"{day}T{n % 24:02d}:{n * 7 % 60:02d}:00Z",
            answered_at=None,
            ended_at=None,
            cell_id=f"234-15-{n % 3}",
            disposition=("answered", "busy", "failed", "dropped", "no_answer")[n % 5],
            **changes,
        )
        for n in range(count)
    ]


def test_gold_equals_silver_after_loads_late_rows_and_duplicates(connection: psycopg.Connection, database: str) -> None:
    refine(connection, calls("2026-03-01"))
    rollups.refresh(database)
    assert rollups.check(database) == []
    refine(connection, calls("2026-02-27") + calls("2026-03-01", bytes_up=9) + calls("2026-03-01"))
    assert rollups.refresh(database) > 0
    assert rollups.check(database) == []
    assert connection.execute("SELECT sum(attempts) FROM gold.cell_traffic_1d").fetchone() == (60,)
    assert connection.execute("SELECT sum(attempts) FROM gold.cell_traffic_1h").fetchone() == (60,)
    assert connection.execute("SELECT sum(events) FROM gold.fact_customer_usage_daily").fetchone() == (60,)
    assert connection.execute("SELECT sum(revenue) FROM gold.revenue_daily").fetchone() == (15,)


def test_exactly_the_touched_buckets_are_marked(connection: psycopg.Connection, database: str) -> None:
    refine(connection, calls("2026-03-01"))
    rollups.refresh(database)
    assert connection.execute("SELECT count(*) FROM rollup.pending").fetchone() == (0,)
    refine(
        connection,
        [cdr(native_key="late", started_at="2026-03-01T03:02:00Z", answered_at=None, ended_at=None)],
    )
    marked = connection.execute("SELECT rollup_name, bucket::text FROM rollup.pending ORDER BY 1").fetchall()
    connection.execute("SET timezone = 'UTC'")
    assert [(rollup, bucket[:16]) for rollup, bucket in marked] == [
        ("cell_traffic_5m", "2026-03-01 03:00"),
        ("customer_usage_1d", "2026-03-01 00:00"),
        ("revenue_1d", "2026-03-01 00:00"),
    ]


def test_the_newest_rows_are_visible_before_a_refresh(connection: psycopg.Connection, database: str) -> None:
    refine(connection, calls("2026-03-01"))
    rollups.refresh(database)
    refine(connection, calls("2026-03-02"))
    for view, column in (
        ("cell_traffic_1h", "attempts"),
        ("cell_traffic_1d", "attempts"),
        ("revenue_daily", "events"),
    ):
        assert connection.execute(f"SELECT sum({column}) FROM gold.{view}").fetchone() == (40,), view


def test_the_check_reports_a_difference(connection: psycopg.Connection, database: str) -> None:
    refine(connection, calls("2026-03-01"))
    rollups.refresh(database)
    connection.execute("SET ROLE telestream_owner")
    connection.execute("UPDATE rollup.revenue_1d_v1 SET events = events + 1 WHERE record_type = 'voice'")
    found = rollups.check(database)
    assert {difference.rollup for difference in found} == {"revenue_1d"}
    assert {difference.problem for difference in found} == {"not in Silver", "missing in Gold"}


def test_a_replay_reaches_gold(connection: psycopg.Connection, database: str, vault_key_file: str) -> None:
    refine(connection, [cdr(native_key="k2", duration_s=4000, billed_s=0)])
    rollups.refresh(database)
    connection.execute("UPDATE quality.rule SET is_enabled = false WHERE rule = 'duration_disagrees'")
    connection.execute("SELECT set_config('telestream.vault_key', %s, false)", (vault_key_file,))
    connection.execute("SELECT * FROM quality.replay()")
    rollups.refresh(database)
    assert connection.execute("SELECT sum(attempts) FROM gold.cell_traffic_1d").fetchone() == (1,)
    assert rollups.check(database) == []


def test_kpis_follow_their_definitions(connection: psycopg.Connection, database: str) -> None:
    outcomes = ["answered"] * 5 + ["dropped"] + ["busy"] * 2 + ["no_answer", "failed"]
    refine(
        connection,
        [
            cdr(
                native_key=f"k{n}",
                disposition=outcome,
                billed_s=60 if outcome in {"answered", "dropped"} else 0,
            )
            for n, outcome in enumerate(outcomes)
        ],
    )
    rollups.refresh(database)
    row = connection.execute(
        "SELECT attempts, answered, asr, acd, ner, drop_rate, erlangs FROM gold.network_kpi_hourly"
    ).fetchone()
    assert row is not None
    assert [float(value) for value in row] == [10, 6, 60, 60, 90, 16.67, 0.1]


@pytest.mark.parametrize(
    ("view", "store"),
    [("cell_traffic_1h", "cell_traffic_1h_v1"), ("fact_customer_usage_daily", "customer_usage_1d_v1")],
)
def test_hot_gold_queries_read_few_chunks(
    connection: psycopg.Connection, superuser: psycopg.Connection, database: str, view: str, store: str
) -> None:
    for day in ("2026-01-01", "2026-01-20", "2026-02-10", "2026-03-01"):
        refine(connection, calls(day))
    rollups.refresh(database)
    chunks = connection.execute("SELECT count(*) FROM public.show_chunks(%s)", (f"rollup.{store}",)).fetchone()
    assert chunks is not None
    assert chunks[0] >= 4
    plan = "\n".join(
        line
        for (line,) in superuser.execute(
            f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT * FROM gold.{view}"
            " WHERE bucket >= '2026-02-10 00:00+00' AND bucket < '2026-02-11 00:00+00'"
        ).fetchall()
    )
    read = {
        chunk
        for line in plan.splitlines()
        if "never executed" not in line
        for chunk in re.findall(r" on (_hyper_\d+_\d+_chunk)\b", line)
    }
    # One chunk of the rollup, and for an hourly one the newest of its source, where a live tail would be.
    assert 1 <= len(read) <= 2, plan
