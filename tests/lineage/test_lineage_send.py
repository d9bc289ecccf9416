"""Lineage events reach their server: at least once, in order, also when it fails, hangs, refuses and comes back."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from json_server import JsonServer
from lineage.lineage_server import KEY, lineage_server
from lineage.openlineage_spec import assert_valid
from lineage.quick_command import quick, started
from staging import cdr, refine
from streams import wait_for
from urllib3.util import Timeout

from telestream.db.lineage_receiver import Receiver
from telestream.db.lineage_sender import LineageSender
from telestream.errors import TransientError, UsageError


@pytest.fixture
def server() -> Iterator[JsonServer]:
    with lineage_server() as running:
        yield running


@pytest.fixture
def queued(connection: psycopg.Connection) -> psycopg.Connection:
    connection.execute("SELECT ops.queue_lineage(true)")
    return connection


def note(connection: psycopg.Connection, runs: int, job: str = "load.cdr") -> None:
    """Let runs begin and end."""
    for number in range(runs):
        connection.execute(
            "SELECT ops.begin_run(%s::text, %s::text, 'test', '[]', '[]', NULL, NULL, '{}')", (f"{job}{number}", job)
        )
        connection.execute("SELECT ops.end_run(%s, 'COMPLETE', NULL, NULL, NULL)", (f"{job}{number}",))


def sender(database: str, server: JsonServer, read: float = 10.0) -> LineageSender:
    return LineageSender(database, Receiver(server.url, KEY, timeout=Timeout(connect=5.0, read=read)).post)


def due(connection: psycopg.Connection) -> None:
    """Let the time of the next attempt come."""
    connection.execute("UPDATE ops.lineage_outbox SET next_attempt_at = '-infinity'")


def waiting(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM ops.lineage_outbox WHERE parked_at IS NULL").fetchone()
    return int(row[0]) if row else 0


def assert_in_order(taken: list[dict[str, Any]]) -> None:
    """Each run began before it ended."""
    begun: set[str] = set()
    for event in taken:
        if event["eventType"] == "START":
            begun.add(event["run"]["runId"])
        else:
            assert event["run"]["runId"] in begun


def test_nothing_is_queued_before_a_sender_was_started(
    connection: psycopg.Connection, server: JsonServer, tmp_path: Path
) -> None:
    note(connection, 1)
    assert waiting(connection) == 0
    assert "no lineage server is configured" in quick(tmp_path, "lineage", "send", "--once", code=2)
    note(connection, 1)
    assert waiting(connection) == 0
    configured = {"TELESTREAM_LINEAGE_URL": server.url, "TELESTREAM_LINEAGE_API_KEY": KEY}
    quick(tmp_path, "lineage", "send", "--once", **configured)
    note(connection, 2)
    refine(connection, [cdr()])
    connection.execute("UPDATE ops.lineage_mark SET noted_at = noted_at - interval '1 minute'")
    assert "8 events sent, 0 parked, 0 wait" in quick(tmp_path, "lineage", "send", "--once", **configured)
    assert len(server.taken) == 8
    for event in server.taken:
        assert_valid(event)
    assert_in_order(server.taken)
    note(connection, 1)
    quick(tmp_path, "lineage", "send", "--off")
    note(connection, 1)
    assert waiting(connection) == 0
    assert all(KEY not in log.read_text() for log in tmp_path.glob("*.log"))


def test_the_command_sends_what_comes_until_it_is_told_to_end(
    queued: psycopg.Connection, server: JsonServer, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text(KEY + "\n")
    environment = {"TELESTREAM_LINEAGE_URL": server.url, "TELESTREAM_LINEAGE_API_KEY_FILE": str(key)}
    with started(tmp_path, "lineage", "send", **environment) as command:
        note(queued, 3)
        wait_for(lambda: len(server.taken) == 6, "the first events are taken", command)
        server.answer = lambda _: (500, {})
        note(queued, 2, "sync.customer")
        wait_for(lambda: "lineage events wait: 500" in command.log, "the outage is told", command)
        server.answer = lambda _: (201, {})
        wait_for(lambda: len(server.taken) == 10, "what waited is taken", command)
        command.terminate()
    assert_in_order(server.taken)
    assert waiting(queued) == 0


def test_a_server_that_cannot_take_them_now_loses_nothing(
    queued: psycopg.Connection, database: str, server: JsonServer
) -> None:
    one = sender(database, server)
    try:
        for status in (500, 503, 429, 408, 401, 404, 302):
            note(queued, 5)
            server.taken.clear()
            server.answer = lambda _, status=status: (status, {"Retry-After": "0"} if status == 429 else {})
            done = one.send_ready()
            # Three in a row are enough to see that it is the server.
            assert (done.sent, done.failed) == (0, 3)
            assert done.pause > 0
            assert str(status) in done.problem
            assert waiting(queued) == 10
            server.answer = lambda _: (201, {})
            due(queued)
            assert one.drain().sent == 10
            assert_in_order(server.taken)
            assert waiting(queued) == 0
    finally:
        one.close()


def test_a_server_that_hangs_or_is_away_loses_nothing(
    queued: psycopg.Connection, database: str, server: JsonServer
) -> None:
    note(queued, 2)
    server.answer = lambda _: None
    one = sender(database, server, read=0.2)
    try:
        assert one.send_ready().failed == 2
        server.released.set()
    finally:
        one.close()
    gone = LineageSender(database, Receiver("http://127.0.0.1:1", KEY).post)
    due(queued)
    try:
        assert "does not answer" in gone.send_ready().problem
    finally:
        gone.close()
    assert waiting(queued) == 4
    server.answer = lambda _: (201, {})
    due(queued)
    one = sender(database, server)
    try:
        assert one.drain().sent == 4
    finally:
        one.close()
    assert_in_order(server.taken)


def test_it_waits_as_long_as_it_is_asked_to(queued: psycopg.Connection, database: str, server: JsonServer) -> None:
    note(queued, 1)
    server.answer = lambda _: (429, {"Retry-After": "600"})
    one = sender(database, server)
    try:
        one.send_ready()
        assert queued.execute(
            "SELECT attempts, next_attempt_at - now() BETWEEN interval '9 minutes' AND interval '11 minutes'"
            " FROM ops.lineage_outbox ORDER BY event_id LIMIT 1"
        ).fetchone() == (1, True)
        asked = server.requests
        assert one.send_ready().failed == 0  # the end of the run waits for its beginning
        assert server.requests == asked
    finally:
        one.close()


def test_what_is_refused_for_good_is_parked_and_in_nobodys_way(
    queued: psycopg.Connection, database: str, server: JsonServer, tmp_path: Path
) -> None:
    note(queued, 1, "bad.job")
    note(queued, 2)
    server.answer = lambda event: (422, {}) if event["job"]["name"] == "bad.job" else (201, {})
    one = sender(database, server)
    try:
        done = one.drain()
    finally:
        one.close()
    assert (done.sent, done.parked, done.failed) == (4, 2, 0)
    assert waiting(queued) == 0
    shown = quick(tmp_path, "lineage", "status")
    assert "bad.job" in shown
    assert "422 Unprocessable" in shown
    server.answer = lambda _: (201, {})
    configured = {"TELESTREAM_LINEAGE_URL": server.url, "TELESTREAM_LINEAGE_API_KEY": KEY}
    assert "2 events sent" in quick(tmp_path, "lineage", "send", "--once", "--parked", **configured)


def test_one_event_the_server_stumbles_over_holds_up_no_other_run(
    queued: psycopg.Connection, database: str, server: JsonServer, tmp_path: Path
) -> None:
    note(queued, 1, "bad.job")
    note(queued, 4)
    server.answer = lambda event: (500, {}) if event["job"]["name"] == "bad.job" else (201, {})
    one = sender(database, server)
    try:
        done = one.drain()
    finally:
        one.close()
    assert (done.sent, done.failed) == (8, 1)
    assert waiting(queued) == 2
    configured = {"TELESTREAM_LINEAGE_URL": server.url, "TELESTREAM_LINEAGE_API_KEY": KEY}
    assert "not all lineage events were sent" in quick(tmp_path, "lineage", "send", "--once", code=75, **configured)


def test_after_a_crash_an_event_may_come_twice_but_none_is_missing(
    queued: psycopg.Connection, database: str, server: JsonServer
) -> None:
    note(queued, 3)
    post = Receiver(server.url, KEY).post
    calls = 0

    def dying(event: str) -> Any:
        nonlocal calls
        answer = post(event)
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return answer

    broken = LineageSender(database, dying)
    with pytest.raises(KeyboardInterrupt):
        broken.send_ready()
    broken.close()
    one = sender(database, server)
    try:
        one.drain()
    finally:
        one.close()
    counts = Counter((event["run"]["runId"], event["eventType"]) for event in server.taken)
    assert len(counts) == 6
    assert sorted(counts.values()) == [1, 1, 1, 1, 1, 2]


def test_of_two_senders_one_works_and_the_other_takes_over(
    queued: psycopg.Connection, database: str, server: JsonServer
) -> None:
    note(queued, 1)
    first, second = sender(database, server), sender(database, server)
    first.send_ready()
    with pytest.raises(TransientError, match="another process"):
        second.send_ready()
    note(queued, 1)
    stop = threading.Event()
    thread = threading.Thread(target=second.run, args=(stop,))
    thread.start()
    try:
        first.close()
        wait_for(lambda: len(server.taken) == 4, "the second has taken over")
    finally:
        stop.set()
        thread.join(30)
        second.close()
    assert not thread.is_alive()


@pytest.mark.parametrize(
    "url", ["nonsense", "ftp://host", "http://user:secret@host", "https://host/?token=secret", "http://"]
)
def test_a_url_that_cannot_be_used_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        Receiver(url)
    assert "secret" not in f"{caught.value} {caught.value.detail} {caught.value.hint}"


def test_a_path_in_the_url_is_taken_as_it_is() -> None:
    assert Receiver("https://lineage.example").url == "https://lineage.example/api/v1/lineage"
    assert Receiver("https://lineage.example/").url == "https://lineage.example/api/v1/lineage"
    assert Receiver("https://lineage.example/ol/events").url == "https://lineage.example/ol/events"
