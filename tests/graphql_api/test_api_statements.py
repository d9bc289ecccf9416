"""How many statements a query and a subscription cost."""

from __future__ import annotations

import contextlib
import json
import time

import psycopg
import pytest
import redis
from graphql_api.fix_api import Api, add_anomalies, reads
from graphql_api.test_api_subscriptions import ALERTS, connected, listening, opened, payload, receive, subscribe

from telestream import channels

DAY = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("query($n: Int!) { cells(first: $n) { nodes { cellId region { name } } } }", 2),
        ("query($n: Int!) { anomalies(first: $n) { nodes { kpi cell { name region { name } } } } }", 3),
        (
            "query($n: Int!, $filter: CdrFilter!) { cdrs(first: $n, filter: $filter) { nodes { cdrId"
            " cell { name region { name } } plan { name } customer { id } } } }",
            4,
        ),
        (
            "query($n: Int!, $from: DateTime!, $to: DateTime!) { topCustomers(by: RECORDS, from: $from, to: $to, first: $n)"
            " { value customer { usage(from: $from, to: $to) { records }"
            " week: usage(from: $from, to: $to, grain: WEEK) { records } } } }",
            3,
        ),
        ("query($n: Int!) { quarantine(first: $n) { nodes { reason } } }", 1),
        ("query($n: Int!) { batches(first: $n) { nodes { source } } }", 1),
    ],
)
def test_as_many_statements_for_one_as_for_all(
    filled: psycopg.Connection, api: Api, statements: list[str], text: str, expected: int
) -> None:
    filled.execute(
        "INSERT INTO silver.dim_network_cell (cell_id, name) SELECT 'c' || n, 'Cell ' || n FROM generate_series(1, 60) AS n"
    )
    add_anomalies(filled, "c%")
    counts = []
    for size in (1, 2, 50):
        statements.clear()
        answer = api.query(text, api.key("engineer"), n=size, filter=DAY, **DAY).data
        [found] = answer.values()
        counts.append(len(reads(statements)))
        if size == 1:
            assert len(found["nodes"] if isinstance(found, dict) else found) == 1
    assert counts == [expected] * 3


SCANS = (
    "SELECT coalesce(sum(t.seq_scan + coalesce(t.idx_scan, 0)), 0)::bigint FROM pg_stat_user_tables AS t"
    " WHERE t.relname LIKE '\\_hyper%'"
)


def scans(connection: psycopg.Connection) -> int:
    """Return how often chunks were scanned; backends tell of it at the latest a second after they did."""
    time.sleep(1.2)
    connection.execute("SELECT pg_stat_force_next_flush(), pg_stat_clear_snapshot()")
    row = connection.execute(SCANS).fetchone()
    assert row is not None
    return int(row[0])


def test_no_subscriber_polls(filled: psycopg.Connection, api: Api, clean_redis: str, statements: list[str]) -> None:
    window = {"bucket": "2026-03-01T10:00:00Z", "events": 1, "drops": 0, "handover_failures": 0, "latency_ms_mean": "12.5",
              "rsrp_dbm_mean": "", "throughput_down_kbps_mean": ""}  # fmt: skip
    cells = 'subscription { cellMetrics(cells: ["234-15-1"]) { events } }'
    key = api.key(rate=100_000)
    sent: dict[int, list[str]] = {}
    with redis.Redis.from_url(clean_redis) as client, contextlib.ExitStack() as stack:
        client.hset(channels.hot_cell("234-15-1", "4g"), mapping=window)
        sockets = []
        for subscribers in (2, 100):
            while len(sockets) < subscribers // 2:
                sockets.append(stack.enter_context(opened(connected(api), key)))
                subscribe(sockets[-1], ALERTS, "alerts")
                subscribe(sockets[-1], cells, "cells")
            listening(api, subscribers)
            before = scans(filled)
            statements.clear()
            began = time.monotonic()
            for number in range(20):
                client.hset(channels.hot_cell("234-15-1", "4g"), "events", number)
                client.publish(channels.HOT, "{}")
                client.publish(channels.ALERTS, json.dumps(payload()))
                time.sleep(max(0.0, began + (number + 1) * 0.1 - time.monotonic()))
            for socket in sockets:
                got: list[str] = []
                while got.count("alerts") < 20:
                    got.append(receive(socket)["id"])
                assert "cells" in got
            sent[subscribers] = list(statements)
            assert scans(filled) == before
    for found in sent.values():
        # Versions of Gold for the cache, and who the callers are: neither is of a subscriber's making.
        assert all("api.gold_version()" in one or "FROM api.key" in one for one in found), found
    assert len(sent[100]) <= len(sent[2]) + 10
