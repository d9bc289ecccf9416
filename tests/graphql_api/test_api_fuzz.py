"""Whatever is sent, the answer is one that docs/errors.md promises: no 5xx, nothing of the inside, no hang.

The same examples each time, and few of them; `make fuzz-api` takes others for five minutes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from graphql_api import fuzzing
from graphql_api.fix_api import Api
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from telestream.graphql import http

# The API runs in a thread beside and draws from `random` too, which hypothesis takes for a strategy that does.
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")

# For each role; 0: the short run.
SECONDS = float(os.environ.get("TELESTREAM_FUZZ_SECONDS", "0"))
_SEED = int(os.environ.get("TELESTREAM_FUZZ_SEED", "0"))
_WAIT_SECONDS = 60.0


def run(test: Callable[[Any], None], strategy: st.SearchStrategy[Any], examples: int, number: int) -> None:
    """Run a test on generated values, the same for the same number."""
    chosen = settings(
        max_examples=examples, database=None, deadline=None, suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )  # fmt: skip
    seed(_SEED + number)(chosen(given(strategy)(test)))()


def until_the_end(one_round: Callable[[int, int], None], examples: int) -> None:
    """Run one round, or as many as the time allows."""
    if not SECONDS:
        one_round(0, examples)
        return
    deadline = time.monotonic() + SECONDS
    for number in fuzzing.rounds():
        if time.monotonic() > deadline:
            return
        one_round(number, examples)


@pytest.fixture
def no_error_is_logged(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.ERROR)
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("role", ["api", "analyst", "engineer"])
def test_generated_documents(filled: psycopg.Connection, api: Api, role: str, no_error_is_logged: None) -> None:
    key = api.key(role, rate=10_000_000)
    asked = {"ok": 0, "refused": 0}

    def send(text: str) -> None:
        reply = api.post({"query": text}, key)
        fuzzing.judge(reply.status, json.dumps(reply.body))
        asked["refused" if "errors" in reply.body else "ok"] += 1

    def one_round(number: int, examples: int) -> None:
        for operation in fuzzing.operations():
            run(send, fuzzing.documents(operation), examples, number)

    until_the_end(one_round, 20)
    print(f"{role}: {asked}")
    assert asked["ok"] > 50


def raw(api: Api, method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> tuple[int, str]:
    """Send bytes that no client would, and return status and body; a connection that is closed unanswered has 0."""
    names = {name.lower() for name, _ in headers}
    sent = [*headers, ("Content-Length", str(len(body))), ("Connection", "close")]
    sent += [] if "authorization" in names else [("Authorization", f"Bearer {api.key()}")]
    sent += [] if "content-type" in names else [("Content-Type", "application/json")]
    sent += [] if "host" in names else [("Host", "127.0.0.1")]
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in sent) + "\r\n"
    host, _, port = api.base.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=_WAIT_SECONDS) as connection:
        connection.sendall(head.encode("latin-1") + body)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(1 << 16):
                answer += data
    while answer.startswith(b"HTTP/1.1 100"):
        answer = answer.partition(b"\r\n\r\n")[2]
    top, _, rest = answer.partition(b"\r\n\r\n")
    return (int(top.split()[1]) if top else 0), rest.decode()


def test_generated_requests(
    filled: psycopg.Connection, api: Api, monkeypatch: pytest.MonkeyPatch, no_error_is_logged: None
) -> None:
    monkeypatch.setattr(http, "BODY_SECONDS", 1.0)
    parts = st.tuples(fuzzing.METHODS, fuzzing.TARGETS, fuzzing.HEADERS, fuzzing.BODIES)

    def send(request: Any) -> None:
        status, text = raw(api, *request)
        assert status < 500, text
        if text.startswith("{"):
            fuzzing.judge(status, text)

    until_the_end(lambda number, examples: run(send, parts, examples, number), 400)
    assert api.query("{ regions { name } }").status == 200


def test_generated_messages(filled: psycopg.Connection, api: Api, no_error_is_logged: None) -> None:
    key = api.key(rate=10_000_000)
    closed: set[int] = set()

    def send(given: tuple[bool, list[str | bytes]]) -> None:
        greets, messages = given
        with connect(api.socket_url, subprotocols=["graphql-transport-ws"], open_timeout=_WAIT_SECONDS) as opened:  # type: ignore[list-item]
            try:
                if greets:
                    opened.send(json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {key}"}}))
                for message in messages:
                    opened.send(message)
                opened.send('{"type": "ping"}')
                while (answer := json.loads(opened.recv(_WAIT_SECONDS)))["type"] != "pong":
                    if answer["type"] == "error":
                        fuzzing.judge(200, json.dumps({"errors": answer["payload"]}))
            except ConnectionClosed as exc:
                closed.add(exc.rcvd.code if exc.rcvd else 1006)

    until_the_end(lambda number, examples: run(send, st.tuples(st.booleans(), fuzzing.MESSAGES), examples, number), 150)
    assert closed <= {4400, 4401, 4403, 4409, 4429}
