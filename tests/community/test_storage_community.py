"""On the community edition chunks are compressed by policy, and everything that writes to old days still does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from alembic.script import ScriptDirectory
from doctor_codes import COMMUNITY
from staging import cdr, change, event, refine, refine_customers, refine_events, rekey

from telestream.db import migrate
from telestream.db.doctor import Report, examine
from telestream.db.doctor_findings import findings
from telestream.db.schedule import apply_storage, schedule

pytestmark = pytest.mark.community

DAYS = [datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=n) for n in range(3)]
# Each statement on this build takes long.
PATIENCE = 120


def examined(connection: psycopg.Connection, url: str, role: str = "telestream_admin") -> Report:
    connection.execute(f"SET ROLE {role}" if role != "telestream_admin" else "RESET ROLE")
    try:
        report = examine(connection, url, timeout_s=PATIENCE)
    finally:
        for setting in ("default_transaction_read_only", "statement_timeout", "lock_timeout"):
            connection.execute(f"RESET {setting}")
        connection.execute("RESET ROLE")
    assert report.unknown == {}
    return report


def codes(report: Report) -> set[str]:
    return {item.code for item in findings(report)}


def policies(connection: psycopg.Connection) -> dict[str, tuple[int, str]]:
    rows = connection.execute(
        "SELECT hypertable_name, job_id, config ->> 'compress_after' FROM timescaledb_information.jobs"
        " WHERE proc_name = 'policy_compression'"
    ).fetchall()
    return {table: (job, after) for table, job, after in rows}


def calls(day: datetime, count: int, **changes: object) -> list[dict[str, object]]:
    return [
        cdr(
            native_key=f"{day:%d}-{n}", started_at=day + timedelta(minutes=15 * n), answered_at=None, ended_at=None,
            cell_id=f"234-15-{n % 3}", plan_code=None, **changes,
        )
        for n in range(count)
    ]  # fmt: skip


def checksums(connection: psycopg.Connection) -> list[tuple[int, int]]:
    return [
        connection.execute("SELECT o_rows, o_checksum FROM ops.day_checksum('cdr', %s::date)", (day,)).fetchone()
        for day in DAYS
    ]


def test_compressed_days_take_late_rows_and_changes_and_gold_follows(
    fresh_community_url: str, vault_key_file: str
) -> None:
    assert vault_key_file
    url = fresh_community_url
    migrate.upgrade(url)
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("SET timezone = 'UTC'")
        for day in DAYS:
            refine(connection, calls(day, 48))
        refine(connection, [cdr(native_key="now", started_at=datetime.now(UTC), answered_at=None, ended_at=None)])
        refine_events(connection, [event(event_id=f"e{n}", event_at=DAYS[0]) for n in range(5)])
        rekey(connection)
        # The catalogue lists a job without hypertables, too.
        assert {"POLICY_NOT_APPLIED", "JOB_MISSING"} <= codes(examined(connection, url))

        schedule(connection)
        set_first = policies(connection)
        assert {table: after for table, (_, after) in set_first.items()} == {
            "fact_cdr": "7 days", "fact_network_event": "2 days",
        }  # fmt: skip
        assert "POLICY_NOT_APPLIED" not in codes(examined(connection, url))
        # This build runs no job by itself.
        assert {"NOT_COMPRESSED", "JOB_OVERDUE"} <= codes(examined(connection, url))
        assert codes(examined(connection, url, "telestream_engineer")) & COMMUNITY == {"NOT_COMPRESSED", "JOB_OVERDUE"}

        connection.execute("SET ROLE telestream_owner")
        before = checksums(connection)
        for job, _ in set_first.values():
            connection.execute("CALL public.run_job(%s)", (job,))
        assert checksums(connection) == before
        connection.execute("RESET ROLE")
        report = examined(connection, url)
        assert "NOT_COMPRESSED" not in codes(report)
        fact = next(table for table in report.hypertables if table.table_name == "silver.fact_cdr")
        assert (fact.chunks, fact.compressed_chunks) == (4, 3)
        assert fact.oldest == DAYS[0]
        assert fact.row_count == pytest.approx(145, rel=0.1)

        # Late: 12 new rows among 48 that are known. A limit of the server must not stand in the way.
        connection.execute("SET timescaledb.max_tuples_decompressed_per_dml_transaction = 1")
        assert refine(connection, calls(DAYS[0], 60))[1:] == (12, 48, 0)
        connection.execute("UPDATE silver.dim_service_plan SET is_placeholder = false")
        connection.execute(
            "INSERT INTO silver.dim_service_plan (plan_code, name) VALUES ('basic', 'Basic') ON CONFLICT DO NOTHING"
        )
        assert refine_customers(connection, [change()])[1:] == (1, 0, 0)
        rekey(connection)
        assert connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE customer_key <> 0) FROM silver.fact_cdr"
        ).fetchone() == (157, 157)
        plan = "SELECT plan_code, sum(events)::int FROM gold.revenue_daily WHERE bucket < '2026-04-01' GROUP BY 1"
        assert connection.execute(plan).fetchall() == [("basic", 156)]
        assert connection.execute("SELECT * FROM gold.check_rollups()").fetchall() == []
        connection.execute("SET ROLE telestream_owner")
        assert [rows for rows, _ in checksums(connection)] == [60, 48, 48]
        # What was written lies beside the compressed rows until the job runs again.
        after = checksums(connection)
        connection.execute("CALL public.run_job(%s)", (set_first["fact_cdr"][0],))
        assert checksums(connection) == after
        connection.execute("RESET ROLE")
        assert connection.execute("SELECT * FROM gold.check_rollups()").fetchall() == []

        # Repeating it changes nothing; a change of the row does.
        apply_storage(connection)
        assert policies(connection) == set_first
        connection.execute(
            "UPDATE ops.storage_policy SET compress_after = '9 days' WHERE table_name = 'silver.fact_cdr'"
        )
        connection.execute(
            "UPDATE ops.storage_policy SET compress_after = NULL WHERE table_name = 'silver.fact_network_event'"
        )
        assert ("silver.fact_cdr", "compressed after 9 days") in apply_storage(connection)
        assert {table: after for table, (_, after) in policies(connection).items()} == {"fact_cdr": "9 days"}
    below = ScriptDirectory.from_config(migrate.config()).get_revision("0016").down_revision
    migrate.downgrade(url, str(below))
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        assert policies(connection) == {}
        assert connection.execute("SELECT count(*) FROM silver.fact_cdr").fetchone() == (157,)
