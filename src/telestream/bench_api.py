"""Measures the API: a mixed load at a constant rate, uncached and cached, and alerts to many subscribers."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import platform
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import psycopg
import redis
import typer
import urllib3
from rich.table import Table

from telestream import bench_api_data, channels
from telestream.console import console
from telestream.consumers.bench_stream import benchmark_topic
from telestream.db.connection import connect
from telestream.db.scratch import scratch_database
from telestream.errors import TerminalError, UsageError
from telestream.graphql import keys
from telestream.graphql.principal import READ_SCOPES
from telestream.stack import lifecycle

DATABASE = "telestream_bench_api"
LOCUSTFILE = Path(__file__).resolve().parents[2] / "tests" / "load" / "locustfile.py"
# An answer may take this long before a user misses the next turn.
_TURN_SECONDS = 0.5
_START_SECONDS = 60.0
_ALERTS = 10
_TICKS = os.sysconf("SC_CLK_TCK")
_POOL = urllib3.PoolManager(retries=False)
# What a run asks for, in the words of the locustfile.
_BARE, _UNCACHED, _CACHED = "bare", "uncached", "cached"


@dataclass
class Load:
    """What came of one or more runs: response times (ms) and errors per kind of request, CPU seconds per process."""

    seconds: float = 0.0
    times: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    hits: float = 0.0
    misses: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)
    wall: float = 0.0

    @property
    def all_times(self) -> list[float]:
        """The times of all kinds."""
        return [one for times in self.times.values() for one in times]

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.all_times) / self.seconds if self.seconds else 0.0

    @property
    def hit_rate(self) -> float:
        """Share of the answers that may be cached that came from the cache."""
        return self.hits / (self.hits + self.misses) if self.hits + self.misses else 0.0

    def add(self, other: Load) -> None:
        """Put another run beside it."""
        for name, times in other.times.items():
            self.times.setdefault(name, []).extend(times)
        for name, used in other.cpu.items():
            self.cpu[name] = self.cpu.get(name, 0.0) + used
        self.seconds += other.seconds
        self.errors += other.errors
        self.hits += other.hits
        self.misses += other.misses
        self.wall += other.wall


@dataclass
class Live:
    """Seconds from an alert's row to each subscriber, and from its notice in Redis."""

    subscribers: int
    from_row: list[float] = field(default_factory=list)
    from_notice: list[float] = field(default_factory=list)


def api(
    rows: Annotated[int, typer.Option(min=1_000, help="CDRs in the database.")] = 10_000_000,
    seconds: Annotated[float, typer.Option(min=1, help="How long a run is measured.")] = 30.0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, each an uncached and a cached run.")] = 3,
    rate: Annotated[float, typer.Option(min=1, help="Requests a second.")] = 200.0,
    subscribers: Annotated[int, typer.Option(min=0, max=2_000, help="Subscribers of alerts; 0: none.")] = 1_000,
    workers: Annotated[int, typer.Option(min=1, help="Processes of the API.")] = 1,
) -> None:
    """GraphQL at a constant rate beside a bare answer of the same process, then alerts to many subscribers.

    A scratch database on the embedded server is filled and dropped afterwards. Database, API and load generator share
    the machine. The load is that of tests/load/locustfile.py. The bare answer is /healthz, asked at the same rate.
    """
    if importlib.util.find_spec("locust") is None or not LOCUSTFILE.exists():
        raise UsageError("the load generator is not here", hint="Run `make setup` in a checkout; it installs locust.")
    state = lifecycle.up()
    console.print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; database, API and load "
        f"generator on the same machine; {rows:,} CDRs, {rate:g} requests/s, {workers} process(es) of the API"
    )
    with (
        scratch_database(state, DATABASE) as (url, superuser_url),
        benchmark_topic() as topic,
        benchmark_topic() as alerts_topic,
    ):
        bench_api_data.fill(url, superuser_url, rows, topic, alerts_topic)
        environment = {**os.environ, "TELESTREAM_DATABASE_URL": url, "TELESTREAM_REDIS_URL": state.redis_url}
        environment |= {"TELESTREAM_LOAD_KEY": _key(url), "TELESTREAM_LOAD_DAYS": str(bench_api_data.DAYS)}
        with _served(environment, workers) as (base, process):
            trees = {"database": state.postgres_pid, "API": process.pid, "cache": state.redis_pid}
            bare = _load(_BARE, base, environment, rate, seconds, trees)
            found = {_UNCACHED: Load(), _CACHED: Load()}
            for number in range(1, rounds + 1):
                for kind, total in found.items():
                    one = _load(kind, base, environment, rate, seconds, trees)
                    total.add(one)
                    p50, p95, p99 = percentiles(one.all_times)
                    console.print(
                        f"round {number}, {kind}: p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f} ms at "
                        f"{one.rate:.0f} requests/s, {len(one.errors)} errors"
                    )
            live = None
            if subscribers:
                with console.status(f"alerts to {subscribers:,} subscribers"):
                    live = _live(url, topic, base, environment, subscribers)
    for kind, total in found.items():
        console.print(_classes(kind, total, rounds))
    console.print(_summary(bare, found, live, rate, workers))
    if errors := [error for total in (bare, *found.values()) for error in total.errors]:
        raise TerminalError(f"{len(errors):,} requests failed", detail=errors[0])


def percentiles(values: list[float], *shares: float) -> list[float]:
    """Return percentiles, 50, 95 and 99 unless others are asked for; NaN where there are no values."""
    ordered = sorted(values)
    return [
        ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")
        for share in shares or (0.5, 0.95, 0.99)
    ]


def _key(url: str) -> str:
    with connect(url, autocommit=True) as connection:
        return keys.create(connection, "bench", "api", READ_SCOPES, timedelta(days=1), 100_000_000)[1]


@contextlib.contextmanager
def _served(environment: dict[str, str], workers: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Serve the API in a process of its own, its log on disk; yields where."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "telestream.cli", "api", "serve", "--port", "0", "--workers", str(workers)],
            env=environment, stdout=subprocess.DEVNULL, stderr=log,
        )  # fmt: skip
        try:
            yield _base(process, log), process
        finally:
            process.terminate()
            process.wait()


def _base(process: subprocess.Popen[bytes], log: Any) -> str:
    """Return the address that the log tells, once the API is ready."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        first = os.pread(log.fileno(), 1000, 0).split(b"\n")[0].decode()
        if first.startswith("serving "):
            base = first.split()[1].removesuffix("/graphql")
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                if _POOL.request("GET", f"{base}/readyz", timeout=5).status == 200:
                    return base
        time.sleep(0.1)
    raise TerminalError("the API did not start", detail=os.pread(log.fileno(), 2000, 0).decode(errors="replace"))


def _load(
    kind: str, base: str, environment: dict[str, str], rate: float, seconds: float, trees: dict[str, int | None]
) -> Load:
    """Run the load generator once."""
    warm_up = min(5.0, seconds)
    users = max(1, round(rate * _TURN_SECONDS))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        environment = environment | {
            "TELESTREAM_LOAD_RATE": str(rate), "TELESTREAM_LOAD_KIND": kind, "TELESTREAM_LOAD_REPORT": str(report),
            "TELESTREAM_LOAD_WARM_UP": str(warm_up), "TELESTREAM_LOAD_SECONDS": str(seconds),
        }  # fmt: skip
        before, began = {name: cpu_of_tree(pid) for name, pid in trees.items()}, time.monotonic()
        with console.status(f"{kind}: {rate:g} requests/s for {seconds:g} s"):
            locust = subprocess.Popen(
                [
                    sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--host", base, "--users",
                    str(users), "--spawn-rate", str(users), "--only-summary", "--exit-code-on-error", "0",
                ],
                env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            assert locust.stdout is not None  # it is a pipe
            output = locust.stdout.read()
            locust.stdout.close()
            _, code, usage = os.wait4(locust.pid, 0)
            locust.returncode = code
        if code or not report.exists():
            raise TerminalError("the load generator failed", detail=output.decode(errors="replace")[-2000:])
        told = json.loads(report.read_text())
        cpu = {name: cpu_of_tree(pid) - before[name] for name, pid in trees.items()}
        cpu["generator"] = usage.ru_utime + usage.ru_stime
        return Load(
            seconds=told["seconds"],
            times=told["times_ms"],
            errors=[f"{name}: {error}" for name, errors in told["errors"].items() for error in errors],
            hits=told["cache"].get("hits", 0.0),
            misses=told["cache"].get("misses", 0.0),
            cpu=cpu,
            wall=time.monotonic() - began,
        )


def cpu_of_tree(pid: int | None) -> float:
    """Return the CPU seconds of a process and all below it, those that have ended included."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            values = stat.read_text().rpartition(")")[2].split()
            number = int(stat.parent.name)
            parents[number] = int(values[1])
            used[number] = sum(map(int, values[11:15])) / _TICKS
    total, waiting = 0.0, [pid]
    while waiting:
        one = waiting.pop()
        total += used.get(one or 0, 0.0)
        waiting += [child for child, parent in parents.items() if parent == one]
    return total


def _live(url: str, topic: str, base: str, environment: dict[str, str], subscribers: int) -> Live:
    """Raise alerts in the database; a consumer publishes them, as it does with those of the detection."""
    live = Live(subscribers)
    consumer = bench_api_data.consume(topic, environment)
    listeners = subprocess.Popen(
        [
            sys.executable, "-m", "telestream.bench_api_listeners", base.replace("http", "ws", 1) + "/graphql",
            str(subscribers),
        ],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        with _notices(environment["TELESTREAM_REDIS_URL"]) as notices, connect(url, autocommit=True) as connection:
            tell = _lines(listeners)
            tell(_START_SECONDS)
            # The first ones only show that all listen.
            deadline = time.monotonic() + _START_SECONDS
            while len(_raise(connection, tell)[2]) < subscribers:
                if time.monotonic() > deadline:
                    raise TerminalError("not all subscribers receive alerts")
            for _ in range(_ALERTS):
                time.sleep(random.uniform(0.2, 1.2))
                alert_id, raised, times = _raise(connection, tell)
                times += [float("inf")] * (subscribers - len(times))
                live.from_row += [one - raised for one in times]
                live.from_notice += [one - notices[alert_id] for one in times]
    finally:
        for process in (listeners, consumer):
            process.terminate()
            process.communicate()
    return live


def _raise(connection: psycopg.Connection, tell: Callable[[float], Any]) -> tuple[str, float, list[float]]:
    """Raise an alert like the latest one; return its id, when it was committed, and when who received it."""
    alert_id = str(uuid.uuid4())
    connection.execute(
        "INSERT INTO ops.outbox (alert_id, topic, key, payload)"
        " SELECT %(id)s::uuid, o.topic, o.key, o.payload || jsonb_build_object('alert_id', %(id)s::text)"
        " FROM ops.outbox AS o ORDER BY o.outbox_id DESC LIMIT 1",
        {"id": alert_id},
    )
    raised = time.time()
    told: dict[str, Any] = {}
    with contextlib.suppress(queue.Empty):
        while told.get("alert_id") != alert_id:
            told = tell(10.0)
    return alert_id, raised, told.get("times", [])


@contextlib.contextmanager
def _notices(url: str) -> Iterator[dict[str, float]]:
    """Yield a growing account of when the notice of each alert was in Redis."""
    found: dict[str, float] = {}

    def take(message: dict[str, Any]) -> None:
        found[json.loads(message["data"])["alert_id"]] = time.time()

    with redis.Redis.from_url(url) as client, client.pubsub() as listener:
        listener.subscribe(**{channels.ALERTS: take})
        thread = listener.run_in_thread(sleep_time=0.01)
        try:
            yield found
        finally:
            thread.stop()
            thread.join()


def _lines(process: subprocess.Popen[bytes]) -> Callable[[float], Any]:
    """Return a function that waits for the next line of JSON that a process prints; raises queue.Empty."""
    lines: queue.Queue[Any] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None  # it is a pipe
        for line in process.stdout:
            lines.put(json.loads(line))

    threading.Thread(target=read, daemon=True).start()
    return lambda seconds: lines.get(timeout=seconds)


def _classes(kind: str, load: Load, rounds: int) -> Table:
    table = Table("request", "share", "p50 ms", "p95 ms", "p99 ms", "max ms", title=f"{kind}, {rounds} rounds together")
    for column in table.columns[1:]:
        column.justify = "right"
    total = len(load.all_times)
    for name, times in [*sorted(load.times.items(), key=lambda one: -len(one[1])), ("all", load.all_times)]:
        if name == "all":
            table.add_section()
        shown = [f"{value:.1f}" for value in (*percentiles(times), max(times, default=float("nan")))]
        table.add_row(name, f"{len(times) / max(1, total):.0%}", *shown)
    return table


def _summary(bare: Load, found: dict[str, Load], live: Live | None, rate: float, workers: int) -> Table:
    table = Table("what", "aim", *found, title="API")
    runs = list(found.values())
    bare_p95 = percentiles(bare.all_times)[1]

    def row(name: str, aim: str, show: Callable[[Load], str]) -> None:
        table.add_row(name, aim, *(show(one) for one in runs))

    row("p95, ms", "≤ 50 and ≤ 10", lambda one: f"{percentiles(one.all_times)[1]:.1f}")
    row(
        f"  : p95 of the bare answer, {bare_p95:.1f} ms",
        "",
        lambda one: f"{percentiles(one.all_times)[1] / bare_p95:.1f}",
    )
    row("requests/s", f"{rate:g}", lambda one: f"{one.rate:.1f}")
    row("errors", "0", lambda one: f"{len(one.errors):,}")
    if workers == 1:  # each process counts for itself, and which one answers is chance
        row("from the cache, of what may be cached", "0 % and most", lambda one: f"{one.hit_rate:.1%}")
    for name in runs[0].cpu:
        row(f"CPU: {name}, cores", "", lambda one, name=name: f"{one.cpu[name] / one.wall:.2f}")  # type: ignore[misc]
    if live is not None:
        table.add_section()
        # A publisher that nobody wakes looks once a second; the detection wakes it.
        for name, aim, values in (
            ("row committed", "≤ 1 s + 1 s", live.from_row), ("notice in Redis", "≤ 1 s", live.from_notice),
        ):  # fmt: skip
            p50, p95 = percentiles(values, 0.5, 0.95)
            table.add_row(
                f"{name} → {live.subscribers:,} subscribers, p50 / p95 / max", aim,
                f"{p50:.2f} / {p95:.2f} / {max(values):.2f} s",
            )  # fmt: skip
    return table
