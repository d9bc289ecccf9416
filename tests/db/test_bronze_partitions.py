"""Bronze is partitioned by batch: made ahead, made on demand, and dropped whole when expired."""

from __future__ import annotations

import psycopg
from staging import cdr, refine


def partitions(connection: psycopg.Connection) -> set[str]:
    rows = connection.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'bronze.cdr'::regclass"
    ).fetchall()
    return {name for (name,) in rows}


def advance(connection: psycopg.Connection, batch_id: int) -> None:
    connection.execute("SELECT setval(pg_get_serial_sequence('ops.batch', 'batch_id'), %s, false)", (batch_id,))


def test_a_batch_beyond_the_premade_partitions_gets_its_own(connection: psycopg.Connection) -> None:
    advance(connection, 1234)
    batch_id, loaded, *_ = refine(connection, [cdr()])
    assert (batch_id, loaded) == (1234, 1)
    assert connection.execute("SELECT tableoid::regclass::text FROM bronze.cdr").fetchall() == [("bronze.cdr_p1200",)]
    assert connection.execute("SELECT count(*) FROM bronze.cdr_default").fetchone() == (0,)


def test_maintenance_premakes_and_drops_what_has_expired(connection: psycopg.Connection) -> None:
    for number, start in enumerate((50, 150, 250)):
        advance(connection, start)
        refine(connection, [cdr(native_key=f"k{number}")])
    connection.execute("SET ROLE telestream_owner")
    connection.execute("UPDATE ops.batch SET finished_at = now() - interval '30 days' WHERE batch_id < 200")
    size = "SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0) FROM pg_inherits WHERE inhparent = 'bronze.cdr'::regclass AND inhrelid::regclass::text IN ('bronze.cdr_p0', 'bronze.cdr_p100')"
    before = connection.execute(size).fetchone()
    assert before is not None
    assert before[0] > 0
    connection.execute("SELECT * FROM ops.maintain()")
    connection.execute("RESET ROLE")
    left = partitions(connection)
    assert connection.execute(size).fetchone() == (0,)
    assert "bronze.cdr_p200" in left
    assert "bronze.cdr_p600" in left
    assert connection.execute("SELECT batch_id FROM bronze.cdr").fetchall() == [(250,)]
    assert connection.execute("SELECT count(*) FROM silver.fact_cdr").fetchone() == (3,)


def test_readers_cannot_reach_a_partition_made_later(connection: psycopg.Connection) -> None:
    advance(connection, 1234)
    refine(connection, [cdr()])
    assert connection.execute(
        "SELECT has_table_privilege('telestream_analyst', 'bronze.cdr_p1200', 'SELECT'),"
        " has_table_privilege('telestream_privacy', 'bronze.cdr', 'SELECT')"
    ).fetchone() == (False, True)
