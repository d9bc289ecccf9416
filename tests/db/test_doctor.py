"""`telestream doctor` finds what is wrong, made wrong here, and says nothing of a database that is well."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import doctor_codes
import psycopg
import pytest
import typer
from command import ROOT, telestream
from fix_db import url_of
from psycopg.conninfo import conninfo_to_dict
from staging import cdr, event, refine, refine_events
from typer.testing import CliRunner, Result

from telestream import cli
from telestream.db import migrate
from telestream.db.doctor import Disk, Report, examine
from telestream.db.doctor_findings import Finding, Level, findings
from telestream.db.schedule import schedule
from telestream.db.users import add_user
from telestream.stack.database import prepare_database

NOW = datetime.now(UTC)
# What a server that was given may have of its own.
GIVEN = (
    {"EXTENSION_VERSION", "NO_PGAUDIT", "SETTING_HURTS"}
    if os.environ.get("TELESTREAM_TEST_DATABASE_URL")
    else set[str]()
)
OLD = NOW - timedelta(days=200)


def seen(url: str, **options: float) -> Report:
    with psycopg.connect(url, autocommit=True) as connection:
        return examine(connection, url, **options)


def found(url: str) -> dict[str, Finding]:
    """Return the findings by code, the worst of each."""
    return {finding.code: finding for finding in reversed(findings(seen(url)))}


def codes(report: Report) -> set[str]:
    return {finding.code for finding in findings(report)}


def run(*arguments: str) -> Result:
    """Run a command in this process: a process of its own takes seconds to start."""
    return CliRunner().invoke(registered(), list(arguments))


def registered() -> typer.Typer:
    if not cli.app.registered_groups:
        cli._register()
    return cli.app


@pytest.fixture
def reader(superuser: psycopg.Connection) -> Iterator[str]:
    superuser.execute("DROP ROLE IF EXISTS test_doctor_reader")
    superuser.execute("CREATE ROLE test_doctor_reader LOGIN IN ROLE telestream_analyst")
    yield "test_doctor_reader"
    superuser.execute("DROP ROLE test_doctor_reader")


def test_a_new_database_lacks_a_scheduler_alone(connection: psycopg.Connection, database: str) -> None:
    report = seen(database)
    assert codes(report) - GIVEN == {"NO_SCHEDULER"}
    assert report.unknown == {}
    assert len(report.hypertables) == 12
    assert run("doctor").exit_code == 0
    assert run("doctor", "--strict").exit_code == 1


def test_what_is_wrong_is_found(
    connection: psycopg.Connection, superuser: psycopg.Connection, database: str, superuser_url: str, reader: str
) -> None:
    make_wrong(connection, superuser, str(conninfo_to_dict(database)["dbname"]))
    worst = found(database)
    assert set(worst) - GIVEN == doctor_codes.BROKEN - GIVEN
    assert {code for code, finding in worst.items() if finding.level is Level.ERROR} == {
        "DEFAULT_PARTITION_FILLED", "PARTITION_MISSING", "RETENTION_OVERDUE",
    }  # fmt: skip
    assert worst["GENERIC_PLANS"].about == reader
    assert worst["RETENTION_OVERDUE"].about == "quarantine"
    report = seen(database)
    assert {item.about for item in findings(report) if item.code == "SETTING_HURTS"} == {"jit", "TimeZone", "work_mem"}

    events = next(table for table in report.hypertables if table.table_name == "silver.fact_network_event")
    assert events.row_count == pytest.approx(30_001, rel=0.2)
    assert events.bytes_per_row == pytest.approx(events.bytes / events.row_count)
    assert events.oldest is not None
    assert abs(events.oldest - OLD) < timedelta(seconds=1)
    # Less than a day of data counts as a day.
    assert events.rows_per_day == pytest.approx(30_001, rel=0.2)
    assert events.bytes_per_day == pytest.approx(events.bytes, rel=0.01)

    # An engineer sees the same; the command is a check.
    password = add_user(connection, "test_doctor_engineer", "engineer", None)
    try:
        url = url_of(superuser_url, str(conninfo_to_dict(database)["dbname"]), "test_doctor_engineer", password)
        result = telestream("doctor", "--json", TELESTREAM_DATABASE_URL=url)
    finally:
        superuser.execute("DROP ROLE test_doctor_engineer")
    assert result.returncode == 1, result.stderr
    document = json.loads(result.stdout)
    assert {item["code"] for item in document["findings"]} == set(worst)
    assert document["unknown"] == {}
    assert "test_doctor_reader" in result.stdout
    shown = run("doctor").stdout
    for text in ("fact_network_event", "bronze.cdr", "alerts to send", "DEFAULT_PARTITION_FILLED"):
        assert text in shown

    held_and_contradicted(connection)
    worst = found(database)
    assert set(worst) - doctor_codes.BROKEN - GIVEN == doctor_codes.HELD
    assert "RETENTION_OVERDUE" not in worst
    assert worst["RETENTION_CONTRADICTS"].level is Level.ERROR


def make_wrong(connection: psycopg.Connection, superuser: psycopg.Connection, name: str) -> None:
    refine(connection, [cdr(started_at=NOW + timedelta(hours=2), answered_at=None, ended_at=None)])
    refine(connection, [cdr(started_at=OLD, answered_at=None, ended_at=None), cdr(native_key="")])
    refine_events(connection, [event(event_at=OLD)])
    (batch,) = connection.execute("SELECT max(batch_id) FROM ops.batch").fetchone() or (0,)
    connection.execute(
        "UPDATE ops.batch SET finished_at = now() - interval '2 days' WHERE dataset = 'cdr'",
    )
    connection.execute("UPDATE quality.quarantine SET quarantined_at = now() - interval '1 year'")
    connection.execute("SET ROLE telestream_owner")
    [(chunk,)] = connection.execute(
        "SELECT c::text FROM public.show_chunks('silver.fact_network_event') AS c"
    ).fetchall()
    connection.execute(f"ALTER TABLE {chunk} SET (autovacuum_enabled = false)")
    connection.execute(
        "INSERT INTO silver.fact_network_event (event_at, event_id, batch_id, source_line, subscriber_id, cell_key,"
        " is_late, event_type, technology, source_system, cause)"
        # All in the chunk of the first: within its six hours.
        " SELECT %s + n * interval '1 microsecond', gen_random_uuid(), %s, n, 0, 0, false, 'other', '4g', 'x',"
        " repeat('y', 60) FROM generate_series(1, 30000) AS n",
        (OLD, batch),
    )
    [(chunk,)] = connection.execute(
        "SELECT c::text FROM public.show_chunks('silver.fact_cdr', older_than => now() - interval '1 day') AS c"
    ).fetchall()
    connection.execute(f"ALTER TABLE {chunk} SET (autovacuum_enabled = false)")
    connection.execute(
        "INSERT INTO silver.fact_cdr (cdr_id, started_at, batch_id, source_line, subscriber_id, caller_id, called_id,"
        " cell_key, region_key, plan_key, source_system, record_type, cause)"
        " SELECT gen_random_uuid(), %s + n * interval '1 microsecond', 1, n, 0, 0, 0, 0, 0, 0, 'x', 'voice',"
        " repeat('y', 200) FROM generate_series(1, 25000) AS n",
        (OLD,),
    )
    for number in range(2):
        connection.execute(f"CREATE INDEX too_many_{number} ON silver.fact_network_event (event_id, cause)")
    connection.execute("INSERT INTO bronze.customer (batch_id, line) VALUES (99000000, 1)")
    connection.execute(
        "INSERT INTO silver.customer_rekey (subscriber_id, spans, batch_id) SELECT 1, '{[2000-01-01,2000-01-02)}',"
        " min(batch_id) FROM ops.batch WHERE dataset = 'cdr'"
    )
    connection.execute(
        "INSERT INTO ops.outbox (alert_id, topic, key, payload, created_at)"
        " VALUES (gen_random_uuid(), 't', 'k', '{}', now() - interval '1 hour')"
    )
    connection.execute(
        "INSERT INTO ops.dead_letter (batch_id, incarnation, topic, partition, kafka_offset, reason, detail, received_at)"
        " VALUES (%s, 'i', 't', 0, 1, 'unknown_schema', 'x', now() - interval '1 hour')",
        (batch,),
    )
    connection.execute(
        "INSERT INTO audit.access_inbox (at, principal, role, operation, field, variables_sha256, object_ids,"
        " rows_read, request_id) VALUES (now() - interval '1 hour', 'key:1', 'api', 'q', 'cdrs', '', '{}', 1, 'r')"
    )
    connection.execute(
        "INSERT INTO ops.archive_day (dataset, day, target, state, rows, checksum, table_version, written_at)"
        " VALUES ('network_event', %s, 'file:///x', 'written', 1, 1, 1, now() - interval '2 days')",
        (OLD.date() - timedelta(days=5),),
    )
    connection.execute(
        "UPDATE ops.horizon SET kept_from = now() - interval '100 days', raised_at = now() - interval '2 days'"
        " WHERE dataset = 'network_event'"
    )
    for (partition,) in connection.execute(
        "SELECT k.oid::regclass::text FROM pg_inherits AS i INNER JOIN pg_class AS k ON i.inhrelid = k.oid"
        " WHERE i.inhparent = 'audit.access_log'::regclass"
    ).fetchall():
        connection.execute(f"DROP TABLE {partition}")
    connection.execute(
        "CREATE TABLE audit.access_log_past PARTITION OF audit.access_log FOR VALUES FROM ('2020-01-01') TO ('2020-02-01')"
    )
    connection.execute("RESET ROLE")
    for setting in ("jit = on", "timezone = 'Europe/London'", "work_mem = '1MB'"):
        superuser.execute(f'ALTER DATABASE "{name}" SET {setting}')


def held_and_contradicted(connection: psycopg.Connection) -> None:
    connection.execute("INSERT INTO ops.legal_hold (dataset, reason) VALUES ('cdr', 'file 7')")
    connection.execute(
        "INSERT INTO ops.retention_rule (record_class, minimum, maximum, source) VALUES ('silver.cdr', '2 years', '1 year', 'x')"
    )


def test_what_a_test_cannot_make_of_a_server(database: str) -> None:
    report = seen(database)
    assert report.server is not None
    before = codes(report)

    def new(**server: object) -> set[str]:
        assert report.server is not None
        return codes(dataclasses.replace(report, server=dataclasses.replace(report.server, **server))) - before

    assert new(timescaledb="2.30.0") == {"EXTENSION_VERSION"}
    assert new(timescaledb="2.18.2") == {"EXTENSION_VERSION"}
    assert new(timescaledb="2.29.2") == set()
    assert new(has_pgaudit=False) == {"NO_PGAUDIT"}
    many = dataclasses.replace(report.hypertables[0], chunks=20_000)
    assert codes(dataclasses.replace(report, hypertables=[many])) - before == {"TOO_FEW_LOCKS"}
    one = dataclasses.replace(report.hypertables[0], compressed_chunks=1)
    packed = dataclasses.replace(
        report, hypertables=[one], server=dataclasses.replace(report.server, timescaledb="2.29.1")
    )
    assert codes(packed) - before == {"EXTENSION_VERSION"}
    for free, level in ((10, Level.WARNING), (3, Level.ERROR)):
        full = dataclasses.replace(report, disk=Disk(total_bytes=100, free_bytes=free))
        assert [item.level for item in findings(full) if item.code == "DISK_NEARLY_FULL"] == [level]


def test_what_is_locked_is_left_out_and_named(connection: psycopg.Connection, database: str) -> None:
    connection.execute("SET ROLE telestream_owner")
    with connection.transaction():
        connection.execute("LOCK TABLE ops.legal_hold IN ACCESS EXCLUSIVE MODE")
        report = seen(database)
    assert report.unknown == {"backlog": "it took too long"}
    assert len(report.hypertables) == 12
    [finding] = [item for item in findings(report) if item.code == "NOT_EXAMINED"]
    assert finding.level is Level.WARNING


def test_jobs_of_pg_cron(request: pytest.FixtureRequest) -> None:
    if os.environ.get("TELESTREAM_TEST_DATABASE_URL"):
        pytest.skip("pg_cron lives in one database of a server, and that one is not ours")
    stack = request.getfixturevalue("stack")
    url = stack.database_url
    prepare_database(stack.superuser_url, "telestream", "telestream_admin")
    migrate.upgrade(url)
    root = psycopg.conninfo.make_conninfo(stack.superuser_url, dbname="telestream")
    with psycopg.connect(url, autocommit=True) as connection, psycopg.connect(root, autocommit=True) as superuser:
        try:
            # In one transaction: pg_cron itself must not run them meanwhile.
            with superuser.transaction():
                superuser.execute("SET SESSION AUTHORIZATION telestream_admin")
                schedule(superuser)
                superuser.execute("RESET SESSION AUTHORIZATION")
                superuser.execute("UPDATE cron.job SET schedule = '0 0 30 2 *' WHERE jobname <> 'telestream refresh'")
                superuser.execute("UPDATE cron.job SET schedule = '* 0 30 2 *' WHERE jobname = 'telestream refresh'")
                superuser.execute("DELETE FROM cron.job_run_details")
            assert "JOB_MISSING" not in found(url)
            superuser.execute(
                "INSERT INTO cron.job_run_details (jobid, runid, status, start_time, username)"
                " SELECT jobid, 100000 + jobid, 'failed', now() - interval '1 minute', username FROM cron.job"
                " WHERE jobname = 'telestream seal'"
            )
            connection.execute("SELECT cron.unschedule('telestream maintain')")
            worst = found(url)
            assert doctor_codes.CRON - {"NOT_EXAMINED"} <= set(worst)
            assert worst["JOB_FAILED"].about == "telestream seal"
            assert worst["JOB_OVERDUE"].about == "telestream refresh"
            assert "telestream maintain" in worst["JOB_MISSING"].what
            # Whoever may not see the jobs is told so.
            superuser.execute("SET SESSION AUTHORIZATION telestream_engineer")
            blind = examine(superuser, url)
            assert blind.unknown == {"jobs": "this login may not see it"}
            assert [item.level for item in findings(blind) if item.code == "NOT_EXAMINED"] == [Level.INFO]
            superuser.execute("RESET SESSION AUTHORIZATION")
        finally:
            for (name,) in connection.execute("SELECT jobname FROM cron.job").fetchall():
                connection.execute("SELECT cron.unschedule(%s)", (name,))


def test_the_page_lists_exactly_the_codes() -> None:
    listed = re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "doctor.md").read_text(), re.MULTILINE)
    source = (ROOT / "db" / "doctor_findings.py").read_text()
    assert listed == sorted(listed)
    assert set(listed) == set(re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', source)) == doctor_codes.ALL


def test_a_policy_that_cannot_be_used_is_refused(connection: psycopg.Connection) -> None:
    for change, detail in (
        ("compress_after = '30 minutes'", "late"),
        ("order_by = 'nothing'", "name its columns"),
        ("order_by = 'started_at; DROP TABLE x'", "name its columns"),
        ("segment_by = '{started_at}'", "both"),
        ("table_name = 'silver.fact_x'", "no fact"),
        ("table_name = 'rollup.revenue_2d', data_class = 'rollup'", "no rollup"),
        ("table_name = 'rollup.revenue_1d', data_class = 'rollup', order_by = 'bucket'", "only facts"),
    ):
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(f"UPDATE ops.storage_policy SET {change} WHERE table_name = 'silver.fact_cdr'")
        assert caught.value.sqlstate == "TS043"
        assert detail in (caught.value.diag.message_detail or "")
    connection.execute(
        "UPDATE ops.storage_policy SET segment_by = '{cell_key}', order_by = 'started_at DESC NULLS LAST, cdr_id'"
        " WHERE table_name = 'silver.fact_cdr'"
    )
    # What TimescaleDB would answer wrongly by.
    connection.execute("SET ROLE telestream_owner")
    connection.execute("ALTER TABLE silver.fact_cdr ADD COLUMN lag interval, ADD COLUMN kind smallint")
    for prepare, change, detail in (
        ("SELECT", "order_by = 'lag, started_at'", "interval"),
        ("CREATE INDEX ON silver.fact_cdr (kind)", "reason = 'x'", "smallint"),
    ):
        connection.execute(prepare)
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(f"UPDATE ops.storage_policy SET {change} WHERE table_name = 'silver.fact_cdr'")
        assert detail in (caught.value.diag.message_detail or "")


def test_the_commands_say_that_this_edition_does_not_compress(connection: psycopg.Connection) -> None:
    assert "compresses nothing" in run("storage", "show").stdout
    applied = run("storage", "apply")
    assert applied.exit_code == 0, applied.output
    assert "the Apache edition cannot" in applied.stdout
