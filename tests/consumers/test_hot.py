"""Hot metrics in Redis: the newest window stays, and a Redis that is down or hangs stops nobody."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
import redis

from telestream.channels import HOT, HOT_NETWORK, cache_url
from telestream.consumers.hot import HotMetrics, HotRow, HotTotals
from telestream.consumers.telemetry import Telemetry
from telestream.errors import UsageError
from telestream.stack import cache as cache_server
from telestream.stack import lifecycle
from telestream.stack.state import StackPaths, StackState

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ROW = HotRow(NOON, "234-15-1", "4g", 10, 1, 2, 31.5, -95.25, 20_000.0)
TOTALS = HotTotals(NOON, 10, 1, 2, 31.5, None, 20_000.0)


@pytest.fixture
def client(stack: StackState) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(stack.redis_url, decode_responses=True) as opened:
        opened.flushall()
        yield opened


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def hot(stack: StackState, telemetry: Telemetry) -> Iterator[HotMetrics]:
    opened = HotMetrics(stack.redis_url, telemetry)
    yield opened
    opened.close()


def failures(telemetry: Telemetry) -> float:
    return telemetry.registry.get_sample_value("telestream_consumer_redis_failures_total") or 0.0


def publishes_again(hot: HotMetrics, rows: Sequence[HotRow] = (ROW,), seconds: float = 30) -> bool:
    """Publish until Redis takes it; on a busy machine an answer may come too late for the client's patience."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if hot.publish(rows, TOTALS):
            return True
        time.sleep(0.02)
    return False


def share_of(hot: HotMetrics, seconds: float) -> float:
    """Publish for a while to a cache that does not take it; return the share of the time spent in calls."""
    inside = 0.0
    end = time.monotonic() + seconds
    while (started := time.monotonic()) < end:
        assert not hot.publish([ROW], TOTALS)
        inside += time.monotonic() - started
        time.sleep(0.01)
    return inside / seconds


def test_a_window_becomes_a_hash_that_expires(hot: HotMetrics, client: redis.Redis) -> None:
    assert hot.publish([ROW], TOTALS)
    assert client.hgetall("telestream:hot:cell:234-15-1:4g") == {
        "bucket": "2026-03-01T12:00:00Z", "events": "10", "drops": "1", "handover_failures": "2",
        "latency_ms_mean": "31.5", "rsrp_dbm_mean": "-95.25", "throughput_down_kbps_mean": "20000.0",
    }  # fmt: skip
    network = client.hgetall(HOT_NETWORK)
    assert (network["events"], network["rsrp_dbm_mean"]) == ("10", "")
    for key in (ROW.key, HOT_NETWORK):
        assert 880 < client.ttl(key) <= 900


def test_writing_again_changes_nothing(hot: HotMetrics, client: redis.Redis) -> None:
    for _ in range(3):
        assert hot.publish([ROW], TOTALS)
    assert client.hget(ROW.key, "events") == "10"
    assert sorted(client.keys()) == sorted([ROW.key, HOT_NETWORK])


def test_the_newest_and_fullest_state_of_a_window_stays(hot: HotMetrics, client: redis.Redis) -> None:
    later, fuller = NOON + timedelta(minutes=5), dataclasses.replace(ROW, events=12, drops=3)
    states = [ROW, fuller, dataclasses.replace(ROW, bucket=later, events=1, drops=0)]
    for newest in range(1, 4):
        for state in (*states[:newest], states[0]):
            hot.publish([state], TOTALS)
        kept = client.hmget(ROW.key, "bucket", "events", "drops")
        want = states[newest - 1]
        assert kept == [f"{want.bucket:%Y-%m-%dT%H:%M:%SZ}", str(want.events), str(want.drops)]


def test_several_windows_of_a_cell_in_any_order_leave_the_newest(hot: HotMetrics, client: redis.Redis) -> None:
    rows = [dataclasses.replace(ROW, bucket=NOON + timedelta(minutes=5 * n), events=20 - n) for n in (1, 3, 0, 2)]
    hot.publish(rows, TOTALS)
    assert client.hget(ROW.key, "events") == "17"


def test_a_bucket_in_another_zone_is_the_same_bucket(hot: HotMetrics, client: redis.Redis) -> None:
    east = NOON.astimezone(datetime.strptime("+0530", "%z").tzinfo)
    hot.publish([dataclasses.replace(ROW, bucket=east)], dataclasses.replace(TOTALS, bucket=east))
    assert client.hget(ROW.key, "bucket") == "2026-03-01T12:00:00Z"


def test_thousands_of_cells_are_one_call(hot: HotMetrics, client: redis.Redis) -> None:
    rows = [dataclasses.replace(ROW, cell_id=f"234-15-{n}") for n in range(5_001)]
    assert publishes_again(hot, rows)
    assert client.dbsize() == 5_002
    assert all(client.hget(row.key, "events") == "10" for row in rows[::500])


def test_listeners_get_a_notice(hot: HotMetrics, client: redis.Redis) -> None:
    with client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(HOT)
        listener.get_message(timeout=60)
        hot.publish([ROW], TOTALS)
        notice = listener.get_message(timeout=60)
    assert notice is not None
    assert json.loads(notice["data"]) == {"bucket": "2026-03-01T12:00:00Z", "cells": 1, "events": 10}


def test_a_killed_cache_is_survived_and_used_again(hot: HotMetrics, client: redis.Redis, telemetry: Telemetry) -> None:
    assert hot.publish([ROW], TOTALS)
    pid = cache_server.server_pid(StackPaths.current())
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    share_of(hot, 1.5)
    assert failures(telemetry) > 10
    lifecycle.up()
    assert publishes_again(hot)
    assert client.hget(ROW.key, "events") == "10"


def test_a_cache_that_hangs_costs_little_and_is_used_again(
    hot: HotMetrics, client: redis.Redis, telemetry: Telemetry
) -> None:
    assert hot.publish([ROW], TOTALS)
    pid = cache_server.server_pid(StackPaths.current())
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        share = share_of(hot, 5)
    finally:
        os.kill(pid, signal.SIGCONT)
    # Each call would take the client's whole patience, were a server that failed not left alone for a while.
    assert share < 0.5
    assert publishes_again(hot)
    client.ping()


def test_an_address_that_swallows_everything_costs_little(telemetry: Telemetry) -> None:
    # A full queue of connections: the kernel answers no further one, as a firewall would.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        queued = []
        for _ in range(4):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(address)
            queued.append(waiting)
        hot = HotMetrics(f"redis://127.0.0.1:{address[1]}/0", telemetry)
        share = share_of(hot, 3)
        hot.close()
        for waiting in queued:
            waiting.close()
    assert share < 0.5


def test_a_server_that_failed_is_not_asked_again_at_once(telemetry: Telemetry) -> None:
    now = 0.0
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.01)
        hot = HotMetrics(f"redis://127.0.0.1:{listener.getsockname()[1]}/0", telemetry, clock=lambda: now)
        asked = []
        for now in (0.0, 0.5, 0.99, 1.0, 1.5, 2.0):
            hot.publish([ROW], TOTALS)
            try:
                listener.accept()[0].close()
                asked.append(now)
            except TimeoutError:
                pass
        hot.close()
    assert asked == [0.0, 1.0, 2.0]
    assert failures(telemetry) == 6


def test_an_answer_that_is_not_of_redis_is_a_failure(stack: StackState, telemetry: Telemetry) -> None:
    hot = HotMetrics(stack.redis_url.replace(stack.redis_password, "wrong"), telemetry)
    assert not hot.publish([ROW], TOTALS)
    hot.close()
    assert failures(telemetry) == 1


def test_a_url_of_something_else_is_a_clear_error(telemetry: Telemetry) -> None:
    with pytest.raises(UsageError, match="URL of the cache"):
        HotMetrics("postgresql://127.0.0.1/x", telemetry)


def test_the_url_is_that_of_the_embedded_cache_by_default(stack: StackState) -> None:
    assert cache_url() == stack.redis_url
