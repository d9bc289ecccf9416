"""A consumer as a service: it ends cleanly, shows how it is, outlives what it can, and says clearly what it cannot."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from streams import (
    Record,
    Running,
    Stream,
    assert_exactly_once,
    messages_read,
    offsets,
    rows,
    value,
    wait_for,
    wait_until_read,
)

from telestream.consumers import kafka_broker, record_batches
from telestream.consumers.kafka_broker import KafkaBroker
from telestream.db import rollups
from telestream.settings import settings


@pytest.fixture
def stream(kafka_bootstrap: str, redis_url: str, tmp_path: Path) -> Stream:
    return Stream.make(kafka_bootstrap, redis_url, tmp_path)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_batch_in_flight_and_begins_no_other(
    database: str, connection: psycopg.Connection, stream: Stream, number: signal.Signals
) -> None:
    truth = stream.produce(8_000, "--cells", "50", "--bad", "0.01")
    with contextlib.ExitStack() as held, stream.consume("--batch-rows", "1000", "--writers", "1") as consumer:
        held.enter_context(connection.transaction())
        # The refine waits here, so that a batch is in flight for certain.
        connection.execute("LOCK TABLE ops.watermark IN ACCESS EXCLUSIVE MODE")
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'ops.watermark'::regclass"
        wait_for(lambda: value(database, waiting) == 1, "a batch is in flight", consumer)
        consumer.signal(number)
        consumer.says("stopping; the batch in flight is finished")
        time.sleep(0.5)
        assert consumer.process.poll() is None
        assert messages_read(database, stream.topic) == 0
        held.close()
        said = consumer.ends(0, "network_event from Kafka")
    read = messages_read(database, stream.topic)
    assert read == 1_000
    assert f"│ {read:,} " in said
    assert rows(database, "SELECT count(*), sum(rows_in), min(status) FROM ops.batch") == [(1, read, "done")]
    stream.drain()
    assert_exactly_once(database, stream, truth)


def test_metrics_show_the_lag_of_each_partition(database: str, connection: psycopg.Connection, stream: Stream) -> None:
    # Each batch takes a while, so that the lag can be watched as it falls.
    connection.execute(
        "CREATE FUNCTION public.slow_for_test() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_catalog.pg_sleep(0.2); RETURN NEW; END $$"
    )
    connection.execute("GRANT EXECUTE ON FUNCTION public.slow_for_test() TO PUBLIC")
    connection.execute("SET ROLE telestream_owner")
    connection.execute(
        "CREATE TRIGGER slow BEFORE INSERT ON ops.batch FOR EACH ROW EXECUTE FUNCTION public.slow_for_test()"
    )
    truth = stream.produce(8_000, "--cells", "50", "--duplicates", "0.05", "--bad", "0.05")
    ends = stream.log_ends()
    port = free_port()
    with stream.consume("--batch-rows", "500", "--metrics-port", str(port)) as consumer:
        seen: list[dict[int, int]] = []

        def lag() -> dict[int, int]:
            _, text = consumer.get("/metrics")
            found = re.findall(
                r'^telestream_consumer_lag_messages\{partition="(\d+)",topic="' + stream.topic + r'"\} (\S+)$',
                text, re.MULTILINE,
            )  # fmt: skip
            now = {int(partition): int(float(messages)) for partition, messages in found}
            seen.append(now)
            return now

        wait_for(lambda: lag() == dict.fromkeys(ends, 0), "all has been read", consumer)
        known = [one for one in seen if one.keys() == ends.keys()]
        assert known[0] != known[-1]
        for partition, end in ends.items():
            course = [one[partition] for one in known]
            assert course == sorted(course, reverse=True)
            assert course[0] <= end
        assert f"http://127.0.0.1:{port}/metrics" in consumer.log
        _, text = consumer.get("/metrics")
        assert metric(text, "messages_polled_total") == truth.messages
        assert metric(text, "rows_loaded_total") == truth.good
        assert metric(text, "rows_duplicate_total") == truth.duplicates
        assert metric(text, "rows_quarantined_total") == truth.bad_messages
        assert metric(text, "fenced_total") == 0
        status, body = consumer.get("/healthz")
        assert (status, json.loads(body)) == (200, {"healthy": True, "reasons": []})
        assert consumer.get("/other")[0] == 404
        consumer.terminate()


def metric(text: str, name: str) -> float:
    """Return the sum of a metric over its labels."""
    found = re.findall(rf"^telestream_consumer_{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
    assert found, text
    return sum(map(float, found))


def test_without_redis_nothing_but_hot_metrics_is_missing(database: str, stream: Stream) -> None:
    truth = stream.produce(3_000, "--cells", "50")
    gone = f"redis://127.0.0.1:{free_port()}"
    with stream.consume(TELESTREAM_REDIS_URL=gone) as consumer:
        wait_until_read(database, stream, truth.messages, consumer)
        wait_for(lambda: metric(consumer.get("/metrics")[1], "redis_failures_total") > 0, "it is counted", consumer)
        assert consumer.get("/healthz")[0] == 200
        consumer.terminate()
    assert "the cache does not take hot metrics" in consumer.log
    # It ends with its last hour worked out, however short ago the one before was.
    assert value(database, "SELECT count(*) FROM rollup.pending WHERE rollup_name = 'network_1h'") == 0
    assert_exactly_once(database, stream, truth)


def test_batches_wait_for_a_registry_that_does_not_answer(database: str, stream: Stream, tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    truth = stream.produce(2_000, "--cells", "50")
    moved = tmp_path / "moved"
    with stream.consume(TELESTREAM_SCHEMA_REGISTRY=str(registry)) as consumer:
        consumer.says("the folder of the schemas cannot be used")
        assert str(registry) in consumer.log
        # No message is condemned for that.
        assert value(database, "SELECT count(*) FROM ops.dead_letter") == 0
        assert messages_read(database, stream.topic) == 0
        moved.mkdir()
        for one in schema_files():
            (moved / one.name).write_bytes(one.read_bytes())
        moved.rename(registry)
        wait_until_read(database, stream, truth.messages, consumer)
        consumer.terminate()
    assert_exactly_once(database, stream, truth)


def schema_files() -> list[Path]:
    return list((settings().state_dir / "schemas").glob("*.avsc"))


@pytest.fixture
def no_registry() -> Iterator[str]:
    """URL of a server that is no schema registry."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Silent) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Silent(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_that_is_no_registry_is_an_error(database: str, stream: Stream, no_registry: str) -> None:
    stream.produce(100)
    with stream.consume(TELESTREAM_SCHEMA_REGISTRY=no_registry) as consumer:
        consumer.ends(
            1, "error: there is no schema registry at the URL", no_registry, "hint: Correct TELESTREAM_SCHEMA_REGISTRY"
        )
    assert value(database, "SELECT count(*) FROM ops.dead_letter") == 0
    assert set(offsets(database, stream.topic).values()) == {0}


def test_a_topic_that_does_not_exist(database: str, stream: Stream) -> None:
    for chosen in (("--partitions", "all"), ("--group", "test-no-topic", "--session-timeout", "2")):
        with stream.start("consume", "network-events", "--topic", "no-such-topic", *chosen) as consumer:
            consumer.ends(
                1, "error: the topic no-such-topic does not exist", stream.bootstrap, "telestream topics create"
            )


def test_a_partition_that_does_not_exist(database: str, stream: Stream) -> None:
    with stream.consume("--partitions", "0,9") as consumer:
        consumer.ends(2, f"error: the topic {stream.topic} has no partition 9", "hint: It has 0 to 3")


@pytest.mark.parametrize("text", ["first", "3-", "1,,2", "-1"])
def test_partitions_that_are_no_numbers(database: str, stream: Stream, text: str) -> None:
    with stream.consume(f"--partitions={text}", "--partitions", text) as consumer:
        consumer.ends(2, "names no partitions", "hint: Write `all`, `0-3` or `1,5`")


def test_no_broker(database: str, stream: Stream) -> None:
    gone = f"127.0.0.1:{free_port()}"
    with stream.consume("--group", "test-no-broker", TELESTREAM_KAFKA_BOOTSTRAP=gone) as consumer:
        consumer.ends(75, "error: the broker does not answer", gone, "TELESTREAM_KAFKA_BOOTSTRAP")


def test_no_database(database: str, stream: Stream) -> None:
    gone = f"postgresql://someone:secret-word@127.0.0.1:{free_port()}/nowhere"
    with stream.consume(TELESTREAM_DATABASE_URL=gone) as consumer:
        said = consumer.ends(75, "error: the database does not answer", "database nowhere", "hint:")
    assert "secret-word" not in said


def test_a_database_without_tables(empty_database: str, vault_key_file: str, stream: Stream) -> None:
    with stream.consume(TELESTREAM_DATABASE_URL=empty_database) as consumer:
        consumer.ends(1, "telestream db upgrade")


def test_no_vault_key(database: str, stream: Stream, tmp_path: Path) -> None:
    with stream.consume(TELESTREAM_VAULT_KEY_FILE=str(tmp_path / "none")) as consumer:
        consumer.ends(1, "error:", str(tmp_path / "none"), "hint:")


def test_a_port_that_is_taken(database: str, stream: Stream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with stream.consume("--metrics-port", str(port)) as consumer:
            consumer.ends(1, "error:", str(port), "hint:")


def test_an_empty_topic_is_drained_at_once(database: str, stream: Stream) -> None:
    stream.drain()
    assert offsets(database, stream.topic) == dict.fromkeys(range(stream.partitions), 0)
    assert rollups.check(database) == []


def test_a_topic_that_was_made_again_is_read_from_its_beginning(database: str, stream: Stream) -> None:
    first = stream.produce(2_000, "--cells", "50")
    with stream.consume() as consumer:
        wait_until_read(database, stream, first.messages, consumer)
        stream.make_again()
        second = stream.produce(1_500, "--cells", "50", "--seed", "2")
        counted(database, stream, first.messages + second.messages, consumer)
        consumer.says("was made again")
        consumer.terminate()
    assert value(database, "SELECT count(*) FROM silver.fact_network_event") == first.good + second.good
    assert value(database, "SELECT count(DISTINCT incarnation) FROM ops.kafka_offset") == 2
    assert rollups.check(database) == []


def counted(database: str, stream: Stream, messages: int, consumer: Running) -> None:
    query = "SELECT coalesce(sum(messages), 0) FROM ops.kafka_slice WHERE topic = %s"
    wait_for(lambda: value(database, query, stream.topic) >= messages, f"{messages} messages in batches", consumer)


@pytest.mark.parametrize("fast", [True, False])
def test_partitions_that_were_paused_with_messages_in_hand_all_go_on(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    monkeypatch.setattr(record_batches, "fast_reading_fits", lambda: fast)
    # A poll stops after so many record batches, or records: what is left of its fetch is in the client's hands.
    monkeypatch.setattr(kafka_broker, "_MAX_CHUNKS", 8)
    monkeypatch.setattr(kafka_broker, "_MAX_RECORDS", 8)
    each = 100
    for _ in range(each // 4):
        stream.send([Record(number, None, b"x") for number in (0, 1) for _ in range(4)])
    read = {0: 0, 1: 0}
    broker = KafkaBroker({"bootstrap_servers": stream.bootstrap}, stream.topic, partitions=[0, 1])

    def poll() -> list[int]:
        found = broker.poll(0.1).messages
        for messages in found:
            read[messages.partition] += len(messages)
        return [messages.partition for messages in found]

    try:
        assert broker.poll(0.1).assigned == [0, 1]
        for number in (0, 1):
            broker.seek(number, 0)
        # One after the other is paused in the midst of what was fetched of it.
        paused: set[int] = set()
        while paused != {0, 1}:
            came = poll()
            broker.pause(came)
            paused.update(came)
        for _ in range(3):
            assert poll() == []
        assert read[0] < each
        assert read[1] < each
        broker.resume([0, 1])
        wait_for(lambda: poll() == [] and read == {0: each, 1: each}, "all is read", seconds=20)
    finally:
        broker.close()


def test_a_partition_that_was_taken_away_is_neither_sought_nor_read(stream: Stream) -> None:
    stream.send([Record(0, None, b"x")])
    broker = KafkaBroker({"bootstrap_servers": stream.bootstrap}, stream.topic, partitions=[0])
    try:
        assert broker.poll(0.1).assigned == [0]
        broker.seek(0, 0)
        broker.seek(1, 0)
        assert broker.positions([0, 1]) == {0: 0}
    finally:
        broker.close()
