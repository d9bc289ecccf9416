"""Who means harm is refused with a documented code, and everybody else is served meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import statistics
import threading
import time
import zoneinfo
from collections.abc import Iterator

import psycopg
import pytest
import redis
from graphql import GraphQLObjectType
from graphql_api import hostile
from graphql_api.fix_api import POOL, Api, serve
from graphql_api.test_api_subscriptions import ALERTS, connected, listening, opened, receive, send, subscribe
from psycopg import errors
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from telestream.graphql import connection_guard, gate, http, websocket
from telestream.graphql.reading import Database
from telestream.graphql.schema import schema

REGIONS = "{ regions { name } }"


@pytest.fixture
def guarded(database: str, clean_redis: str) -> Iterator[Api]:
    """The API, trusting an identity provider as well as its own keys."""
    with hostile.identity_provider() as environment, serve(database, clean_redis, **environment) as running:
        yield running


def test_each_is_refused_with_its_code(filled: psycopg.Connection, guarded: Api) -> None:
    assert guarded.query(REGIONS, hostile.signed()).status == 200  # what is forged below is forged after a good one
    connected(guarded)
    found = {name: attack(guarded) for name, (attack, _) in hostile.HOSTILE.items()}
    assert found == {name: code for name, (_, code) in hostile.HOSTILE.items()}
    assert guarded.query(REGIONS).data


def test_others_get_right_answers_meanwhile(
    filled: psycopg.Connection, guarded: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    connected(guarded)
    ending = threading.Event()
    took: dict[str, list[float]] = {name: [] for name in hostile.HOSTILE}
    wrong: list[str] = []

    def attack() -> None:
        for name, (send_it, code) in itertools.cycle(hostile.HOSTILE.items()):
            if ending.is_set():
                return
            began = time.perf_counter()
            # Wrong keys are refused for that alone after some.
            if (found := send_it(guarded)) not in {code, "RATE_LIMITED"}:
                wrong.append(f"{name}: {found}")
            took[name].append(1000 * (time.perf_counter() - began))

    attackers = [threading.Thread(target=attack) for _ in range(2)]
    for attacker in attackers:
        attacker.start()
    waited = []
    try:
        deadline = time.monotonic() + 6
        while time.monotonic() < deadline:
            began = time.perf_counter()
            data = guarded.query(
                "query($f: CdrFilter!) { cdrs(filter: $f) { nodes { cdrId } } freshness { dataset } }", f=hostile.DAY
            ).data
            waited.append(1000 * (time.perf_counter() - began))
            assert len(data["cdrs"]["nodes"]) == 24
            assert len(data["freshness"]) == 3
    finally:
        ending.set()
        for attacker in attackers:
            attacker.join()
    assert wrong == []
    assert len(waited) > 10
    with capsys.disabled():
        print(
            f"\nothers meanwhile: {len(waited)} answers, median {statistics.median(waited):.1f} ms, worst {max(waited):.1f} ms"
        )
        for name, times in took.items():
            if times:
                print(f"  {name}: {hostile.HOSTILE[name][1]}, median {statistics.median(times):.1f} ms")


def test_an_analyst_finds_no_number_and_no_name_anywhere(filled: psycopg.Connection, api: Api) -> None:
    kind = schema().type_map["Cdr"]
    assert isinstance(kind, GraphQLObjectType)
    leaves = " ".join(name for name, made in kind.fields.items() if name not in {"cell", "plan", "customer"})
    text = (
        f"query($f: CdrFilter!, $from: DateTime!, $to: DateTime!) {{ cdrs(filter: $f) {{ nodes {{ {leaves}"
        " customer { id usage(from: $from, to: $to) { planCode } } } }"
        " topCustomers(by: RECORDS, from: $from, to: $to) { customer { id } value } }"
    )
    answer = api.query(text, api.key("analyst"), f=hostile.DAY, **hostile.DAY)
    assert len(answer.data["cdrs"]["nodes"]) == 24
    for part in ("4479000", "23415000000", "35693803"):
        assert part not in json.dumps(answer.body)


def test_a_time_zone_that_only_python_knows_is_a_wrong_argument(filled: psycopg.Connection, api: Api) -> None:
    def is_unknown(name: str) -> bool:
        try:
            filled.execute("SELECT now() AT TIME ZONE %s", (name,))
        except errors.InvalidParameterValue:
            return True
        return False

    # Where the server knows them all, one that nobody knows.
    zone = next(filter(is_unknown, sorted(zoneinfo.available_timezones())), "Mars/Base")
    parameters = {"measures": "SECONDS", "timeZone": zone, "grain": "DAY", **hostile.DAY}
    text = (
        "query($from: DateTime!, $to: DateTime!, $z: String) { traffic(measures: [SECONDS], from: $from, to: $to,"
        " grain: DAY, timeZone: $z) { grain } }"
    )
    answer = api.query(text, z=zone, **hostile.DAY)
    assert (answer.code, answer.body["errors"][0]["extensions"]["argument"]) == ("BAD_ARGUMENT", "timeZone")
    export = POOL.request(
        "GET", f"{api.base}/export/traffic", fields=parameters, headers={"Authorization": f"Bearer {api.key()}"}
    )
    assert (export.status, export.json()["errors"][0]["extensions"]["code"]) == (400, "BAD_ARGUMENT")


def test_a_body_that_drips_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_SECONDS", 0.4)
    drops = (b" " for _ in range(1000))
    status, body = hostile.send_raw(api, hostile.head(api, "Content-Length: 1000"), drops, pause=0.05)
    assert (status, body["errors"][0]["extensions"]["code"]) == (408, "BODY_TIMEOUT")


def test_a_head_that_drips_or_never_ends_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    address = ("127.0.0.1", int(api.base.rpartition(":")[2]))
    with socket.create_connection(address, timeout=60) as endless:
        endless.sendall(b"POST /graphql HTTP/1.1\r\nX-Long: ")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            endless.sendall(b"x" * 100_000_000)
    monkeypatch.setattr(connection_guard, "HEAD_SECONDS", 0.3)
    for beginning in (b"", b"GET /healthz HTTP/1.1\r\nX-Slow: a", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET"):
        with socket.create_connection(address, timeout=60) as slow:
            slow.sendall(beginning)
            while slow.recv(1 << 16):
                pass


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement may take half a second."""
    monkeypatch.setitem(Database.__init__.__kwdefaults__, "seconds", 0.5)


def test_a_statement_that_waits_for_a_lock_is_ended(
    filled: psycopg.Connection, superuser: psycopg.Connection, hasty: None, api: Api
) -> None:
    key = api.key()
    assert api.query(REGIONS, key).data
    with superuser.transaction():
        superuser.execute("LOCK TABLE silver.dim_region, api.key IN ACCESS EXCLUSIVE MODE")
        slow = api.query("{ regions { regionCode name } }", key)
        assert (slow.code, slow.body["data"]) == ("QUERY_TIMEOUT", {"regions": None})
        assert api.query("{ freshness { dataset } }", key).data
        # A key that is not known cannot be looked up meanwhile.
        unknown = api.query(REGIONS, f"ts_{'0' * 12}_{'a' * 43}")
        assert (unknown.code, unknown.status) == ("QUERY_TIMEOUT", 503)
    assert api.query("{ regions { regionCode name } }", key).data


def test_a_statement_that_works_too_long_is_ended(
    filled: psycopg.Connection, superuser: psycopg.Connection, hasty: None, api: Api
) -> None:
    # As a view over far too much would be.
    superuser.execute(
        "CREATE OR REPLACE VIEW ops.freshness AS SELECT 'cdr'::text AS dataset, now() AS newest_event_at,"
        " now() AS last_loaded_at, (SELECT sum(n) FROM generate_series(1, 1000000000) AS n)::bigint AS pending_buckets"
    )
    assert api.query("{ freshness { pendingBuckets } }").code == "QUERY_TIMEOUT"


def test_the_operations_of_a_socket_count_and_have_an_end(api: Api) -> None:
    with opened(api, api.key(rate=3)) as opened_socket:
        for number in range(5):
            subscribe(opened_socket, REGIONS, str(number))
        messages = [receive(opened_socket) for _ in range(3 * 2 + 2)]
    refused = [m["payload"][0]["extensions"]["code"] for m in messages if m["type"] == "error"]
    assert refused == ["RATE_LIMITED"] * 2
    with opened(connected(api), api.key(rate=10_000)) as opened_socket:
        for number in range(500):
            subscribe(opened_socket, ALERTS, str(number))
        codes = [
            receive(opened_socket)["payload"][0]["extensions"]["code"] for _ in range(500 - websocket.MAX_OPERATIONS)
        ]
        assert set(codes) == {"OVERLOADED"}
        listening(api, websocket.MAX_OPERATIONS)
        send(opened_socket, type="ping")
        assert receive(opened_socket)["type"] == "pong"


def test_who_leaves_in_the_middle_leaves_nothing_behind(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        with opened(connected(api), api.key(rate=100_000)) as opened_socket:
            for number in range(300):
                subscribe(opened_socket, ALERTS, str(number))
                if number % 2:
                    send(opened_socket, id=str(number), type="complete")
            # The client reads no close while messages wait in it.
            with contextlib.suppress(TimeoutError):
                while True:
                    opened_socket.recv(0.1)
    deadline = time.monotonic() + 60
    while (left := (api.service.hub.subscribers, api.service.telemetry.sockets._value.get())) != (0, 0):
        assert time.monotonic() < deadline, left
        time.sleep(0.01)
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == []


def unknown(api: Api) -> ClientConnection:
    """Connect without saying who it is."""
    return connect(api.socket_url, subprotocols=["graphql-transport-ws"])  # type: ignore[list-item]


def closing_code(opened_socket: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as caught:
        opened_socket.recv(60)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code


def test_sockets_that_say_nothing_make_room(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MAX_SOCKETS", 3)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(unknown(api)) for _ in range(10)]
        for number in range(3):
            known = stack.enter_context(opened(api))
            subscribe(known, REGIONS, str(number))
            assert receive(known)["type"] == "next"
        assert {closing_code(one) for one in silent} == {4408}
        assert closing_code(stack.enter_context(unknown(api))) == 1013


def test_one_caller_does_not_take_all_sockets(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MAX_SOCKETS_OF_ONE", 2)
    with contextlib.ExitStack() as stack:
        greedy = api.key()
        for _ in range(2):
            stack.enter_context(opened(api, greedy))
        third = stack.enter_context(unknown(api))
        send(third, type="connection_init", payload={"Authorization": f"Bearer {greedy}"})
        assert closing_code(third) == 1013
        other = stack.enter_context(opened(api, api.key("engineer")))
        subscribe(other, REGIONS)
        assert receive(other)["type"] == "next"


def test_wrong_keys_over_sockets_and_requests_count_together(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_WRONG_PER_MINUTE", 2)
    for _ in range(3):
        with unknown(api) as guesser:
            send(guesser, type="connection_init", payload={"Authorization": "Bearer no"})
            with pytest.raises(ConnectionClosed) as caught:
                guesser.recv(60)
        assert caught.value.rcvd is not None
    assert caught.value.rcvd.reason == "Forbidden: RATE_LIMITED"
    assert api.query(REGIONS, "no").code == "RATE_LIMITED"


def test_a_socket_that_says_nothing_is_closed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "_INIT_SECONDS", 0.2)
    with unknown(api) as silent:
        assert closing_code(silent) == 4408


def test_who_goes_away_takes_no_answer_from_others(api: Api, clean_redis: str, superuser: psycopg.Connection) -> None:
    """The one that computes a cached answer over a WebSocket is ended; who waits for the same answer gets it."""
    deadline = time.monotonic() + 60
    while "network_map" not in api.service.cache._versions:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    replies = []
    with opened(api) as opened_socket, redis.Redis.from_url(clean_redis) as client:
        with superuser.transaction():
            superuser.execute("LOCK TABLE silver.dim_service_plan IN ACCESS EXCLUSIVE MODE")
            subscribe(opened_socket, "{ plans { name } }")
            while not api.service.cache._flights:
                time.sleep(0.01)
            waiting = threading.Thread(target=lambda: replies.append(api.query("{ plans { name } }")))
            waiting.start()
            while api.service.engine._in_flight < 2:
                time.sleep(0.01)
            send(opened_socket, id="1", type="complete")
            time.sleep(0.2)
            client.ping()
        waiting.join()
    assert replies[0].data == {"plans": []}
    assert POOL.request("GET", api.base + "/healthz").status == 200
