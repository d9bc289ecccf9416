"""Expectations in the API: their latest results, and alerts of data quality beside those of anomalies."""

from __future__ import annotations

import json
import time
from datetime import date, timedelta

import psycopg
import redis
from days import instant, load_day, prepare, refresh
from graphql_api.fix_api import Api
from websockets.sync.client import connect

from telestream import channels

TUESDAY = date(2026, 6, 2)


def test_results_and_alerts_of_quality(connection: psycopg.Connection, api: Api, clean_redis: str) -> None:
    prepare(connection)
    for week in (3, 2, 1):
        load_day(connection, TUESDAY - timedelta(weeks=week), 100)
    load_day(connection, TUESDAY, 20, cell="cell-4")
    refresh(connection)
    connection.execute(
        "SELECT count(*) FROM quality.check_expectations(%s)", (instant(TUESDAY + timedelta(days=1), 7),)
    )
    text = "{ expectations(dataset: CDR, failingOnly: true) { rule kind outcome observed atLeast failingSince } }"
    for role in ("api", "analyst", "engineer"):
        [volume] = api.query(text, api.key(role)).data["expectations"]
        assert (volume["rule"], volume["kind"], volume["outcome"]) == ("rows_per_day", "volume", "failed")
        assert volume["observed"] == 20
        assert volume["atLeast"] == 50
    assert len(api.query("{ expectations { rule reason } }").data["expectations"]) > 5
    [(payload,)] = connection.execute("SELECT payload FROM ops.outbox").fetchall()
    with (
        connect(api.socket_url, subprotocols=["graphql-transport-ws"], open_timeout=60) as socket,  # type: ignore[list-item]
        redis.Redis.from_url(clean_redis) as client,
    ):
        hello = {"type": "connection_init", "payload": {"Authorization": f"Bearer {api.key()}"}}
        socket.send(json.dumps(hello))
        assert json.loads(socket.recv(60))["type"] == "connection_ack"
        query = "subscription { alerts { anomalyId kind dataset subject kpi cellId value baseline zScore } }"
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))
        deadline = time.monotonic() + 60
        while not (api.service.hub.subscribers and api.service.hub.connected):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        client.publish(channels.ALERTS, json.dumps(payload))
        alert = json.loads(socket.recv(60))["payload"]["data"]["alerts"]
    assert alert["anomalyId"].startswith("-")
    assert {name: alert[name] for name in ("kind", "dataset", "subject", "kpi", "cellId", "value", "zScore")} == {
        "kind": "quality", "dataset": "cdr", "subject": None, "kpi": "rows_per_day", "cellId": "", "value": 20,
        "zScore": 0,
    }  # fmt: skip
