"""The rules against fraud find the same on both editions, compressed facts included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from fraud_calls import find, ring, sim_box, steps_between
from staging import refine

from telestream.db import migrate

pytestmark = pytest.mark.community

START = datetime(2026, 3, 10, 20, 0, tzinfo=UTC)


def run(url: str, *, compress: bool) -> dict[str, Any]:
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("SET timezone = 'UTC'")
        refine(connection, sim_box("+447800000001", START, 110))
        refine(connection, ring("+2321000001", START, 45, callbacks=4))
        refine(connection, steps_between("+447800000005", START, "234-15-8", "234-15-9", 8))
        connection.execute("SET ROLE telestream_owner")
        connection.execute(
            "UPDATE silver.dim_network_cell SET latitude = 3 * cell_key, longitude = 0 WHERE cell_key <> 0"
        )
        connection.execute("CALL rollup.refresh_pending()")
        if compress:
            connection.execute("ALTER TABLE silver.fact_cdr SET (timescaledb.compress)")
            connection.execute("SELECT public.compress_chunk(c) FROM public.show_chunks('silver.fact_cdr') AS c")
        connection.execute("RESET ROLE")
        found: dict[str, Any] = {"first": find(connection)}
        refine(connection, sim_box("+447800000001", START - timedelta(hours=5), 20))
        found["grown"] = [find(connection), find(connection)]
        found["evidence"] = connection.execute(
            "SELECT c.rule, c.started_at, c.last_seen_at, c.score, c.is_open, e.measure, e.seen, e.threshold, e.peer,"
            " e.explanation FROM gold.fraud_case AS c INNER JOIN gold.fraud_evidence AS e USING (case_id)"
            " ORDER BY c.rule, e.position"
        ).fetchall()
        # What has been closed for longer than the history goes, with its evidence.
        for setting, value in (("fraud_horizon", "500 days"), ("fraud_history", "1000 days")):
            connection.execute("UPDATE ops.setting SET value = %s WHERE name = %s", (value, setting))
        for number, days in ((6, 402), (7, 398)):
            refine(connection, sim_box(f"+44780000000{number}", START - timedelta(days=days), 110))
        found["long ago"] = find(connection)
        connection.execute("UPDATE analytics.fraud_case SET closed_at = last_seen_at WHERE closed_at IS NOT NULL")
        connection.execute("UPDATE ops.setting SET value = '400 days' WHERE name = 'fraud_history'")
        found["expired"] = find(connection)
        found["kept"] = connection.execute(
            "SELECT c.started_at, count(*) FROM analytics.fraud_case AS c INNER JOIN analytics.fraud_evidence AS e"
            " USING (case_id) GROUP BY c.started_at ORDER BY c.started_at"
        ).fetchall()
        [(first_seen,)] = connection.execute("SELECT count(*) FROM analytics.fraud_first_seen").fetchall()
        connection.execute("SET ROLE telestream_owner")
        found["forgotten"] = connection.execute(
            "SELECT analytics.forget(array_agg(c.subscriber_id)) FROM analytics.fraud_case AS c"
        ).fetchone()
        found["left"] = (first_seen, *connection.execute("SELECT count(*) FROM analytics.fraud_case").fetchone())
    return found


def test_the_editions_agree_on_fraud(fresh_community_url: str, database: str, vault_key_file: str) -> None:
    assert vault_key_file
    migrate.upgrade(fresh_community_url)
    community = run(fresh_community_url, compress=True)
    assert community == run(database, compress=False)
    assert {row[0] for row in community["evidence"]} == {"sim_box", "wangiri", "impossible_travel"}
    assert community["kept"][0][0] == START - timedelta(days=398)
