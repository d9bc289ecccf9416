"""Subscriptions over graphql-transport-ws: the protocol, alerts that are not missed, windows as they come."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import redis
from graphql_api.fix_api import Api, add_anomalies, serve
from staging import event, refine_events
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from telestream import channels
from telestream.graphql.principal import Scope

ALERTS = "subscription($f: AlertFilter, $a: ID) { alerts(filter: $f, after: $a) { alertId severity cellId raisedAt } }"


def payload(**changes: Any) -> dict[str, Any]:
    wanted = {
        "alert_id": str(uuid.uuid4()), "anomaly_id": 1, "status": "open", "severity": "major", "kpi": "latency_ms",
        "cell_id": "c1", "technology": "4g", "started_at": "2026-03-01T10:00:00+00:00", "ended_at": None,
        "value": 90.0, "baseline": 20.0, "z_score": 9.0, "message": "slow", "query": "SELECT 1",
        "raised_at": "2026-03-01T10:05:00+00:00",
    }  # fmt: skip
    return wanted | changes


@contextmanager
def opened(api: Api, key: str | None = None) -> Iterator[ClientConnection]:
    with connect(api.socket_url, subprotocols=["graphql-transport-ws"], open_timeout=60) as socket:  # type: ignore[list-item]
        send(socket, type="connection_init", payload={"Authorization": f"Bearer {key or api.key()}"})
        assert receive(socket)["type"] == "connection_ack"
        yield socket


def send(socket: ClientConnection, **message: Any) -> None:
    socket.send(json.dumps(message))


def receive(socket: ClientConnection, timeout: float = 60) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(socket.recv(timeout))
    return answer


def subscribe(socket: ClientConnection, text: str, name: str = "1", **variables: Any) -> None:
    send(socket, id=name, type="subscribe", payload={"query": text, "variables": variables})


def listening(api: Api, count: int = 1) -> None:
    """Wait until so many subscribers are there."""
    deadline = time.monotonic() + 60
    while api.service.hub.subscribers < count or not api.service.hub.connected:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def connected(api: Api) -> Api:
    listening(api, 0)
    return api


def test_alerts_come_as_they_are_raised_and_filtered(api: Api, clean_redis: str) -> None:
    with opened(connected(api)) as socket, redis.Redis.from_url(clean_redis) as client:
        subscribe(socket, ALERTS, "all")
        subscribe(socket, ALERTS, "some", f={"severities": ["CRITICAL"], "cells": ["c2"]})
        listening(api, 2)
        first, second = payload(), payload(severity="critical", cell_id="c2")
        for one in (first, second):
            client.publish(channels.ALERTS, json.dumps(one))
        messages = [receive(socket) for _ in range(3)]
        got = {
            name: [m["payload"]["data"]["alerts"]["alertId"] for m in messages if m["id"] == name]
            for name in ("all", "some")
        }
        assert got == {"all": [first["alert_id"], second["alert_id"]], "some": [second["alert_id"]]}
        send(socket, id="all", type="complete")
        send(socket, id="some", type="complete")
        deadline = time.monotonic() + 60
        while api.service.hub.subscribers and time.monotonic() < deadline:
            time.sleep(0.01)
        assert api.service.hub.subscribers == 0


def test_who_comes_back_gets_what_was_missed_and_a_subscriber_costs_no_statement(
    api: Api, clean_redis: str, connection: psycopg.Connection
) -> None:
    refine_events(connection, [event()])  # so that there is a chunk that could be read
    raised = [payload(anomaly_id=n) for n in range(1200)]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ops.outbox (alert_id, topic, key, payload) VALUES (%s, 'alerts', '1', %s)",
            [(one["alert_id"], json.dumps(one)) for one in raised],
        )
    with opened(connected(api)) as socket, redis.Redis.from_url(clean_redis) as client:
        subscribe(socket, ALERTS, a=raised[0]["alert_id"])
        got = [receive(socket)["payload"]["data"]["alerts"]["alertId"] for _ in range(1199)]
        assert got == [one["alert_id"] for one in raised[1:]]
        # One that was caught up with and comes live as well is not sent twice.
        client.publish(channels.ALERTS, json.dumps(raised[5]))
        new = payload()
        client.publish(channels.ALERTS, json.dumps(new))
        assert receive(socket)["payload"]["data"]["alerts"]["alertId"] == new["alert_id"]
        # A backend tells what it has scanned now and then: what the refine above did must be told before.
        connection.execute("SELECT pg_stat_force_next_flush()")
        time.sleep(1.2)
        connection.execute("SELECT pg_stat_clear_snapshot()")
        scans = "SELECT sum(coalesce(seq_scan, 0) + coalesce(idx_scan, 0)) FROM pg_stat_user_tables WHERE relname LIKE '\\_hyper%'"
        before = connection.execute(scans).fetchone()
        assert before is not None
        assert before[0] is not None
        for _ in range(50):
            client.publish(channels.ALERTS, json.dumps(payload()))
            receive(socket)
        time.sleep(1.2)
        connection.execute("SELECT pg_stat_clear_snapshot()")
        assert connection.execute(scans).fetchone() == before


def test_windows_of_cells_come_whenever_they_change(api: Api, clean_redis: str) -> None:
    window = {"bucket": "2026-03-01T10:00:00Z", "events": 1, "drops": 0, "handover_failures": 0, "latency_ms_mean": "12.5",
              "rsrp_dbm_mean": "", "throughput_down_kbps_mean": ""}  # fmt: skip
    with opened(connected(api)) as socket, redis.Redis.from_url(clean_redis) as client:
        client.hset(channels.hot_cell("c1", "4g"), mapping=window)
        subscribe(socket, 'subscription { cellMetrics(cells: ["c1"]) { cellId events latencyMsMean rsrpDbmMean } }')
        assert receive(socket)["payload"]["data"]["cellMetrics"] == [
            {"cellId": "c1", "events": 1, "latencyMsMean": 12.5, "rsrpDbmMean": None}
        ]
        client.hset(channels.hot_cell("c1", "4g"), "events", 7)
        client.publish(channels.HOT, "{}")
        assert receive(socket)["payload"]["data"]["cellMetrics"][0]["events"] == 7


def test_notices_that_cannot_be_read_end_nothing(api: Api, clean_redis: str) -> None:
    with opened(connected(api)) as socket, redis.Redis.from_url(clean_redis) as client:
        subscribe(socket, ALERTS, "alerts")
        subscribe(socket, 'subscription { cellMetrics(cells: ["c1"]) { events } }', "cells")
        listening(api, 2)
        for notice in ("no JSON", "[]", "{}", "7", json.dumps({"alert_id": "1"})):
            client.publish(channels.ALERTS, notice)
        client.hset(channels.hot_cell("c1", "4g"), mapping={"bucket": "never", "events": "many"})
        client.publish(channels.HOT, "{}")
        good = payload()
        client.publish(channels.ALERTS, json.dumps(good))
        while (message := receive(socket))["id"] != "alerts":
            pass
        assert message["payload"]["data"]["alerts"]["alertId"] == good["alert_id"]


def test_a_query_is_answered_too(api: Api) -> None:
    with opened(api) as socket:
        subscribe(socket, "{ regions { name } }")
        assert receive(socket) == {"id": "1", "type": "next", "payload": {"data": {"regions": []}}}
        assert receive(socket) == {"id": "1", "type": "complete"}
        subscribe(socket, "{ nope }", "2")
        message = receive(socket)
        assert message["type"] == "error"
        assert message["payload"][0]["extensions"]["code"] == "VALIDATION_FAILED"


def test_refusals_end_one_subscription(api: Api) -> None:
    with opened(connected(api), api.key("api", Scope.NETWORK)) as socket:
        subscribe(socket, ALERTS)
        assert receive(socket)["payload"][0]["extensions"]["code"] == "FORBIDDEN"
        subscribe(socket, "subscription { cellMetrics(cells: []) { events } }")
        assert receive(socket)["payload"][0]["extensions"]["code"] == "BAD_ARGUMENT"
    with opened(api) as socket:
        subscribe(socket, ALERTS, a=str(uuid.uuid4()))
        assert receive(socket)["payload"][0]["extensions"]["code"] == "BAD_ARGUMENT"


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([{"type": "connection_init", "payload": {}}], 4403),
        ([{"type": "connection_init", "payload": {"Authorization": "Bearer no"}}], 4403),
        ([{"type": "subscribe", "id": "1", "payload": {"query": "{ regions { name } }"}}], 4401),
        (["no JSON"], 4400),
        ([["a list"]], 4400),
    ],
)
def test_a_connection_that_does_not_follow_the_protocol_is_closed(api: Api, messages: list[Any], code: int) -> None:
    with connect(api.socket_url, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
        for message in messages:
            socket.send(message if isinstance(message, str) else json.dumps(message))
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv(10)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == code


def test_only_the_one_subprotocol_is_spoken(api: Api) -> None:
    with connect(api.socket_url, subprotocols=["graphql-ws"]) as socket, pytest.raises(ConnectionClosed) as caught:  # type: ignore[list-item]
        socket.recv(10)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4406


def test_an_id_twice_and_a_second_init_close_the_connection(api: Api) -> None:
    with opened(connected(api)) as socket:
        subscribe(socket, ALERTS)
        subscribe(socket, ALERTS)
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv(10)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4409
    with opened(api) as socket:
        send(socket, type="connection_init")
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv(10)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4429


def test_without_redis_nothing_is_live_and_that_is_said(database: str) -> None:
    with serve(database, "redis://127.0.0.1:1/0") as api, opened(api) as socket:
        subscribe(socket, ALERTS)
        assert receive(socket)["payload"][0]["extensions"]["code"] == "LIVE_UNAVAILABLE"


def test_a_subscriber_that_is_too_slow_is_told_where_to_go_on() -> None:
    import asyncio

    from telestream.graphql.live import QUEUE_LENGTH, Subscriber
    from telestream.graphql.problems import SlowConsumerProblem

    async def slow() -> None:
        subscriber = Subscriber(QUEUE_LENGTH)
        for number in range(QUEUE_LENGTH + 1):
            subscriber.put(number)
        with pytest.raises(SlowConsumerProblem, match="fast"):
            await subscriber.get()
        newest = Subscriber(1)
        for number in range(10):
            newest.put_newest(number)
        assert await newest.get() == 9

    asyncio.run(slow())


def test_an_anomaly_is_taken_charge_of_once(api: Api, connection: psycopg.Connection) -> None:
    connection.execute("INSERT INTO silver.dim_network_cell (cell_id, name) VALUES ('c1', 'One')")
    add_anomalies(connection, "c1")
    page = api.query(
        "{ anomalies(filter: {openOnly: true, unacknowledgedOnly: true}) { nodes { anomalyId cell { name } } } }"
    )
    [anomaly] = page.data["anomalies"]["nodes"]
    assert anomaly["cell"] == {"name": "One"}
    text = 'mutation($id: ID!) { acknowledgeAnomaly(id: $id, note: "on it") { isFirst reason anomaly { acknowledgedBy acknowledgeNote } } }'
    first = api.query(text, id=anomaly["anomalyId"]).data["acknowledgeAnomaly"]
    by = {"acknowledgedBy": "key:" + api.key().split("_")[1], "acknowledgeNote": "on it"}
    assert first == {"isFirst": True, "reason": None, "anomaly": by}
    second = api.query(text, api.key("engineer"), id=anomaly["anomalyId"]).data["acknowledgeAnomaly"]
    assert second == {"isFirst": False, "reason": None, "anomaly": by}
    assert api.query(text, id="999").data["acknowledgeAnomaly"]["reason"] == "UNKNOWN_ID"
    assert api.query(text, api.key("analyst"), id=anomaly["anomalyId"]).code == "FORBIDDEN"
    assert api.query(text, api.key("api", Scope.ALERTS), id="1").code == "FORBIDDEN"
