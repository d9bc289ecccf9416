"""The commands `telestream consume …`."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.table import Table

from telestream import logs, topics, tracing
from telestream.channels import cache_url
from telestream.console import console
from telestream.consumers.aftermath import Aftermath
from telestream.consumers.bad_share import BadShare
from telestream.consumers.cache import Cache
from telestream.consumers.consumer import Consumer, Limits, Totals
from telestream.consumers.datasets import CDRS, NETWORK_EVENTS, Dataset
from telestream.consumers.decode import AvroDecoder
from telestream.consumers.hot import HotMetrics
from telestream.consumers.kafka_broker import KafkaBroker
from telestream.consumers.kafka_options import broker_name, kafka_options
from telestream.consumers.lateness import Lateness
from telestream.consumers.outbox import OutboxPublisher
from telestream.consumers.prepare import Batch, Prepared, prepare
from telestream.consumers.registry import ensure_schema, open_registry, packaged_schema
from telestream.consumers.sender import Sender
from telestream.consumers.telemetry import Health, HealthWatch, Telemetry, serve
from telestream.consumers.wire import AvroEncoder
from telestream.consumers.writer import CONSUMER_ROLE, Writer
from telestream.db import migrate
from telestream.db.connection import connect, database_url, translated
from telestream.db.vault import vault_key
from telestream.errors import UsageError

_log = logging.getLogger(__name__)

app = typer.Typer(
    no_args_is_help=True,
    help="Read records from Kafka into Silver and Gold, each exactly once.\n\n"
    "Offsets are kept in the database, in the transaction of the rows: kill a consumer whenever you like and start it "
    "again. Several share a topic as members of one group. Stop with Ctrl-C or SIGTERM: the batch in flight is "
    "finished.",
)

Topic = Annotated[str, typer.Option(help="Topic to read; left out: the one of the dataset.")]
Group = Annotated[str, typer.Option(help="Consumer group: its members share the partitions.")]
Partitions = Annotated[
    str,
    typer.Option(help="Read these (`all`, `0-3`, `1,5`) without a group; whoever had them is fenced off."),
]
BatchRows = Annotated[int, typer.Option(min=1, max=200_000, help="Write a batch when this many messages wait …")]
LingerMs = Annotated[int, typer.Option(min=0, max=60_000, help="… or the oldest has waited this long, ms.")]
Writers = Annotated[int, typer.Option(min=1, max=16, help="Connections that write side by side.")]
MaxBadShare = Annotated[
    float,
    typer.Option(min=0, max=1, help="Stop when more of the last 10,000 messages cannot be decoded (100 at least)."),
]
MaxMessageBytes = Annotated[int, typer.Option(min=1024, help="Larger messages are dead letters.")]
SessionTimeout = Annotated[float, typer.Option(min=1, help="Silence after which the group goes on without us, s.")]
AcceptGap = Annotated[bool, typer.Option("--accept-gap", help="Go on where the log has lost unread messages.")]
Drain = Annotated[bool, typer.Option("--drain", help="Stop once everything that is there has been read.")]
MetricsPort = Annotated[int, typer.Option(min=0, max=65535, help="Port of /metrics and /healthz; 0 takes a free one.")]
MetricsHost = Annotated[str, typer.Option(help="Address of /metrics and /healthz.")]


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="consume")


@app.command("network-events")
def network_events(
    topic: Topic = "",
    group: Group = "telestream",
    partitions: Partitions = "",
    batch_rows: BatchRows = 20_000,
    linger_ms: LingerMs = 150,
    writers: Writers = 2,
    max_bad_share: MaxBadShare = 0.1,
    max_message_bytes: MaxMessageBytes = 1 << 20,
    session_timeout: SessionTimeout = 10.0,
    accept_gap: AcceptGap = False,
    drain: Drain = False,
    metrics_port: MetricsPort = 0,
    metrics_host: MetricsHost = "127.0.0.1",
) -> None:
    """Read network events: Silver, 5-minute windows, anomalies, alerts and hot metrics."""
    limits = Limits(batch_rows, linger_ms / 1000, accept_gap)
    totals = consume(
        NETWORK_EVENTS, topic=topic, group=group, partitions=partitions, limits=limits, writers=writers,
        max_bad_share=max_bad_share, max_message_bytes=max_message_bytes, session_timeout=session_timeout,
        drain=drain, metrics=(metrics_host, metrics_port),
    )  # fmt: skip
    console.print(totals_table(NETWORK_EVENTS, totals))


@app.command("cdr")
def cdr(
    topic: Topic = "",
    group: Group = "telestream",
    partitions: Partitions = "",
    batch_rows: BatchRows = 20_000,
    linger_ms: LingerMs = 500,
    writers: Writers = 2,
    max_bad_share: MaxBadShare = 0.1,
    max_message_bytes: MaxMessageBytes = 1 << 20,
    session_timeout: SessionTimeout = 10.0,
    accept_gap: AcceptGap = False,
    drain: Drain = False,
    metrics_port: MetricsPort = 0,
    metrics_host: MetricsHost = "127.0.0.1",
) -> None:
    """Read CDRs, through the same rules and keys as files: one that comes both ways counts once."""
    limits = Limits(batch_rows, linger_ms / 1000, accept_gap)
    totals = consume(
        CDRS, topic=topic, group=group, partitions=partitions, limits=limits, writers=writers,
        max_bad_share=max_bad_share, max_message_bytes=max_message_bytes, session_timeout=session_timeout,
        drain=drain, metrics=(metrics_host, metrics_port),
    )  # fmt: skip
    console.print(totals_table(CDRS, totals))


def consume(
    dataset: Dataset,
    *,
    topic: str = "",
    group: str = "telestream",
    partitions: str = "",
    limits: Limits | None = None,
    writers: int = 2,
    max_bad_share: float = 0.1,
    max_message_bytes: int = 1 << 20,
    session_timeout: float = 10.0,
    drain: bool = False,
    metrics: tuple[str, int] = ("127.0.0.1", 0),
    stop: threading.Event | None = None,
) -> Totals:
    """Put a consumer together and run it until SIGTERM, Ctrl-C, `stop`, or with `drain` the end of the log.

    Raises:
        TelestreamError: see `Consumer.run`.
    """
    _log_to_stderr()
    url, key, options = database_url(), vault_key(), kafka_options()
    with translated(url), connect(url) as connection:
        migrate.require_served(connection)
    topic = topic or dataset.topic
    telemetry, health = Telemetry(), HealthWatch()
    lateness = Lateness(_allowed_lateness(url), _now)
    registry = open_registry()
    reader = packaged_schema(dataset.schema)
    stop = stop or threading.Event()
    owner = f"{socket.gethostname()}/{os.getpid()}/{group if not partitions else 'no group'}"
    with contextlib.ExitStack() as stack:
        stack.enter_context(tracing.traced("telestream-consumer"))
        stack.enter_context(_stopped_by_signals(stop))
        broker = KafkaBroker(
            options,
            topic,
            group=None if partitions else group,
            partitions=_numbers(partitions),
            session_timeout_s=session_timeout,
        )
        following = stack.enter_context(_following(dataset, url, topic, options, telemetry))

        def healthy() -> Health:
            return Health(health.health().reasons + following.health().reasons)

        server = stack.enter_context(serve(telemetry, healthy, host=metrics[0], port=metrics[1]))
        _log.info("reading %s; http://%s:%d/metrics", topic, metrics[0], server.port)
        consumer = Consumer(
            url=url,
            broker=broker,
            dataset=dataset.name,
            writers=[Writer(url, key, dataset, telemetry, broker_name=broker_name(options)) for _ in range(writers)],
            prepare=_preparer(dataset, AvroDecoder(registry, reader, max_bytes=max_message_bytes), lateness),
            bad_share=BadShare(max_bad_share),
            limits=limits or Limits(),
            owner=owner,
            telemetry=telemetry,
            health=health,
            after_commit=following.after_commit,
        )
        return consumer.run(stop, drain=drain)


def totals_table(dataset: Dataset, totals: Totals) -> Table:
    """Return what a consumer did as a table."""
    seconds = totals.last_commit - totals.first_commit
    p50, p95 = (totals.latency.percentile(fraction) for fraction in (0.5, 0.95))
    table = Table(
        "messages", "dead letters", "rows in", "loaded", "duplicate", "quarantined", "late", "batches", "rows/s",
        "produce → Gold p50", "p95",
        title=f"{dataset.name} from Kafka",
    )  # fmt: skip
    numbers = (
        totals.messages, totals.dead, totals.rows_in, totals.loaded, totals.duplicate, totals.quarantined,
        totals.late, totals.batches,
    )  # fmt: skip
    table.add_row(
        *(f"{number:,}" for number in numbers),
        f"{totals.rows_in / seconds:,.0f}" if seconds > 0 else "",
        *("" if value is None else f"{value:.2f} s" for value in (p50, p95)),
    )
    return table


def _preparer(dataset: Dataset, decoder: AvroDecoder, lateness: Lateness) -> Callable[[Batch], Prepared]:
    return lambda batch: prepare(batch, dataset, decoder, lateness)


@dataclass(frozen=True)
class _Following:
    """What follows commits: whom to tell of one, and the threads that must be alive."""

    after_commit: Callable[[str], None]
    threads: list[threading.Thread]

    def health(self) -> Health:
        """Return a reason for each thread that has ended, which only a defect makes it do."""
        return Health(tuple(f"the thread {one.name} has ended" for one in self.threads if not one.is_alive()))


@contextlib.contextmanager
def _following(
    dataset: Dataset, url: str, topic: str, options: dict[str, Any], telemetry: Telemetry
) -> Iterator[_Following]:
    """Run what follows commits in threads of its own."""
    registry = open_registry()
    encoder: list[AvroEncoder] = []

    def encode(record: dict[str, Any]) -> bytes:
        if not encoder:
            schema = packaged_schema("alert")
            encoder.append(AvroEncoder(schema, ensure_schema(registry, topics.ALERTS, "alert")))
        value: bytes = encoder[0].encode(record)
        return value

    publisher = OutboxPublisher(
        lambda: connect(url, role=CONSUMER_ROLE, autocommit=True),
        Sender(lambda: options, telemetry),
        encode,
        Cache(cache_url(), telemetry),
        telemetry,
    )
    stop, wake = threading.Event(), threading.Event()
    thread = threading.Thread(target=publisher.run, args=(stop, wake), name="outbox", daemon=True)
    thread.start()
    aftermath = None
    if dataset is NETWORK_EVENTS:
        aftermath = Aftermath(url, topic, HotMetrics(cache_url(), telemetry), wake.set, _now)
        aftermath.start()
    try:
        if aftermath is None:
            yield _Following(_nothing, [thread])
        else:
            yield _Following(aftermath.committed, [thread, aftermath.thread])
    finally:
        if aftermath is not None:
            aftermath.close()
        stop.set()
        wake.set()
        thread.join()


def _log_to_stderr() -> None:
    """Show our own lines; kafka-python writes dozens per outage, and ours tell of it."""
    logs.to_stderr()
    logging.getLogger("kafka").setLevel(logging.CRITICAL)


def _nothing(_: str) -> None:
    """Follow a commit with nothing."""


@contextlib.contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Let SIGTERM and Ctrl-C finish the batch in flight and end; a second Ctrl-C ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def asked(number: int, _: object) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        _log.info("stopping; the batch in flight is finished")
        stop.set()

    before = {number: signal.signal(number, asked) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _now() -> datetime:
    return datetime.now(UTC)


def _allowed_lateness(url: str) -> timedelta:
    with translated(url), connect(url) as connection:
        row = connection.execute(
            "SELECT value::interval FROM ops.setting WHERE name = 'allowed_event_lateness'"
        ).fetchone()
    assert row is not None  # made by a revision
    allowed: timedelta = row[0]
    return allowed


def _numbers(text: str) -> list[int]:
    """Return the partitions that `0-3,5` names; none for `all` and for nothing."""
    if text in {"", "all"}:
        return []
    numbers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise UsageError(f"{text} names no partitions", hint="Write `all`, `0-3` or `1,5`.")
        numbers.update(range(int(first), int(last or first) + 1))
    return sorted(numbers)
