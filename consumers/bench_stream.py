"""Measures the streaming path: events per second beside a bare loop, the latency of a live stream, and memory."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import platform
import secrets
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Annotated, Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import typer
from kafka.admin import KafkaAdminClient, NewTopic
from psycopg import sql
from rich.table import Table

from telestream.console import console
from telestream.consumers.consume_cli import consume
from telestream.consumers.consumer import Limits, Totals
from telestream.consumers.datasets import NETWORK_EVENTS
from telestream.consumers.decode import AvroDecoder
from telestream.consumers.generate import AnomalyKind, NetworkSpec, Planted
from telestream.consumers.kafka_broker import KafkaBroker
from telestream.consumers.kafka_options import kafka_options
from telestream.consumers.produce_cli import send_stream
from telestream.consumers.registry import open_registry, packaged_schema
from telestream.db import migrate
from telestream.db.connection import connect
from telestream.db.copy import copy_table
from telestream.db.scratch import scratch_database
from telestream.errors import TelestreamError, TerminalError
from telestream.settings import settings
from telestream.stack import lifecycle
from telestream.stack.state import StackState

DATABASE = "telestream_bench_stream"
_PARTITIONS = 8
_PRODUCERS = 2
_CELLS = 500
_SUBSCRIBERS = 50_000
_LIVE_CELLS = 200
_LIVE_RATE = 10_000
_WINDOW = timedelta(minutes=5)
# Of event time in a second: a window every 5 s, so that a minute has alerts enough for a percentile.
_LIVE_SPEED = 60.0
# The detection needs the windows before as what is normal.
_QUIET_WINDOWS = 7
_SAMPLE_SECONDS = 0.5
_START_SECONDS = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")

_STATEMENTS = """
SELECT
    CASE
        WHEN s.query LIKE 'COPY%' THEN 'COPY into Bronze'
        WHEN s.query LIKE 'SELECT silver.enrol_network_event%' THEN 'enrol: tokens, vault, cells'
        WHEN s.query LIKE 'CALL silver.refine_network_event%' THEN 'refine: rules, keys, Silver, 5-minute windows'
        WHEN s.query LIKE 'COMMIT%' THEN 'commit'
        WHEN s.query LIKE '%analytics.detect%' THEN 'anomalies'
        WHEN s.query LIKE '%ops.hot_windows%' THEN 'hot windows'
        WHEN s.query LIKE '%rollup.refresh_table%' THEN 'hours'
        WHEN s.query LIKE '%ops.advance_offsets%' THEN 'offsets'
        ELSE 'other'
    END,
    sum(s.total_exec_time) / 1000
FROM pg_stat_statements AS s INNER JOIN pg_database AS d ON s.dbid = d.oid
WHERE d.datname = current_database() AND s.toplevel
GROUP BY 1 ORDER BY 2 DESC
"""


@dataclass
class Sample:
    """What was seen of a process while it ran: resident memory (MB) each half second, CPU seconds in the end."""

    memory: list[float] = field(default_factory=list)
    cpu: float = 0.0

    @property
    def peak(self) -> float:
        """Largest resident memory, MB."""
        return max(self.memory, default=0.0)

    def growth(self) -> float:
        """Return how much larger the last third's median memory is than the middle third's, MB."""
        third = len(self.memory) // 3
        if not third:
            return 0.0
        return statistics.median(self.memory[-third:]) - statistics.median(self.memory[third : 2 * third])


@dataclass
class Run:
    """One run: messages and seconds of the consumer and of the bare loop, and where the consumer's time went."""

    messages: int
    seconds: float
    bare_messages: int
    bare_seconds: float
    sample: Sample
    broker_cpu: float
    machine_cpu: float
    statements: dict[str, float]

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.messages / self.seconds

    @property
    def bare_rate(self) -> float:
        """Messages a second of the bare loop."""
        return self.bare_messages / self.bare_seconds


@dataclass
class Live:
    """A live stream: seconds from produce to commit, and from the end of a window to its published alert."""

    rate: float
    gold_p50: float
    gold_p95: float
    alerts: list[float]
    sample: Sample


def stream(
    events: Annotated[int, typer.Option(min=100_000, help="Events in the topic that is read.")] = 4_500_000,
    seconds: Annotated[float, typer.Option(min=5, help="Longest that a run reads; a minute is meant.")] = 60.0,
    runs: Annotated[int, typer.Option(min=1, help="Runs; the median counts.")] = 1,
    batch_rows: Annotated[int, typer.Option(min=1, help="As of the consumer.")] = Limits.batch_rows,
    writers: Annotated[int, typer.Option(min=1, max=16, help="As of the consumer.")] = 2,
    live_seconds: Annotated[float, typer.Option(min=0, help="How long the live stream is; 0 leaves it out.")] = 75.0,
) -> None:
    """Kafka → Bronze → Silver → Gold, exactly once, beside a bare loop that only polls and COPYs undecoded values.

    A topic is filled first, then read by the consumer and by the bare loop, each into a database of its own on the
    embedded server, so that producing takes nothing from what is measured. Then a live stream of 10,000 events a
    second with outages shows how long an event takes to Gold and a closed window to its published alert.
    """
    state = lifecycle.up()
    if settings().kafka_bootstrap:
        console.print(f"broker: {settings().kafka_bootstrap}, not the embedded one")
    console.print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; broker, database and "
        f"consumer on the same machine; {events:,} events of {2 * _CELLS:,} cells, {2 * _SUBSCRIBERS:,} subscribers"
    )
    with benchmark_topic() as topic:
        _fill(topic, events)
        results = []
        for number in range(1, runs + 1):
            with console.status(f"run {number} of {runs}"):
                results.append(_run(state, topic, Limits(batch_rows), writers, seconds))
            last = results[-1]
            console.print(
                f"run {number}: {last.rate:,.0f} events/s over {last.seconds:.0f} s, bare loop {last.bare_rate:,.0f}/s"
            )
    live = None
    if live_seconds:
        with benchmark_topic() as topic, console.status(f"a live stream of {_LIVE_RATE:,} events/s"):
            live = _live(state, topic, live_seconds)
    console.print(_summary(results, live))
    console.print(_where(results[-1]))


@contextlib.contextmanager
def benchmark_topic() -> Iterator[str]:
    """Make a topic for one benchmark and delete it afterwards."""
    name = f"bench-stream-{secrets.token_hex(4)}"
    with contextlib.closing(KafkaAdminClient(**kafka_options())) as admin:
        admin.create_topics([NewTopic(name, _PARTITIONS, 1)])
        try:
            yield name
        finally:
            admin.delete_topics([name])


def _fill(topic: str, events: int) -> None:
    """Produce all events from processes of their own, since one cannot send much more than 20,000 a second."""
    began = time.monotonic()
    command = [
        sys.executable, "-m", "telestream.cli", "produce", "network-events", "--topic", topic,
        "--events", str(events // _PRODUCERS), "--cells", str(_CELLS), "--subscribers", str(_SUBSCRIBERS),
        "--seconds", "600", "--start", "2026-03-01T08:00:00Z", "--duplicates", "0.005", "--late", "0.005",
    ]  # fmt: skip
    with console.status(f"filling the topic with {events:,} events"):
        producers = [
            subprocess.Popen([*command, "--seed", str(seed)], stdout=subprocess.DEVNULL)
            for seed in range(1, _PRODUCERS + 1)
        ]
        failed = [one for one in producers if one.wait()]
    if failed:
        raise TerminalError("the topic could not be filled", hint="The message of the producer is above.")
    console.print(f"topic filled in {time.monotonic() - began:.0f} s")


def _run(state: StackState, topic: str, limits: Limits, writers: int, seconds: float) -> Run:
    with scratch_database(state, DATABASE) as (_, superuser_url):
        bare, _ = _in_child(_bare, (topic, superuser_url, seconds), superuser_url)
    with (
        scratch_database(state, DATABASE) as (url, superuser_url),
        psycopg.connect(superuser_url, autocommit=True) as superuser,
    ):
        migrate.upgrade(url)
        superuser.execute("CHECKPOINT")
        superuser.execute("SELECT pg_stat_statements_reset()")
        broker_before, machine_before = cpu_seconds(state.broker_pid), _machine_cpu()
        totals, sample = _in_child(_consume, (topic, limits, writers, seconds), url)
        broker, machine = cpu_seconds(state.broker_pid) - broker_before, _machine_cpu() - machine_before
        statements: dict[str, float] = dict(superuser.execute(_STATEMENTS).fetchall())
    # The clock starts with the first commit, which is of messages polled before.
    share = (totals.batches - 1) / totals.batches
    return Run(
        messages=int(totals.messages * share),
        seconds=totals.last_commit - totals.first_commit,
        bare_messages=bare[0],
        bare_seconds=bare[1],
        sample=sample,
        broker_cpu=broker,
        machine_cpu=machine,
        statements=statements,
    )


def _in_child(job: Callable[..., Any], arguments: tuple[Any, ...], url: str) -> tuple[Any, Sample]:
    """Run a job in a process of its own with `url` as its database; return its result and what was seen of it."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    child = spawn.Process(target=_child, args=(job, arguments, url, theirs))
    child.start()
    theirs.close()
    sample = Sample()
    while not ours.poll(_SAMPLE_SECONDS) and child.is_alive():
        sample.memory.append(_memory(child.pid))
        sample.cpu = cpu_seconds(child.pid)
    try:
        result = ours.recv()
    except EOFError as exc:
        raise TerminalError("a measured process ended early", hint="Its messages are above.") from exc
    finally:
        child.join()
    if isinstance(result, TelestreamError):
        raise result
    return result, sample


def _child(job: Callable[..., Any], arguments: tuple[Any, ...], url: str, pipe: Pipe) -> None:
    state = lifecycle.up()
    # The database of the benchmark; and a cache that serves nobody's dashboards.
    os.environ.update(TELESTREAM_DATABASE_URL=url, TELESTREAM_REDIS_URL=state.redis_url)
    settings.cache_clear()
    try:
        pipe.send(job(*arguments))
    except TelestreamError as exc:
        pipe.send(exc)


def _consume(topic: str, limits: Limits, writers: int, seconds: float) -> Totals:
    stop = threading.Event()
    timer = threading.Timer(seconds + 2, stop.set)  # it starts in about that time
    timer.start()
    try:
        return consume(
            NETWORK_EVENTS, topic=topic, partitions="all", limits=limits, writers=writers, drain=True, stop=stop
        )
    finally:
        timer.cancel()


def _bare(topic: str, url: str, seconds: float) -> tuple[int, float]:
    """Poll and COPY undecoded values into a heap, in a transaction per poll; return messages and seconds."""
    broker = KafkaBroker(kafka_options(), topic)
    messages, began, heard = 0, 0.0, time.monotonic()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE bare (partition integer, kafka_offset bigint, value bytea)")
        while time.monotonic() - heard < 1 and (not began or time.monotonic() - began < seconds):
            for part in broker.poll(0.1).messages:
                began = began or time.monotonic()
                table = pa.table(
                    {
                        "partition": pa.repeat(pa.scalar(part.partition, pa.int32()), len(part)),
                        "kafka_offset": pa.array(part.offsets, pa.int64()),
                        "value": pa.array(part.values, pa.binary()),
                    }
                )
                copy_table(connection, ("public", "bare"), table)
                messages += len(part)
                heard = time.monotonic()
    broker.close()
    return messages, heard - began


def _live(state: StackState, topic: str, seconds: float) -> Live:
    """Consume a live stream with outages in its later windows; measure what an operator would wait for."""
    windows = int(seconds * _LIVE_SPEED / _WINDOW.total_seconds())
    if windows < _QUIET_WINDOWS + 2:
        raise TerminalError(
            "the live stream is too short for an alert",
            hint=f"--live-seconds {(_QUIET_WINDOWS + 2) * _WINDOW.total_seconds() / _LIVE_SPEED:.0f} or more, or 0.",
        )
    start = datetime(2026, 3, 1, 8, tzinfo=UTC)
    spec = NetworkSpec(
        events=int(seconds * _LIVE_RATE),
        start=start,
        duration=timedelta(seconds=seconds * _LIVE_SPEED),
        cells=_LIVE_CELLS,
        anomalies=tuple(
            Planted(AnomalyKind.OUTAGE, 3 * number + one, start + number * _WINDOW, _WINDOW)
            for number in range(_QUIET_WINDOWS, windows - 1)
            for one in range(3)
        ),
    )
    with scratch_database(state, DATABASE) as (url, _), benchmark_topic() as alerts:
        migrate.upgrade(url)
        divert_alerts(url, alerts)
        produced: list[Any] = []
        feeder = threading.Thread(target=lambda: produced.append(_feed(url, topic, spec)))
        feeder.start()
        totals, sample = _in_child(_consume_live, (topic, seconds + _START_SECONDS), url)
        feeder.join()
        if not produced:
            raise TerminalError("the live stream was not sent")
        began, ended, messages = produced[0]
        with connect(url, autocommit=True) as connection:
            raised = connection.execute(
                "SELECT a.started_at + k.open_after * interval '5 minutes', extract(epoch FROM o.published_at)::float8"
                " FROM analytics.anomaly AS a INNER JOIN analytics.kpi AS k USING (kpi)"
                " INNER JOIN ops.outbox AS o ON o.payload ->> 'anomaly_id' = a.anomaly_id::text"
                " WHERE a.kpi = 'events' AND o.payload ->> 'status' = 'opened' AND o.published_at IS NOT NULL"
            ).fetchall()
            (grace,) = connection.execute(  # type: ignore[misc]  # made by a revision
                "SELECT value::interval FROM ops.setting WHERE name = 'window_grace'"
            ).fetchone()
        sent = _sent_at(topic, [closed + grace for closed, _ in raised])
    # A window can be judged once an event past its end and grace has been produced.
    delays = [published - sent[closed + grace] for closed, published in raised]
    return Live(
        rate=messages / (ended - began),
        gold_p50=totals.latency.percentile(0.5) or 0.0,
        gold_p95=totals.latency.percentile(0.95) or 0.0,
        alerts=sorted(delays),
        sample=sample,
    )


def _sent_at(topic: str, moments: list[datetime]) -> dict[datetime, float]:
    """Return when the first event at or after each of these event times was produced, as Unix time.

    Read from the topic's own time stamps, so that a producer that falls behind its pace is not taken for a delay.
    """
    decoder = AvroDecoder(open_registry(), packaged_schema("network_event"))
    broker = KafkaBroker(kafka_options(), topic)
    found = dict.fromkeys(moments, float("inf"))
    heard = time.monotonic()
    while time.monotonic() - heard < 1:
        for part in broker.poll(0.1).messages:
            heard = time.monotonic()
            first = 0
            for sent_ms, messages in part.sent:
                latest = pc.max(decoder.decode(part.values[first : first + messages]).table.column("event_at")).as_py()
                first += messages
                for moment in moments:
                    if latest is not None and latest >= moment:
                        found[moment] = min(found[moment], sent_ms / 1000)
    broker.close()
    return found


def divert_alerts(url: str, topic: str) -> None:
    """Let this database's alerts go to a topic of the benchmark: they must not call anybody."""
    with connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION public.divert() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN new.topic := tg_argv[0]; RETURN new; END'"
        )
        connection.execute("SET ROLE telestream_owner")
        connection.execute(
            sql.SQL(
                "CREATE TRIGGER divert BEFORE INSERT ON ops.outbox FOR EACH ROW EXECUTE FUNCTION divert({})"
            ).format(sql.Literal(topic))
        )


def _feed(url: str, topic: str, spec: NetworkSpec) -> tuple[float, float, int]:
    """Send the live stream once a consumer has claimed the topic; return when it began and ended, and messages."""
    deadline = time.monotonic() + _START_SECONDS
    with connect(url, autocommit=True) as connection:
        while not connection.execute("SELECT 1 FROM ops.kafka_offset WHERE topic = %s", (topic,)).fetchone():
            if time.monotonic() > deadline:
                raise TerminalError("the consumer did not start", hint="Its messages are above.")
            time.sleep(0.1)
    began = time.time()
    manifest = send_stream(spec, topic, speed=_LIVE_SPEED)
    return began, time.time(), manifest.messages


def _consume_live(topic: str, longest: float) -> Totals:
    """Consume until the stream has begun and has then been silent for a few seconds."""
    stop = threading.Event()

    def watch() -> None:
        deadline = time.monotonic() + longest
        last, silent_since = -1, time.monotonic()
        with connect(autocommit=True) as connection:
            while time.monotonic() < deadline:
                time.sleep(1)
                row = connection.execute(
                    "SELECT coalesce(sum(next_offset), 0)::bigint FROM ops.kafka_offset WHERE topic = %s", (topic,)
                ).fetchone()
                read = row[0] if row else 0
                if read != last:
                    last, silent_since = read, time.monotonic()
                elif read and time.monotonic() - silent_since > 4:
                    break
        stop.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    totals = consume(NETWORK_EVENTS, topic=topic, partitions="all", stop=stop)
    watcher.join()
    return totals


def _memory(pid: int | None) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def cpu_seconds(pid: int | None) -> float:
    """Return the CPU seconds that a process has used; 0 where there is none."""
    try:
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(values[11]) + int(values[12])) / _TICKS


def _machine_cpu() -> float:
    """Return the CPU seconds that all processes of the machine have used."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / _TICKS


def _summary(results: list[Run], live: Live | None) -> Table:
    rate = statistics.median(run.rate for run in results)
    table = Table("what", "aim", "measured", title=f"Stream, {len(results)} runs, median")
    table.add_row("events/s, Kafka → Silver and Gold, exactly once", "≥ 50,000 (stretch 100,000)", f"{rate:,.0f}")
    table.add_row(
        "bare loop: poll, COPY undecoded values, messages/s", "",
        f"{statistics.median(run.bare_rate for run in results):,.0f}",
    )  # fmt: skip
    table.add_row("consumer : bare loop", "", f"{statistics.median(run.rate / run.bare_rate for run in results):.2f}")
    table.add_row("memory of the consumer, peak", "≤ 512 MB", f"{max(run.sample.peak for run in results):.0f} MB")
    table.add_row(
        "  its growth, last against middle third", "flat", f"{max(run.sample.growth() for run in results):+.0f} MB"
    )
    if live is not None:
        table.add_section()
        table.add_row("live stream, events/s", f"{_LIVE_RATE:,}", f"{live.rate:,.0f}")
        table.add_row(
            "  produce → visible in Gold, p50 / p95", "p95 ≤ 2 s", f"{live.gold_p50:.2f} / {live.gold_p95:.2f} s"
        )
        if live.alerts:
            p50, p95 = (live.alerts[min(len(live.alerts) - 1, int(len(live.alerts) * q))] for q in (0.5, 0.95))
            table.add_row(
                f"  window closed → alert published, p50 / p95 of {len(live.alerts)}", "p95 ≤ 2 s",
                f"{p50:.2f} / {p95:.2f} s",
            )  # fmt: skip
        table.add_row("  memory of the consumer, peak", "≤ 512 MB", f"{live.sample.peak:.0f} MB")
    return table


def _where(run: Run) -> Table:
    """Show CPU per process, and the statements of the database by their time (waits included, all writers added)."""
    table = Table("where", "µs per event", title="Where the time goes (last run)")
    rest = run.machine_cpu - run.sample.cpu - run.broker_cpu
    for name, used in (
        ("CPU: consumer process", run.sample.cpu),
        ("CPU: broker", run.broker_cpu),
        ("CPU: database and all else", rest),
    ):
        table.add_row(name, f"{used / run.messages * 1e6:.2f}")
    table.add_section()
    for label, seconds in run.statements.items():
        table.add_row(f"statement: {label}", f"{seconds / run.messages * 1e6:.2f}")
    return table
