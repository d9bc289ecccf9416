"""Records go when their time is up: never below a minimum, never under hold, in slices, with bytes freed."""

from __future__ import annotations

import psycopg
import pytest
from command import assert_clear_error, telestream
from staging import cdr, event, refine, refine_customers, refine_events

from telestream.db import retention, rollups


def call(number: int, day: str = "2026-03-01", **changes: object) -> dict[str, object]:
    return cdr(native_key=f"k{number}", started_at=f"{day}T05:00:00Z", answered_at=None, ended_at=None, **changes)


def rule(
    connection: psycopg.Connection, record_class: str, minimum: str | None, maximum: str | None, place: str = "*"
) -> None:
    connection.execute(
        "INSERT INTO ops.retention_rule VALUES (%s, %s, %s, %s, 'test') ON CONFLICT (record_class, jurisdiction)"
        " DO UPDATE SET minimum = excluded.minimum, maximum = excluded.maximum",
        (record_class, place, minimum, maximum),
    )


def count(connection: psycopg.Connection, table: str) -> int:
    return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


@pytest.fixture
def aged(connection: psycopg.Connection, database: str) -> psycopg.Connection:
    """Two days of CDRs, events, a refused record and a dead letter, all of long ago, and a day of Silver that is new."""
    connection.execute("SELECT setval(pg_get_serial_sequence('ops.batch', 'batch_id'), 50, false)")
    batch_id, *_ = refine(connection, [call(1), call(2, "2026-03-02"), call(3, duration_s=-1, billed_s=-1)])
    refine_events(connection, [event(), event(event_id="bad", event_type="nonsense")])
    connection.execute(
        "INSERT INTO ops.dead_letter (batch_id, incarnation, topic, partition, kafka_offset, reason, detail, received_at,"
        " published_at) VALUES (%s, 'i', 't', 0, 1, 'r', 'd', now() - interval '1 year', now()),"
        " (%s, 'i', 't', 0, 2, 'r', 'd', now() - interval '1 year', NULL)",
        (batch_id, batch_id),
    )
    connection.execute("UPDATE ops.batch SET finished_at = now() - interval '1 year'")
    connection.execute("UPDATE quality.quarantine SET quarantined_at = now() - interval '1 year'")
    connection.execute("SELECT setval(pg_get_serial_sequence('ops.batch', 'batch_id'), 250, false)")
    refine(connection, [call(4, "2026-11-01")])
    rollups.refresh(database)
    return connection


def test_what_is_due_goes_and_frees_its_bytes(aged: psycopg.Connection, database: str) -> None:
    rule(aged, "silver.cdr", None, "200 days")
    rule(aged, "silver.network_event", None, "200 days")
    size = "SELECT hypertable_size('silver.fact_cdr') + hypertable_size('silver.fact_network_event') + coalesce((SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'bronze.cdr'::regclass), 0), pg_database_size(current_database())"
    [before, database_before] = aged.execute(size).fetchone()
    with retention.exclusive(database) as connection:
        pieces = [piece for piece in retention.plan(connection) if piece.held is None]
        assert {piece.record_class for piece in pieces} == {
            "bronze.cdr", "silver.cdr", "silver.network_event", "quarantine", "dead_letter",
        }  # fmt: skip
        freed = {piece.record_class: 0 for piece in pieces}
        for piece in pieces:
            size_freed, held = retention.drop(connection, piece)
            assert held is None
            freed[piece.record_class] += size_freed
    [after, database_after] = aged.execute(size).fetchone()
    assert all(value > 0 for value in freed.values())
    assert before - after == freed["bronze.cdr"] + freed["silver.cdr"] + freed["silver.network_event"]
    assert database_before - database_after >= before - after
    assert count(aged, "bronze.cdr") == 1
    assert count(aged, "silver.fact_cdr") == 1
    assert count(aged, "silver.fact_network_event") == 0
    assert count(aged, "quality.quarantine") == 0
    # What its topic does not have yet stays.
    assert aged.execute("SELECT kafka_offset FROM ops.dead_letter").fetchall() == [(2,)]
    assert aged.execute("SELECT sum(attempts) FROM gold.cell_traffic_1d").fetchone() == (3,)
    assert rollups.check(database) == []


def test_the_scheduled_procedure_does_the_same(aged: psycopg.Connection, database: str) -> None:
    rule(aged, "silver.cdr", None, "200 days")
    aged.execute("SET ROLE telestream_owner")
    aged.execute("CALL ops.enforce_retention()")
    assert count(aged, "bronze.cdr") == 1
    assert count(aged, "silver.fact_cdr") == 1
    assert count(aged, "silver.fact_network_event") == 1
    assert count(aged, "quality.quarantine") == 0
    assert count(aged, "ops.dead_letter") == 1
    assert rollups.check(database) == []


def test_slices_of_rows_are_committed_one_by_one(connection: psycopg.Connection, database: str) -> None:
    batch_id, *_ = refine(connection, [call(1)])
    connection.execute(
        "INSERT INTO quality.quarantine (dataset, batch_id, line, rules, reason, quarantined_at)"
        " SELECT 'cdr', %s, n, ARRAY['encoding'], 'r', now() - interval '1 year' FROM generate_series(1, 25000) AS n",
        (batch_id,),
    )
    slices: list[int] = []
    with retention.exclusive(database) as opened:
        [piece] = [piece for piece in retention.plan(opened) if piece.record_class == "quarantine"]
        assert piece.rows == 25_000
        freed, _ = retention.drop(opened, piece, slices.append)
    assert slices == [10_000, 10_000, 5_000, 0]
    assert freed == pytest.approx(piece.bytes, rel=0.001)
    assert count(connection, "quality.quarantine") == 0


@pytest.mark.parametrize(
    ("columns", "kept"),
    [
        ("dataset, reason) VALUES ('cdr', 'file 7')", {"bronze.cdr", "silver.cdr", "quarantine", "dead_letter"}),
        ("from_at, to_at, reason) VALUES ('2026-03-02', '2026-03-03', 'file 7')", {"bronze.cdr", "silver.cdr", "quarantine", "dead_letter"}),
        ("subscriber_id, reason) SELECT max(caller_id), 'file 7' FROM silver.fact_cdr", {"bronze.cdr", "silver.cdr", "quarantine", "dead_letter", "silver.network_event"}),
        ("dataset, from_at, until, reason) VALUES ('cdr', '2026-01-01', now() - interval '1 hour', 'file 7')", set[str]()),
        ("dataset, from_at, reason) VALUES ('cdr', '2026-12-01', 'file 7')", {"quarantine", "dead_letter"}),
    ],
)  # fmt: skip
def test_a_hold_keeps_what_it_names_and_says_why(
    aged: psycopg.Connection, database: str, columns: str, kept: set[str]
) -> None:
    rule(aged, "silver.cdr", None, "200 days")
    rule(aged, "silver.network_event", None, "200 days")
    aged.execute(f"INSERT INTO ops.legal_hold ({columns}")
    with retention.exclusive(database) as connection:
        held = {piece.record_class: piece.held for piece in retention.plan(connection) if piece.held}
        assert held == dict.fromkeys(kept, "legal hold 1: file 7")
    result = telestream("retention", "run")
    assert result.returncode == 0, result.stdout + result.stderr
    assert ("legal hold 1: file 7" in result.stdout) == bool(kept)
    assert (count(aged, "bronze.cdr") == 4) == ("bronze.cdr" in kept)
    assert (count(aged, "quality.quarantine") > 0) == ("quarantine" in kept)


def test_a_minimum_outlives_a_maximum_of_nobody(aged: psycopg.Connection, database: str) -> None:
    """The strictest of the rules that apply: those of the operator's places and of *, no others."""
    rule(aged, "silver.cdr", None, "200 days")
    assert "2 years" not in telestream("retention", "show").stdout
    aged.execute("UPDATE ops.setting SET value = 'GB, US' WHERE name = 'jurisdiction'")
    for arguments in (("run",), ("run", "--dry-run"), ("show",)):
        assert_clear_error(
            telestream("retention", *arguments),
            "the retention rules of silver.cdr contradict each other", "1 year 6 mons", "200 days", "US: Example",
        )  # fmt: skip
    assert count(aged, "silver.fact_cdr") == 3
    assert count(aged, "bronze.cdr") == 4
    aged.execute("UPDATE ops.setting SET value = 'GB' WHERE name = 'jurisdiction'")
    assert "GB: Example" in telestream("retention", "show").stdout


def test_a_dry_run_drops_nothing(aged: psycopg.Connection) -> None:
    result = telestream("retention", "run", "--dry-run")
    assert result.returncode == 0, result.stderr
    assert "Would be dropped" in result.stdout
    assert "quarantine" in result.stdout
    assert count(aged, "quality.quarantine") == 2
    assert count(aged, "bronze.cdr") == 4


def test_gold_that_waits_for_its_refresh_keeps_its_days(aged: psycopg.Connection, database: str) -> None:
    rule(aged, "silver.cdr", None, "200 days")
    refine(aged, [call(9)])
    with retention.exclusive(database) as connection:
        held = {piece.name: piece.held for piece in retention.plan(connection) if piece.record_class == "silver.cdr"}
    assert held == dict.fromkeys(("2026-03-01", "2026-03-02"), "Gold waits for a refresh: telestream gold refresh")


def test_changes_of_customers_on_their_way_keep_the_days_they_touch(aged: psycopg.Connection, database: str) -> None:
    rule(aged, "silver.cdr", None, "200 days")
    aged.execute(
        "INSERT INTO silver.customer_rekey (subscriber_id, spans, batch_id)"
        " VALUES (1, '{[2026-03-02 12:00+00, 2026-03-02 13:00+00)}', 0)"
    )
    with retention.exclusive(database) as connection:
        held = {piece.name: piece.held for piece in retention.plan(connection) if piece.record_class == "silver.cdr"}
        assert held == {
            "2026-03-01": None,
            "2026-03-02": "changes of customers have not reached it yet: CALL silver.rekey_pending()",
        }
        connection.execute("CALL silver.rekey_pending()")
        assert {piece.held for piece in retention.plan(connection) if piece.record_class == "silver.cdr"} == {None}


def test_where_silver_is_archived_nothing_goes_that_the_archive_does_not_have(
    aged: psycopg.Connection, database: str
) -> None:
    rule(aged, "silver.cdr", None, "200 days")
    aged.execute("INSERT INTO ops.archive_day VALUES ('cdr', '2020-01-01', 't', 'verified', 1, 1, 1)")
    with retention.exclusive(database) as connection:
        held = {piece.name: piece.held for piece in retention.plan(connection) if piece.record_class == "silver.cdr"}
    assert held["2026-03-01"] == "2026-03-01 is not in the archive yet: telestream archive run"


def test_a_reader_of_an_old_day_delays_only_its_drop(aged: psycopg.Connection, database: str) -> None:
    rule(aged, "silver.cdr", None, "200 days")
    with psycopg.connect(database) as reader, retention.exclusive(database) as connection:
        reader.execute("SELECT * FROM silver.fact_cdr WHERE started_at < '2026-03-02'")
        pieces = [piece for piece in retention.plan(connection) if piece.record_class == "silver.cdr"]
        pieces.sort(key=lambda piece: piece.name)
        outcomes = [retention.drop(connection, piece) for piece in pieces]
    assert [held is None for _, held in outcomes] == [False, True]
    assert "lock" in str(outcomes[0][1])
    assert count(aged, "silver.fact_cdr") == 2


def test_holds_are_placed_shown_and_lifted(aged: psycopg.Connection) -> None:
    assert_clear_error(telestream("retention", "hold", "add", "--reason", "x"), "says nothing of what it holds")
    placed = telestream(
        "retention", "hold", "add", "--reason", "file 9", "--dataset", "cdr", "--from", "2026-03-01T00:00Z"
    )
    assert "legal hold 1 is in force" in placed.stdout, placed.stderr
    assert "file 9" in telestream("retention", "show").stdout
    assert telestream("retention", "hold", "lift", "1").returncode == 0
    assert "file 9" not in telestream("retention", "show").stdout
    assert_clear_error(telestream("retention", "hold", "lift", "1"), "no legal hold 1 in force")
    assert count(aged, "ops.legal_hold") == 1


def test_raw_customers_go_too_and_a_hold_on_one_keeps_them(connection: psycopg.Connection, database: str) -> None:
    person = {
        "source_system": "crm",
        "customer_id": "C1",
        "changed_at": "2026-02-01T00:00:00Z",
        "msisdn": "+447911123456",
    }
    connection.execute("SELECT setval(pg_get_serial_sequence('ops.batch', 'batch_id'), 50, false)")
    refine_customers(connection, [person, {**person, "customer_id": "C2", "changed_at": "1066-10-14T00:00:00Z"}])
    connection.execute("UPDATE ops.batch SET finished_at = now() - interval '1 year'")
    connection.execute("UPDATE quality.quarantine SET quarantined_at = now() - interval '1 year'")
    connection.execute("SELECT setval(pg_get_serial_sequence('ops.batch', 'batch_id'), 1250, false)")
    refine_customers(connection, [{**person, "changed_at": "2026-03-01T00:00:00Z", "segment": "vip"}])
    connection.execute(
        "INSERT INTO ops.legal_hold (subscriber_id, reason) SELECT max(subscriber_id), 'file 7' FROM silver.dim_customer"
    )

    def kept() -> tuple[int, int]:
        with retention.exclusive(database) as opened:
            for piece in retention.plan(opened):
                if piece.held is None:
                    retention.drop(opened, piece)
        return count(connection, "bronze.customer"), count(connection, "quality.quarantine")

    assert kept() == (3, 1)
    connection.execute("UPDATE ops.legal_hold SET until = now()")
    assert kept() == (1, 0)
    assert count(connection, "silver.customer_change") == 2
