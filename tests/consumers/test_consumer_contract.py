"""The consumer against both brokers and a real database: whatever happens, each event counts once and nothing is lost."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import psycopg
import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic
from memory_broker import MemoryBroker, MemoryTopic

from telestream.consumers.bad_share import BadShare
from telestream.consumers.broker import Broker, Polled
from telestream.consumers.consumer import Consumer, Limits, Totals
from telestream.consumers.datasets import NETWORK_EVENTS, Dataset
from telestream.consumers.decode import AvroDecoder
from telestream.consumers.kafka_broker import KafkaBroker
from telestream.consumers.lateness import AHEAD, Lateness
from telestream.consumers.prepare import Batch, Prepared, prepare
from telestream.consumers.registry import UnknownSchemaError, packaged_schema
from telestream.consumers.telemetry import HealthWatch, Telemetry
from telestream.consumers.wire import AvroEncoder
from telestream.consumers.writer import Writer, Written
from telestream.db import rollups
from telestream.db.vault import vault_key
from telestream.errors import BadShareError, FencedError, GapError, TerminalError, TransientError

# kafka-python leaves the sockets of failed attempts to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

PARTITIONS = 4
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ALLOWED = timedelta(minutes=10)
MICRO = timedelta(microseconds=1)
SCHEMA = packaged_schema("network_event")
ENCODER = AvroEncoder(packaged_schema("network_event"), 1)


class OneSchema:
    """A registry that knows schema 1."""

    def schema(self, schema_id: int) -> dict[str, Any]:
        if schema_id != 1:
            raise UnknownSchemaError("unknown")
        return SCHEMA

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        raise NotImplementedError

    def latest(self, subject: str) -> tuple[int, dict[str, Any]] | None:
        raise NotImplementedError


def event(name: object, at: datetime = NOW, **changes: Any) -> bytes:
    """A message; the event's name is in `cause` as well, where Silver shows it."""
    fields = {"event_id": str(name), "event_at": at, "source_system": "oss-01", "event_type": "kpi_sample"}
    more = {"cell_id": "234-15-1", "technology": "4g", "cause": str(name), "rsrp_dbm": -80.0, "latency_ms": 25.0}
    return ENCODER.encode(fields | more | changes)


def events(first: int, end: int) -> list[tuple[int, bytes]]:
    """Messages named by their number, over all partitions."""
    return [(number % PARTITIONS, event(number, NOW + timedelta(seconds=number))) for number in range(first, end)]


# The brokers --------------------------------------------------------------------------------------


class Place(Protocol):
    """A topic on a broker, and how many messages each partition has got."""

    name: str
    produced: Counter[int]

    def broker(self, *, group: str | None = None) -> Broker: ...

    def produce(self, messages: Iterable[tuple[int, bytes | None]]) -> None: ...

    def make_again(self) -> None: ...


class MemoryPlace:
    def __init__(self) -> None:
        self.name = "events"
        self.topic = MemoryTopic(self.name, PARTITIONS)
        self.produced: Counter[int] = Counter()

    def broker(self, *, group: str | None = None, rows: int = 500) -> MemoryBroker:
        return MemoryBroker(self.topic, group=group, rows=rows)

    def produce(self, messages: Iterable[tuple[int, bytes | None]]) -> None:
        for partition, value in messages:
            self.topic.produce(partition, b"key", value)
            self.produced[partition] += 1

    def delete(self) -> None:
        self.topic.delete()

    def make_again(self) -> None:
        self.topic.make_again()
        self.produced.clear()


class KafkaPlace:
    def __init__(self, bootstrap: str) -> None:
        self.options = {"bootstrap_servers": bootstrap}
        self.name = f"contract-{uuid.uuid4()}"
        self.produced: Counter[int] = Counter()
        self.admin = KafkaAdminClient(**self.options)
        # Each message a record batch: a fetch then brings more of them than a poll takes.
        self.producer = KafkaProducer(**self.options, batch_size=0)
        self._make()

    def _make(self) -> None:
        self.admin.create_topics([NewTopic(self.name, PARTITIONS, 1)])

    def broker(self, *, group: str | None = None) -> KafkaBroker:
        return KafkaBroker(self.options, self.name, group=group, session_timeout_s=2)

    def produce(self, messages: Iterable[tuple[int, bytes | None]]) -> None:
        for partition, value in messages:
            self.producer.send(self.name, value, b"key", partition=partition)
            self.produced[partition] += 1
        self.producer.flush()

    def delete(self) -> None:
        self.admin.delete_topics([self.name])

    def make_again(self) -> None:
        self.delete()
        self._make()
        self.produced.clear()

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.delete()
        self.producer.close()
        self.admin.close()


@pytest.fixture
def memory() -> MemoryPlace:
    return MemoryPlace()


@pytest.fixture(params=["memory", "kafka"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "memory":
        yield MemoryPlace()
        return
    made = KafkaPlace(request.getfixturevalue("kafka_bootstrap"))
    yield made
    made.close()


# Consumers ----------------------------------------------------------------------------------------


@dataclass
class Readers:
    """Makes consumers that write to the test's database."""

    url: str

    def consumer(
        self,
        broker: Broker,
        *,
        writer: Callable[..., Writer] = Writer,
        writers: int = 1,
        dataset: Dataset = NETWORK_EVENTS,
        owner: str = "first",
        max_bad_share: float = 0.1,
        batch_rows: int = 50,
        linger_s: float = 0.02,
        accept_gap: bool = False,
        telemetry: Telemetry | None = None,
    ) -> Consumer:
        telemetry = telemetry or Telemetry()
        decoder = AvroDecoder(OneSchema(), SCHEMA)
        lateness = Lateness(ALLOWED, lambda: NOW)
        return Consumer(
            url=self.url,
            broker=broker,
            dataset=dataset.name,
            writers=[writer(self.url, vault_key(), dataset, telemetry) for _ in range(writers)],
            prepare=lambda batch: prepare(batch, dataset, decoder, lateness),
            bad_share=BadShare(max_bad_share),
            limits=Limits(batch_rows, linger_s, accept_gap),
            owner=owner,
            telemetry=telemetry,
            health=HealthWatch(),
            after_commit=lambda _: None,
        )

    def drain(self, broker: Broker, **options: Any) -> Totals:
        return self.consumer(broker, **options).run(threading.Event(), drain=True)


@pytest.fixture
def readers(database: str) -> Readers:
    return Readers(database)


@dataclass
class Running:
    stop: threading.Event
    result: Future[Totals]


@contextlib.contextmanager
def running(*consumers: Consumer, drain: bool = False) -> Iterator[list[Running]]:
    """Consumers in threads of their own, stopped at the end of the block."""
    with ThreadPoolExecutor(len(consumers)) as pool:
        started = []
        for consumer in consumers:
            stop = threading.Event()
            started.append(Running(stop, pool.submit(consumer.run, stop, drain=drain)))
        try:
            yield started
        finally:
            for one in started:
                one.stop.set()


def wait_for(condition: Callable[[], object], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


# What the database says ---------------------------------------------------------------------------


def silver(connection: psycopg.Connection) -> dict[str, bool]:
    """Name of each event in Silver, and whether it was late."""
    rows = connection.execute("SELECT cause, is_late FROM silver.fact_network_event").fetchall()
    assert len(dict(rows)) == len(rows)
    return dict(rows)


def names(end: int, first: int = 0) -> set[str]:
    return {str(number) for number in range(first, end)}


def read(connection: psycopg.Connection, topic: str) -> int:
    """Messages of a topic that have been read, whatever became of them."""
    row = connection.execute("SELECT sum(messages) FROM ops.kafka_slice WHERE topic = %s", (topic,)).fetchone()
    assert row is not None
    return int(row[0] or 0)


def offsets(connection: psycopg.Connection, incarnation: str) -> dict[int, int]:
    query = "SELECT partition, next_offset FROM ops.kafka_offset WHERE incarnation = %s"
    return dict(connection.execute(query, (incarnation,)).fetchall())


def incarnation(place: Place) -> str:
    with contextlib.closing(place.broker()) as broker:
        return broker.incarnation()


def assert_all_accounted_for(connection: psycopg.Connection, readers: Readers, place: Place) -> None:
    """Everything of the log was read once, every row has its place, and Gold equals Silver."""
    here = incarnation(place)
    assert offsets(connection, here) == {one: place.produced[one] for one in range(PARTITIONS)}
    taken = connection.execute(
        "SELECT s.partition, s.first_offset + g FROM ops.kafka_slice AS s, generate_series(0, s.messages - 1) AS g"
        " WHERE s.incarnation = %s ORDER BY 1, 2",
        (here,),
    ).fetchall()
    assert taken == [(one, offset) for one in range(PARTITIONS) for offset in range(place.produced[one])]
    assert_reconciled(connection, readers)


def assert_reconciled(connection: psycopg.Connection, readers: Readers) -> None:
    wrong = connection.execute(
        "SELECT b.batch_id FROM ops.batch AS b"
        " WHERE b.status <> 'done' OR b.rows_in <> b.rows_loaded + b.rows_duplicate + b.rows_quarantined"
        " OR b.rows_in + (SELECT count(*) FROM ops.dead_letter AS l WHERE l.batch_id = b.batch_id)"
        " <> (SELECT sum(s.messages) FROM ops.kafka_slice AS s WHERE s.batch_id = b.batch_id)"
    ).fetchall()
    assert wrong == []
    loaded = connection.execute("SELECT coalesce(sum(rows_loaded), 0) FROM ops.batch").fetchone()
    assert loaded == (len(silver(connection)),)
    assert rollups.check(readers.url) == []
    gold = "SELECT bucket, sum(events), sum(late_events) FROM gold.network_5m GROUP BY 1 ORDER BY 1"
    facts = (
        "SELECT date_bin('5 minutes', event_at, '2000-01-01+00'), count(*), count(*) FILTER (WHERE is_late)"
        " FROM silver.fact_network_event GROUP BY 1 ORDER BY 1"
    )
    assert connection.execute(gold).fetchall() == connection.execute(facts).fetchall()


# Every event once ---------------------------------------------------------------------------------


def test_each_event_counts_once(readers: Readers, place: Place, connection: psycopg.Connection) -> None:
    same_batch = [(1, event(1, NOW + timedelta(seconds=1)))] * 3
    wrong = [(0, event("wrong type", event_type="party")), (3, event("", cause="no id"))]
    bad: list[tuple[int, bytes | None]] = [(2, None), (3, b"\0\0\0\0\2?"), (3, b"?")]
    place.produce([*events(0, 200), *same_batch, *wrong, *bad])
    first = readers.drain(place.broker(), writers=2)
    place.produce([*events(150, 260), *events(0, 10)])
    second = readers.drain(place.broker(), writers=2)
    assert silver(connection).keys() == names(260)
    assert (first.messages, first.rows_in, first.dead) == (208, 205, 3)
    assert (first.loaded, first.duplicate, first.quarantined) == (200, 3, 2)
    assert (second.messages, second.rows_in, second.dead) == (120, 120, 0)
    assert (second.loaded, second.duplicate, second.quarantined) == (60, 60, 0)
    assert first.batches + second.batches == connection.execute("SELECT count(*) FROM ops.batch").fetchone()[0]
    assert_all_accounted_for(connection, readers, place)


def test_a_drained_topic_without_messages_ends_it(readers: Readers, place: Place) -> None:
    assert readers.drain(place.broker()).messages == 0


def test_what_cannot_be_decoded_is_kept_with_its_place_and_reason(
    readers: Readers, place: Place, connection: psycopg.Connection
) -> None:
    good = event("good")
    values = [good, None, b"\1" + good[1:], b"\0", b"\0\0\0\0\2" + good[5:], good[:-1], good + b"\0", event("last")]
    place.produce((2, value) for value in values)
    totals = readers.drain(place.broker(), max_bad_share=1)
    letters = connection.execute(
        "SELECT topic, partition, kafka_offset, reason, key, value FROM ops.dead_letter ORDER BY kafka_offset"
    ).fetchall()
    reasons = ["null_value", "wrong_magic", "too_short", "unknown_schema", "undecodable", "undecodable"]
    assert letters == [(place.name, 2, n, reason, b"key", values[n]) for n, reason in enumerate(reasons, 1)]
    assert silver(connection).keys() == {"good", "last"}
    assert (totals.messages, totals.rows_in, totals.dead) == (8, 2, 6)
    assert_all_accounted_for(connection, readers, place)


# Lateness -----------------------------------------------------------------------------------------


def stream(seed: int) -> list[tuple[int, str, datetime]]:
    """Partition, name and time of events around the border of lateness, some of them twice."""
    chosen = random.Random(seed)
    steps = [timedelta(0), ALLOWED, ALLOWED + MICRO, ALLOWED - MICRO, timedelta(minutes=3), 3 * ALLOWED]
    found = [
        (1, "start", NOW - timedelta(hours=1)),
        (1, "on the border", NOW - timedelta(hours=1) - ALLOWED),
        (1, "behind it", NOW - timedelta(hours=1) - ALLOWED - MICRO),
        (2, "as far ahead as may be", NOW + AHEAD),
        (2, "late by that", NOW + AHEAD - ALLOWED - MICRO),
        (3, "too far ahead", NOW + AHEAD + MICRO),
        (3, "not late by that", NOW - timedelta(minutes=30)),
    ]
    for number in range(40):
        partition = chosen.randrange(PARTITIONS)
        found.append((partition, str(number), NOW - timedelta(minutes=chosen.randrange(60)) - chosen.choice(steps)))
        if chosen.random() < 0.2:
            found.append(chosen.choice([one for one in found if one[0] == partition]))
    return found


def judged(arrivals: Iterable[tuple[int, str, datetime]]) -> dict[str, bool]:
    """Judge one event after the other; the first of two same ones counts."""
    latest: dict[int, datetime] = {}
    late: dict[str, bool] = {}
    for partition, name, at in arrivals:
        late.setdefault(name, partition in latest and at < latest[partition] - ALLOWED)
        if at <= NOW + AHEAD:
            latest[partition] = max(at, latest.get(partition, at))
    return late


@pytest.mark.parametrize("batch_rows", [1, 7, 1000])
def test_lateness_does_not_depend_on_batches(
    readers: Readers, place: Place, connection: psycopg.Connection, batch_rows: int
) -> None:
    arrivals = stream(seed=1)
    expected = judged(arrivals)
    assert {True, False} == {expected["behind it"], expected["on the border"]}
    for part in (arrivals[:25], arrivals[25:]):  # what was the latest before is known to the next consumer
        place.produce((partition, event(name, at)) for partition, name, at in part)
        totals = readers.drain(place.broker(), batch_rows=batch_rows)
        assert totals.batches >= totals.messages / batch_rows
    assert silver(connection) == expected
    assert_all_accounted_for(connection, readers, place)


def test_a_late_event_joins_the_window_it_belongs_to(
    readers: Readers, memory: MemoryPlace, connection: psycopg.Connection
) -> None:
    windows = "SELECT events, late_events FROM gold.network_5m ORDER BY bucket"
    memory.produce([(0, event("early", NOW - timedelta(hours=1))), (0, event("now"))])
    readers.drain(memory.broker())
    assert connection.execute(windows).fetchall() == [(1, 0), (1, 0)]
    memory.produce([(0, event("late", NOW - timedelta(hours=1)))])
    assert readers.drain(memory.broker()).late == 1
    assert connection.execute(windows).fetchall() == [(2, 1), (1, 0)]
    assert_all_accounted_for(connection, readers, memory)


# Ends ---------------------------------------------------------------------------------------------


def test_too_many_bad_messages_stop_before_their_batch(
    readers: Readers, place: Place, connection: psycopg.Connection
) -> None:
    place.produce((0, event(number)) for number in range(200))
    place.produce((0, b"garbage %d" % number) for number in range(200))
    exactly = {"batch_rows": 200, "linger_s": 600}
    with pytest.raises(BadShareError, match="200 of the last 400 messages"):
        readers.drain(place.broker(), **exactly)
    assert offsets(connection, incarnation(place))[0] == 200
    assert connection.execute("SELECT count(*) FROM ops.dead_letter").fetchone() == (0,)
    assert readers.drain(place.broker(), **exactly, max_bad_share=1).dead == 200
    assert silver(connection).keys() == names(200)
    assert_all_accounted_for(connection, readers, place)


class Gated(Writer):
    """Writes a batch once the gate is open."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.began = threading.Event()
        self.gate = threading.Event()

    def write(self, batch: Batch, prepared: Prepared, *, again: bool = False) -> Written:
        self.began.set()
        assert self.gate.wait(60)
        return super().write(batch, prepared, again=again)


class Made:
    """Makes writers of a kind and keeps them."""

    def __init__(self, kind: Callable[..., Writer]) -> None:
        self.kind = kind
        self.all: list[Any] = []

    def __call__(self, *args: Any) -> Writer:
        self.all.append(self.kind(*args))
        made: Writer = self.all[-1]
        return made


def test_stopped_it_finishes_the_batch_in_flight(
    readers: Readers, place: Place, connection: psycopg.Connection
) -> None:
    place.produce(events(0, 300))
    made = Made(Gated)
    with running(readers.consumer(place.broker(), writer=made)) as (one,):
        assert made.all[0].began.wait(60)
        one.stop.set()
        made.all[0].gate.set()
        assert one.result.result().messages == 50
    assert sum(offsets(connection, incarnation(place)).values()) == 50
    assert readers.drain(place.broker()).loaded == 250
    assert silver(connection).keys() == names(300)
    assert_all_accounted_for(connection, readers, place)


def test_stopped_it_tells_that_a_batch_in_flight_failed(
    readers: Readers, memory: MemoryPlace, connection: psycopg.Connection
) -> None:
    class Failing(Gated):
        def write(self, batch: Batch, prepared: Prepared, *, again: bool = False) -> Written:
            super().write(batch, prepared, again=again)
            raise TerminalError("refused")

    memory.produce(events(0, 40))
    failing, good = Made(Failing), Made(Gated)
    kinds = itertools.cycle([failing, good])
    consumer = readers.consumer(memory.broker(), writers=2, writer=lambda *args: next(kinds)(*args))
    with running(consumer) as (one,):
        assert failing.all[0].began.wait(60)
        assert good.all[0].began.wait(60)
        one.stop.set()
        failing.all[0].gate.set()
        good.all[0].gate.set()
        with pytest.raises(TerminalError, match="refused"):
            one.result.result()
    # What the other writer has committed counts all the same.
    assert consumer.totals.messages == 20


def test_a_defect_in_a_writer_ends_it_and_the_next_one_goes_on_from_the_database(
    readers: Readers, place: Place, connection: psycopg.Connection
) -> None:
    place.produce(events(0, 200))

    class Breaks(Writer):
        batches = 0

        def write(self, batch: Batch, prepared: Prepared, *, again: bool = False) -> Written:
            self.batches += 1
            if self.batches > 2:
                raise ZeroDivisionError
            return super().write(batch, prepared, again=again)

    with pytest.raises(ZeroDivisionError):
        readers.drain(place.broker(), writer=Breaks)
    assert sum(offsets(connection, incarnation(place)).values()) == read(connection, place.name) == 100
    assert readers.drain(place.broker()).loaded == 100
    assert silver(connection).keys() == names(200)
    assert_all_accounted_for(connection, readers, place)


def test_of_a_batch_that_the_database_refuses_nothing_stays(
    readers: Readers, memory: MemoryPlace, connection: psycopg.Connection
) -> None:
    memory.produce([*events(0, 40), (0, b"garbage")])
    refused = replace(NETWORK_EVENTS, refine="SELECT 1 / (%s::bigint * 0)")
    with pytest.raises(TerminalError, match="division by zero"):
        readers.drain(memory.broker(), dataset=refused)
    for table in ("bronze.network_event", "ops.batch", "ops.kafka_slice", "ops.dead_letter"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    assert set(offsets(connection, memory.topic.incarnation).values()) == {0}
    assert readers.drain(memory.broker()).loaded == 40
    assert_all_accounted_for(connection, readers, memory)


def test_a_topic_that_is_deleted_ends_it(readers: Readers, memory: MemoryPlace, connection: psycopg.Connection) -> None:
    """In memory only: the embedded broker makes a topic again when a client asks for it."""
    memory.produce(events(0, 20))
    with running(readers.consumer(memory.broker())) as (one,):
        wait_for(lambda: read(connection, "events") == 20)
        memory.delete()
        memory.produce(events(20, 40))
        with pytest.raises(TerminalError, match="does not exist"):
            one.result.result(60)
    assert silver(connection).keys() == names(20)


# Several consumers --------------------------------------------------------------------------------


def owners(connection: psycopg.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT owner, count(*) FROM ops.kafka_offset GROUP BY 1").fetchall())


def test_members_of_a_group_share_the_partitions(
    readers: Readers, place: Place, connection: psycopg.Connection
) -> None:
    place.produce(events(0, 100))
    group = str(uuid.uuid4())
    with running(*(readers.consumer(place.broker(group=group), owner=owner) for owner in ("first", "second"))) as both:
        wait_for(lambda: owners(connection) == {"first": 2, "second": 2})
        place.produce(events(100, 300))
        wait_for(lambda: read(connection, place.name) == 300)
        for one in both:
            one.stop.set()
        loaded = [one.result.result().loaded for one in both]
    assert all(loaded)
    assert sum(loaded) == 300
    assert silver(connection).keys() == names(300)
    assert_all_accounted_for(connection, readers, place)


def test_who_claims_last_fences_the_others_off(readers: Readers, place: Place, connection: psycopg.Connection) -> None:
    place.produce(events(0, 100))
    with running(readers.consumer(place.broker())) as (first,):
        wait_for(lambda: read(connection, place.name) == 100)
        with running(readers.consumer(place.broker(), owner="second")) as (second,):
            wait_for(lambda: owners(connection) == {"second": PARTITIONS})
            place.produce(events(100, 200))
            with pytest.raises(FencedError, match="belongs to another consumer"):
                first.result.result(60)
            wait_for(lambda: read(connection, place.name) == 200)
            second.stop.set()
            assert second.result.result().loaded == 100
    assert silver(connection).keys() == names(200)
    assert connection.execute("SELECT DISTINCT epoch FROM ops.kafka_offset").fetchall() == [(2,)]
    assert_all_accounted_for(connection, readers, place)


def test_a_batch_that_lost_one_partition_to_a_member_is_read_again(
    readers: Readers, memory: MemoryPlace, connection: psycopg.Connection
) -> None:
    """In memory only, where a rebalance leaves a member what no other one gets."""
    made = Made(Gated)
    memory.produce(events(0, 40))
    first = readers.consumer(memory.broker(group="g"), writer=made)
    with running(first) as (one,):
        assert made.all[0].began.wait(60)
        with running(readers.consumer(memory.broker(group="g"), owner="second")) as (other,):
            wait_for(lambda: owners(connection) == {"first": 2, "second": 2})
            made.all[0].gate.set()
            wait_for(lambda: one.result.done() or read(connection, "events") == 40)
            other.stop.set()
            one.stop.set()
            assert other.result.result().loaded == one.result.result().loaded == 20
    assert silver(connection).keys() == names(40)
    assert_all_accounted_for(connection, readers, memory)


# The log changes ----------------------------------------------------------------------------------


def test_a_topic_that_was_made_again_is_read_from_its_beginning(
    readers: Readers, place: Place, connection: psycopg.Connection
) -> None:
    place.produce(events(0, 100))
    assert readers.drain(place.broker()).loaded == 100
    before = incarnation(place)
    place.make_again()
    place.produce(events(40, 160))
    again = readers.drain(place.broker())
    assert (again.loaded, again.duplicate) == (60, 60)
    assert silver(connection).keys() == names(160)
    assert offsets(connection, before) == dict.fromkeys(range(PARTITIONS), 25)
    assert_all_accounted_for(connection, readers, place)


def test_a_topic_that_is_made_again_under_a_consumer_is_read_from_its_beginning(
    readers: Readers, place: Place, connection: psycopg.Connection
) -> None:
    place.produce(events(0, 40))
    with running(readers.consumer(place.broker())) as (one,):
        wait_for(lambda: read(connection, place.name) == 40)
        place.make_again()
        place.produce(events(20, 100))
        wait_for(lambda: one.result.done() or read(connection, place.name) == 120)
        one.stop.set()
        totals = one.result.result()
    assert (totals.loaded, totals.duplicate) == (100, 20)
    assert silver(connection).keys() == names(100)
    assert_all_accounted_for(connection, readers, place)


def test_a_topic_made_again_while_a_batch_is_in_flight_is_read_from_its_beginning(
    readers: Readers, memory: MemoryPlace, connection: psycopg.Connection
) -> None:
    made = Made(Gated)
    memory.produce(events(0, 40))
    with running(readers.consumer(memory.broker(), writer=made)) as (one,):
        assert made.all[0].began.wait(60)
        with memory.topic.changed:
            memory.make_again()
            memory.produce(events(20, 40))
        wait_for(lambda: len(offsets(connection, memory.topic.incarnation)) == PARTITIONS)
        memory.produce(events(40, 80))
        made.all[0].gate.set()
        wait_for(lambda: one.result.done() or read(connection, "events") == 100)
        one.stop.set()
        assert one.result.result().messages == 100
    assert silver(connection).keys() == names(80)
    assert_all_accounted_for(connection, readers, memory)


def test_a_partition_gained_of_a_topic_made_again_brings_the_others_along(
    readers: Readers, memory: MemoryPlace, connection: psycopg.Connection
) -> None:
    """In memory only, where a rebalance leaves a member what no other one gets."""
    memory.produce(events(0, 40))
    consumers = [readers.consumer(memory.broker(group="g"), owner=owner) for owner in ("first", "second")]
    with running(*consumers) as (one, other):
        wait_for(lambda: owners(connection) == {"first": 2, "second": 2})
        wait_for(lambda: read(connection, "events") == 40)
        with memory.topic.changed:
            memory.make_again()
            other.stop.set()
        other.result.result()
        wait_for(lambda: owners(connection).get("first", 0) >= 4)
        memory.produce(events(0, 60))
        wait_for(lambda: one.result.done() or read(connection, "events") == 100)
        one.stop.set()
        one.result.result()
    assert silver(connection).keys() == names(60)
    assert_all_accounted_for(connection, readers, memory)


# In memory only: brokers that can be told to lose messages.


def one_partition(first: int, end: int) -> list[tuple[int, bytes]]:
    return [(0, event(number)) for number in range(first, end)]


def test_lost_messages_stop_a_consumer_that_starts(
    readers: Readers, memory: MemoryPlace, connection: psycopg.Connection
) -> None:
    memory.produce(one_partition(0, 50))
    memory.topic.cut(0, 10)  # before our time: no loss of ours
    assert readers.drain(memory.broker()).loaded == 40
    memory.produce(one_partition(50, 100))
    memory.topic.cut(0, 70)
    with pytest.raises(GapError, match=r"^20 messages of events, partition 0, were removed"):
        readers.drain(memory.broker())
    assert offsets(connection, memory.topic.incarnation)[0] == 50
    assert readers.drain(memory.broker(), accept_gap=True).loaded == 30
    assert silver(connection).keys() == names(50, 10) | names(100, 70)
    assert offsets(connection, memory.topic.incarnation)[0] == 100
    assert_reconciled(connection, readers)


@pytest.mark.parametrize("accept_gap", [False, True])
def test_lost_messages_stop_a_consumer_that_reads(
    readers: Readers, memory: MemoryPlace, connection: psycopg.Connection, accept_gap: bool
) -> None:
    memory.produce(one_partition(0, 50))
    with running(readers.consumer(memory.broker(rows=5), accept_gap=accept_gap)) as (one,):
        wait_for(lambda: read(connection, "events") == 50)
        with memory.topic.changed:
            memory.produce(one_partition(50, 100))
            memory.topic.cut(0, 70)
        if not accept_gap:
            with pytest.raises(GapError, match=r"^20 messages"):
                one.result.result(60)
        else:
            wait_for(lambda: one.result.done() or read(connection, "events") == 80)
            one.stop.set()
            assert one.result.result().loaded == 80
    assert silver(connection).keys() == names(50) | (names(100, 70) if accept_gap else set())
    assert_reconciled(connection, readers)


def test_a_gap_is_not_accepted_for_a_partition_of_another_consumer(
    readers: Readers, memory: MemoryPlace, connection: psycopg.Connection
) -> None:
    memory.produce(one_partition(0, 50))
    with running(readers.consumer(memory.broker(), accept_gap=True)) as (one,):
        wait_for(lambda: read(connection, "events") == 50)
        assert readers.drain(memory.broker(), owner="second").messages == 0
        with memory.topic.changed:
            memory.produce(one_partition(50, 100))
            memory.topic.cut(0, 70)
        with pytest.raises(FencedError, match="belongs to another consumer"):
            one.result.result(60)
    assert offsets(connection, memory.topic.incarnation)[0] == 50


@pytest.mark.parametrize("asked", ["log_range", "incarnation"])
def test_a_broker_that_does_not_answer_about_a_gap_loses_no_more(
    readers: Readers, memory: MemoryPlace, connection: psycopg.Connection, asked: str
) -> None:
    silent = threading.Event()

    class Hesitating(MemoryBroker):
        def log_range(self, partitions: Sequence[int]) -> dict[int, tuple[int, int]]:
            self._hesitate("log_range")
            return super().log_range(partitions)

        def incarnation(self) -> str:
            self._hesitate("incarnation")
            return super().incarnation()

        def _hesitate(self, name: str) -> None:
            if name == asked and silent.is_set():
                silent.clear()
                raise TransientError("the broker does not answer", detail="Once.")

    memory.produce(one_partition(0, 50))
    with running(readers.consumer(Hesitating(memory.topic, rows=5), accept_gap=True)) as (one,):
        wait_for(lambda: read(connection, "events") == 50)
        with memory.topic.changed:
            silent.set()
            memory.produce(one_partition(50, 100))
            memory.topic.cut(0, 70)
        wait_for(lambda: one.result.done() or silver(connection).keys() >= {"99"})
        one.stop.set()
        one.result.result()
    assert not silent.is_set()
    assert silver(connection).keys() == names(50) | names(100, 70)


def test_a_log_that_was_truncated_stops_it(
    readers: Readers, memory: MemoryPlace, connection: psycopg.Connection
) -> None:
    memory.produce(one_partition(0, 50))
    readers.drain(memory.broker())
    memory.topic.truncate(0, 20)
    with pytest.raises(GapError, match="is shorter than what has been read"):
        readers.drain(memory.broker())
    assert offsets(connection, memory.topic.incarnation)[0] == 50


def test_a_log_that_was_truncated_is_read_again_where_that_is_accepted(
    readers: Readers, memory: MemoryPlace, connection: psycopg.Connection
) -> None:
    memory.produce(one_partition(0, 50))
    readers.drain(memory.broker())
    memory.topic.truncate(0, 20)
    memory.produce(one_partition(60, 70))
    totals = readers.drain(memory.broker(), accept_gap=True)
    assert (totals.loaded, totals.duplicate) == (10, 20)
    assert offsets(connection, memory.topic.incarnation)[0] == 30


def test_offsets_without_messages_part_the_slices(
    readers: Readers, memory: MemoryPlace, connection: psycopg.Connection
) -> None:
    memory.produce([(0, event(0)), (0, event(1)), (1, event(2))])
    memory.topic.skip(0, 3)
    memory.produce([(0, b"garbage"), (0, event(3))])
    memory.topic.skip(0)
    memory.produce([(0, event(4))])
    memory.topic.skip(0, 2)
    totals = readers.drain(memory.broker(), max_bad_share=1, linger_s=0.2)
    assert (totals.batches, totals.messages) == (1, 6)
    slices = connection.execute(
        "SELECT partition, first_offset, first_line, messages FROM ops.kafka_slice ORDER BY 1, 2"
    ).fetchall()
    assert [(partition, first, messages) for partition, first, _, messages in slices] == [
        (0, 0, 2), (0, 5, 2), (0, 8, 1), (1, 0, 1),
    ]  # fmt: skip
    # A line of Silver leads to its message: the names were given in the order of the log.
    lines = connection.execute(
        "SELECT s.partition, s.first_offset + f.source_line - s.first_line, f.cause"
        " FROM silver.fact_network_event AS f INNER JOIN ops.kafka_slice AS s ON f.batch_id = s.batch_id"
        " AND f.source_line BETWEEN s.first_line AND s.first_line + s.messages - 1 ORDER BY 1, 2"
    ).fetchall()
    assert lines == [(0, 0, "0"), (0, 1, "1"), (0, 6, "3"), (0, 8, "4"), (1, 0, "2")]
    assert offsets(connection, memory.topic.incarnation)[0] == 11
    assert readers.drain(memory.broker()).messages == 0
    assert_reconciled(connection, readers)


# Trouble that passes ------------------------------------------------------------------------------


class Watched:
    """A broker that counts the messages it has delivered."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.delivered = 0
        self.largest = 0

    def poll(self, timeout_s: float) -> Polled:
        polled = self._broker.poll(timeout_s)
        messages = sum(map(len, polled.messages))
        self.delivered += messages
        self.largest = max(self.largest, messages)
        return polled

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)


def test_a_slow_database_holds_the_reading_back(readers: Readers, place: Place, connection: psycopg.Connection) -> None:
    place.produce(events(0, 2_000))
    made, telemetry = Made(Gated), Telemetry()
    broker = Watched(place.broker() if isinstance(place, KafkaPlace) else place.broker(rows=10))
    consumer = readers.consumer(broker, writer=made, writers=2, telemetry=telemetry)
    slow, fast = made.all
    fast.gate.set()

    def paused() -> float | None:
        return telemetry.registry.get_sample_value("telestream_consumer_paused_partitions")

    with running(consumer) as (one,):
        # Half of the partitions belong to the fast writer and are read to their end.
        wait_for(lambda: paused() == PARTITIONS / 2 and read(connection, place.name) == 1_000)
        delivered = broker.delivered
        time.sleep(0.3)
        assert broker.delivered == delivered
        assert delivered <= 1_000 + 50 + 2 * 50 + broker.largest  # a batch in flight, two that wait, and one poll
        slow.gate.set()
        wait_for(lambda: one.result.done() or read(connection, place.name) == 2_000)
        one.stop.set()
        assert one.result.result().loaded == 2_000
    assert silver(connection).keys() == names(2_000)
    assert_all_accounted_for(connection, readers, place)


def test_a_database_that_goes_away_is_waited_for(
    readers: Readers, place: Place, connection: psycopg.Connection, superuser: psycopg.Connection
) -> None:
    ended = 0
    with running(readers.consumer(place.broker(), batch_rows=20, writers=2)) as (one,):
        for first in range(0, 400, 40):
            place.produce(events(first, first + 40))
            wait_for(lambda: read(connection, place.name) > first)  # noqa: B023
            ended += superuser.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'telestream'"
            ).fetchone()[0]
        wait_for(lambda: one.result.done() or read(connection, place.name) == 400)
        one.stop.set()
        assert one.result.result().loaded == 400
    assert ended > 5
    assert silver(connection).keys() == names(400)
    assert_all_accounted_for(connection, readers, place)


def test_a_database_that_is_away_at_the_start_is_waited_for(
    readers: Readers, place: Place, connection: psycopg.Connection, superuser: psycopg.Connection
) -> None:
    place.produce(events(0, PARTITIONS))
    name = superuser.info.dbname
    superuser.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0')
    # Silence while it waits is not the end of the log.
    with running(readers.consumer(place.broker()), drain=True) as (one,):
        with pytest.raises(TimeoutError):
            one.result.result(1)
        superuser.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT -1')
        assert one.result.result(60).loaded == PARTITIONS
    assert_all_accounted_for(connection, readers, place)


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "rolled back"])
def test_an_answer_lost_at_the_commit_counts_nothing_twice(
    readers: Readers, place: Place, connection: psycopg.Connection, committed: bool
) -> None:
    class Loses(Writer):
        """Loses the answer of each batch's first attempt."""

        def write(self, batch: Batch, prepared: Prepared, *, again: bool = False) -> Written:
            if again:
                return super().write(batch, prepared, again=True)
            if committed:
                super().write(batch, prepared)
            raise TransientError("lost", detail="At the commit.")

    place.produce([*events(0, 100), *events(0, 20), (0, b"garbage")])
    totals = readers.drain(place.broker(), writer=Loses)
    assert (totals.messages, totals.loaded, totals.duplicate, totals.dead) == (121, 100, 20, 1)
    assert totals.batches == connection.execute("SELECT count(*) FROM ops.batch").fetchone()[0]
    assert silver(connection).keys() == names(100)
    assert_all_accounted_for(connection, readers, place)


def test_a_commit_without_answer_and_then_fenced_counts_nothing_twice(
    readers: Readers, memory: MemoryPlace, connection: psycopg.Connection
) -> None:
    class Overtaken(Writer):
        """Commits, loses the answer, and another consumer has read on before it asks."""

        def write(self, batch: Batch, prepared: Prepared, *, again: bool = False) -> Written:
            written = super().write(batch, prepared, again=again)
            if again:
                return written
            assert readers.drain(memory.broker(), owner="second").messages == 30
            raise TransientError("lost", detail="At the commit.")

    memory.produce(events(0, 80))
    with pytest.raises(FencedError):
        readers.drain(memory.broker(), writer=Overtaken)
    assert silver(connection).keys() == names(80)
    assert_all_accounted_for(connection, readers, memory)


def test_a_broker_that_is_away_is_waited_for(
    readers: Readers, memory: MemoryPlace, connection: psycopg.Connection
) -> None:
    memory.topic.away = True
    memory.produce(events(0, 20))
    with running(readers.consumer(memory.broker())) as (one,):
        with pytest.raises(TimeoutError):
            one.result.result(0.3)
        memory.topic.away = False
        wait_for(lambda: read(connection, "events") == 20)
        memory.topic.away = True
        memory.produce(events(20, 60))
        with pytest.raises(TimeoutError):
            one.result.result(0.3)
        memory.topic.away = False
        wait_for(lambda: one.result.done() or read(connection, "events") == 60)
        one.stop.set()
        assert one.result.result().loaded == 60
    assert_all_accounted_for(connection, readers, memory)


def test_a_broker_that_answers_every_other_time_is_enough(
    readers: Readers, memory: MemoryPlace, connection: psycopg.Connection
) -> None:
    calls = Counter(incarnation=0, log_range=0, poll=0, positions=0)

    class Flaky(MemoryBroker):
        def __getattribute__(self, name: str) -> Any:
            if name in calls:
                calls[name] += 1
                if calls[name] % 2:
                    raise TransientError("the broker does not answer", detail="Every other time.")
            return super().__getattribute__(name)

    memory.produce(events(0, 100))
    assert readers.drain(Flaky(memory.topic, rows=20)).loaded == 100
    assert min(calls.values()) >= 2
    assert_all_accounted_for(connection, readers, memory)


def test_the_latency_of_each_message_counts_once(readers: Readers, memory: MemoryPlace) -> None:
    for number in range(100):
        memory.topic.produce(0, None, event(number))
    consumer = readers.consumer(memory.broker(), batch_rows=10)
    with running(consumer) as (one,):
        wait_for(lambda: one.result.done() or consumer.totals.messages == 100)
        for number in range(100, 110):
            memory.topic.produce(0, None, event(number), seconds_ago=500)
        wait_for(lambda: one.result.done() or consumer.totals.messages == 110)
        one.stop.set()
        latency = one.result.result().latency
    # Ten of 110 took 500 seconds.
    assert (latency.percentile(0.5) or 0) < 400 < (latency.percentile(0.95) or 0)
