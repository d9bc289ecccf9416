"""Redis or the database slow, gone and back while the API serves: what is answered meanwhile, and that it recovers."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import redis
from graphql_api.fix_api import POOL, Api, serve
from graphql_api.test_api_subscriptions import ALERTS, connected, listening, opened, payload, receive, subscribe
from psycopg.conninfo import conninfo_to_dict
from streams import Proxy, rows, wait_for

from telestream import channels
from telestream.db import migrate
from telestream.errors import SchemaOutdatedError
from telestream.graphql import reading
from telestream.graphql.reading import Database
from telestream.stack import cache as cache_server
from telestream.stack import lifecycle, postgres, process
from telestream.stack.state import StackPaths
from telestream.stack.state import load as load_state

REGIONS = "{ regions { name } }"
FOR_EVER = 3600.0


@contextmanager
def through(target: str) -> Iterator[tuple[Proxy, str]]:
    """Give a proxy before the server of a URL, and the URL that goes through it."""
    port = int(
        conninfo_to_dict(target)["port"] if target.startswith("postgresql") else target.rpartition(":")[2].split("/")[0]
    )
    proxy = Proxy(port)
    try:
        yield proxy, target.replace(f":{port}", f":{proxy.port}")
    finally:
        proxy.close()


def raise_alert(url: str, **changes: Any) -> dict[str, Any]:
    """Put an alert where consumers put it before they tell of it."""
    one = payload(**changes)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO ops.outbox (alert_id, topic, key, payload) VALUES (%s, 'alerts', '1', %s)",
            (one["alert_id"], json.dumps(one)),
        )
    return one


def alert_id(message: dict[str, Any]) -> str:
    return str(message["payload"]["data"]["alerts"]["alertId"])


def test_the_cache_goes_and_comes_back(own_cache: None, database: str, api: Api, clean_redis: str) -> None:
    key = api.key(rate=1000)
    with opened(connected(api), key) as socket, redis.Redis.from_url(clean_redis) as client:
        subscribe(socket, ALERTS)
        listening(api)
        seen = raise_alert(database)
        client.publish(channels.ALERTS, json.dumps(seen))
        assert alert_id(receive(socket)) == seen["alert_id"]
        pid = cache_server.server_pid(StackPaths.current())
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        ended = receive(socket)
        assert (ended["type"], ended["payload"][0]["extensions"]["code"]) == ("error", "LIVE_UNAVAILABLE")
        missed = raise_alert(database)
        subscribe(socket, ALERTS, "2", a=seen["alert_id"])
        assert receive(socket)["payload"][0]["extensions"]["code"] == "LIVE_UNAVAILABLE"
    # Everything else goes on: computed, from Gold, counted here.
    assert api.query(REGIONS, key).data == {"regions": []}
    assert api.query("{ realtimeMetrics { source } }", key).data == {"realtimeMetrics": {"source": "GOLD"}}
    assert "telestream_api_redis_up 0.0" in POOL.request("GET", api.base + "/metrics").data.decode()
    limited = api.key(rate=2)
    assert [api.query(REGIONS, limited).status for _ in range(4)] == [200, 200, 429, 429]
    lifecycle.up()
    wait_for(lambda: api.service.hub.connected, "it listens again")
    with opened(api, key) as socket, redis.Redis.from_url(clean_redis) as client:
        subscribe(socket, ALERTS, a=seen["alert_id"])
        assert alert_id(receive(socket)) == missed["alert_id"]
        new = raise_alert(database)
        client.publish(channels.ALERTS, json.dumps(new))
        assert alert_id(receive(socket)) == new["alert_id"]
        wait_for(
            lambda: api.query(REGIONS, key).data and list(client.scan_iter("telestream:api:answer:*")), "it is kept"
        )


def test_a_cache_that_hangs_or_is_slow_keeps_nobody_waiting(database: str, redis_url: str) -> None:
    with through(redis_url) as (proxy, url), serve(database, url) as api:
        connected(api)
        assert api.query(REGIONS).data == {"regions": []}
        for delay in (0.15, FOR_EVER):
            proxy.delay = delay
            with ThreadPoolExecutor(20) as pool:
                replies = list(pool.map(lambda _: api.query(REGIONS), range(60)))
            assert {reply.status for reply in replies} == {200}
            # Held until it is mended: whoever waited for it would be waiting now.
            live = api.query("{ realtimeMetrics { source } }").data["realtimeMetrics"]
            assert live == {"source": "GOLD"} or delay < FOR_EVER
        proxy.mend()


def versions(api: Api) -> None:
    """Wait until answers may be cached."""
    wait_for(lambda: "traffic" in api.service.cache._versions, "the version of Gold is known")


def test_the_database_is_killed_and_comes_back(database: str, own_server: None, api: Api) -> None:
    key = api.key()
    versions(api)
    asked = 'query Who { customer(id: "5") { reason } }'
    assert api.query(asked, key).data == api.query(asked, key).data == {"customer": {"reason": "UNKNOWN_ID"}}
    wait_for(lambda: rows(database, "SELECT FROM audit.access_log"), "it is in the access log")
    state = load_state()
    assert state is not None
    assert state.postgres_pid is not None
    os.kill(state.postgres_pid, signal.SIGKILL)
    wait_for(lambda: not process.processes_in(StackPaths.current().data, postgres.PROGRAM), "its backends notice")
    # Known keys get what is cached, and are told about the rest; what is read of people is still noted.
    for _ in range(3):
        assert api.query(asked, key).data == {"customer": {"reason": "UNKNOWN_ID"}}
    refused = api.query("{ plans { name } freshness { dataset } }", key)
    assert (refused.code, refused.body["data"]) == ("DATABASE_UNAVAILABLE", {"plans": None, "freshness": None})
    assert "Retry-After" in refused.headers
    unknown = api.query(REGIONS, f"ts_{'0' * 12}_{'a' * 43}")
    assert (unknown.code, unknown.status) == ("DATABASE_UNAVAILABLE", 503)
    assert "Retry-After" in unknown.headers
    assert POOL.request("GET", api.base + "/readyz").status == 503
    assert POOL.request("GET", api.base + "/healthz").status == 200
    assert api.service.audit.waiting == 3
    lifecycle.up()
    wait_for(lambda: POOL.request("GET", api.base + "/readyz").status == 200, "it is ready")
    wait_for(lambda: len(rows(database, "SELECT FROM audit.access_log")) == 5, "nothing of the access log is lost")
    assert api.query("{ plans { name } freshness { dataset } }", key).status == 200


def test_ready_while_the_database_is_of_a_newer_version_and_not_while_of_an_older_one(
    connection: psycopg.Connection, database: str, api: Api
) -> None:
    """A rolling upgrade migrates first; services of before go on, and may start again, until they are replaced."""
    for revision, status in (("9999", 200), ("0001", 503)):
        connection.execute("UPDATE public.alembic_version SET version_num = %s", (revision,))
        assert POOL.request("GET", api.base + "/readyz").status == status
        if status == 200:
            migrate.require_served(connection)
            with pytest.raises(SchemaOutdatedError, match="another revision"):
                migrate.require_head(connection)
        else:
            with pytest.raises(SchemaOutdatedError, match="another revision"):
                migrate.require_served(connection)


def outcomes(ask: Callable[[int], Any], requests: int) -> Counter[str]:
    """Ask many times at once, and count what came of it."""
    with ThreadPoolExecutor(requests) as pool:
        return Counter(reply.code or "ok" for reply in pool.map(ask, range(requests)))


def test_a_slow_database_gives_no_queue_without_end(
    database: str, clean_redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(Database.__init__.__kwdefaults__, "seconds", 1.0)
    with through(database) as (proxy, url), serve(url, clean_redis) as api:
        api._database = database
        versions(api)

        def ask(number: int) -> Any:
            return api.query("query($id: ID!) { cell(id: $id) { reason } }", id=f"{time.monotonic()}-{number}")

        assert outcomes(ask, 20) == {"ok": 20}
        proxy.delay = 0.4
        slow = outcomes(ask, 100)
        assert set(slow) == {"ok", "OVERLOADED"}
        # Nothing comes back any more, and no connection is lost: the server hangs.
        proxy.delay = FOR_EVER
        hanging = outcomes(ask, 40)
        assert set(hanging) == {"DATABASE_UNAVAILABLE", "OVERLOADED"}
        assert POOL.request("GET", api.base + "/healthz").status == 200
        assert POOL.request("GET", api.base + "/readyz").status == 503
        proxy.cut()
        proxy.mend()
        wait_for(lambda: ask(0).code is None, "it answers again")
        assert outcomes(ask, 20) == {"ok": 20}


def test_connections_that_died_unused_are_not_noticed(
    database: str, clean_redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_WAIT_SECONDS", 60.0)  # however slow this machine is now
    with through(database) as (proxy, url), serve(url, clean_redis) as api:
        api._database = database
        versions(api)
        key = api.key()

        def ask(number: int) -> Any:
            return api.query("query($id: ID!) { cell(id: $id) { reason } }", key, id=f"{time.monotonic()}-{number}")

        for _ in range(5):
            assert outcomes(ask, 20) == {"ok": 20}
            proxy.cut()
            proxy.mend()
