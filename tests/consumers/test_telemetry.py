"""The metrics are listed, documented and served; the health says why it is bad."""

from __future__ import annotations

import json
import re
import socket
import threading
import urllib.error
import urllib.request

import pytest
from command import ROOT

from telestream import metrics
from telestream.consumers.telemetry import Health, HealthWatch, Stage, Telemetry, serve
from telestream.errors import TerminalError


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def get(port: int, path: str) -> tuple[int, str, str]:
    """Return status, type and body of an answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def used() -> Telemetry:
    """Return metrics after every method was called once."""
    telemetry = Telemetry()
    telemetry.polled("network-events", 10)
    for stage in Stage:
        with telemetry.timed(stage):
            pass
    telemetry.committed("network_event", loaded=6, duplicate=1, quarantined=2, late=3, at=1_700_000_000.0)
    telemetry.latency("network-events", 0.3)
    telemetry.dead_lettered("network-events", "unknown_schema", 4)
    telemetry.lag("network-events", 0, 5)
    telemetry.lag("network-events", 1, 6)
    telemetry.paused(2)
    telemetry.fenced()
    telemetry.reconnected("database")
    telemetry.outbox_pending(alerts=7, dead_letters=8)
    telemetry.alerts_published(9)
    telemetry.alert_refused()
    telemetry.dead_letters_published(11)
    telemetry.redis_failed()
    return telemetry


def test_every_metric_of_the_list_is_shown_and_no_other() -> None:
    shown = dict(re.findall(r"^# TYPE (\S+) (\S+)$", used().text().decode(), re.MULTILINE))
    assert shown == {metric.full_name: metric.kind for metric in metrics.of("consumer")}


def test_the_methods_set_what_they_say() -> None:
    telemetry = used()
    telemetry.forget_partition("network-events", 1)
    samples = {
        (sample.name.removeprefix("telestream_consumer_"), *sample.labels.values()): sample.value
        for family in telemetry.registry.collect()
        for sample in family.samples
        if not sample.name.endswith(("_bucket", "_sum"))
    }
    assert samples == {
        ("messages_polled_total", "network-events"): 10,
        **{("batch_seconds_count", stage.value): 1 for stage in Stage},
        ("commit_latency_seconds_count", "network-events"): 1,
        ("rows_loaded_total", "network_event"): 6,
        ("rows_duplicate_total", "network_event"): 1,
        ("rows_quarantined_total", "network_event"): 2,
        ("rows_late_total", "network_event"): 3,
        ("last_commit_timestamp_seconds",): 1_700_000_000.0,
        ("dead_letters_total", "network-events", "unknown_schema"): 4,
        ("lag_messages", "network-events", "0"): 5,
        ("paused_partitions",): 2,
        ("fenced_total",): 1,
        ("reconnects_total", "database"): 1,
        ("outbox_pending", "alerts"): 7,
        ("outbox_pending", "dead_letters"): 8,
        ("alerts_published_total",): 9,
        ("alerts_refused_total",): 1,
        ("dead_letters_published_total",): 11,
        ("redis_failures_total",): 1,
    }


def test_a_partition_without_lag_can_be_forgotten() -> None:
    Telemetry().forget_partition("network-events", 1)


def test_two_consumers_in_one_process_do_not_share_metrics() -> None:
    assert used().registry is not Telemetry().registry
    assert b"paused_partitions 0.0" in Telemetry().text()


def test_the_page_of_metrics_has_the_list_as_it_is() -> None:
    assert metrics.metrics_table("consumer") in (ROOT / "docs" / "metrics.md").read_text()


def test_metrics_and_health_are_served() -> None:
    health = Health()
    with serve(used(), lambda: health) as server:
        status, content_type, body = get(server.port, "/metrics")
        assert (status, content_type.partition(";")[0]) == (200, "text/plain")
        assert "telestream_consumer_paused_partitions 2.0\n" in body
        status, content_type, body = get(server.port, "/healthz")
        assert (status, content_type, json.loads(body)) == (
            200, "application/json", {"healthy": True, "reasons": []},
        )  # fmt: skip
        health = Health(("no successful poll for 61 s",))
        status, _, body = get(server.port, "/healthz?verbose")
        assert (status, json.loads(body)) == (503, {"healthy": False, "reasons": ["no successful poll for 61 s"]})
        assert get(server.port, "/")[0] == 404


def test_a_closed_server_leaves_neither_thread_nor_port() -> None:
    before = set(threading.enumerate())
    with serve(Telemetry(), Health) as server:
        port = server.port
        get(port, "/metrics")
        silent = socket.create_connection(("127.0.0.1", port))
        get(port, "/healthz")  # answered after the silent one was taken
    with silent:
        assert set(threading.enumerate()) == before
        assert silent.recv(1) == b""
    with serve(Telemetry(), Health, port=port) as again:
        assert again.port == port


def test_a_client_that_says_nothing_holds_nobody_up() -> None:
    with serve(Telemetry(), Health) as server, socket.create_connection(("127.0.0.1", server.port)):
        assert get(server.port, "/healthz")[0] == 200


def test_an_address_in_use_is_a_clear_error() -> None:
    with serve(Telemetry(), Health) as server, pytest.raises(TerminalError, match="cannot listen on") as caught:
        serve(Telemetry(), Health, port=server.port)
    assert caught.value.detail
    assert caught.value.hint


def test_a_consumer_that_polls_and_has_its_database_is_healthy() -> None:
    clock = Clock()
    watch = HealthWatch(clock=clock)
    for _ in range(10):
        clock.now += 59
        watch.polled()
        assert watch.health().healthy


def test_a_minute_without_a_poll_is_not_healthy_until_the_next_one() -> None:
    clock = Clock()
    watch = HealthWatch(clock=clock)
    clock.now += 61
    assert watch.health().reasons == ("no successful poll for 61 s",)
    watch.polled()
    assert watch.health().healthy


def test_a_minute_without_database_is_not_healthy_until_it_answers() -> None:
    clock = Clock()
    watch = HealthWatch(clock=clock)
    for _ in range(7):
        watch.polled()
        watch.database_lost()
        assert watch.health().healthy
        clock.now += 10
    watch.polled()
    assert watch.health().reasons == ("the database has not answered for 70 s",)
    watch.database_answered()
    assert watch.health().healthy


def test_a_fenced_consumer_is_never_healthy_again() -> None:
    watch = HealthWatch()
    watch.fenced()
    watch.polled()
    watch.database_answered()
    assert watch.health().reasons == ("another consumer has claimed its partitions",)
