"""Measures the API: a mixed load at a constant rate, uncached and cached, and alerts to many subscribers."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import queue
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import psycopg
import redis
import typer
from rich.table import Table

from telestream import bench_api_data, channels
from telestream.api_load import START_SECONDS, Load, percentiles, reading_key, require_generator, run_load, served
from telestream.console import console
from telestream.consumers.bench_stream import benchmark_topic
from telestream.db.connection import connect
from telestream.db.scratch import scratch_database
from telestream.errors import TerminalError
from telestream.stack import lifecycle

DATABASE = "telestream_bench_api"
_ALERTS = 10
# What a run asks for, in the words of the locustfile.
_BARE, _UNCACHED, _CACHED = "bare", "uncached", "cached"


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
    require_generator()
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
        environment |= {"TELESTREAM_LOAD_KEY": reading_key(url), "TELESTREAM_LOAD_DAYS": str(bench_api_data.DAYS)}
        with served(environment, workers) as (base, process):
            trees = {"database": state.postgres_pid, "API": process.pid, "cache": state.redis_pid}
            bare = run_load(_BARE, base, environment, rate, seconds, trees)
            found = {_UNCACHED: Load(), _CACHED: Load()}
            for number in range(1, rounds + 1):
                for kind, total in found.items():
                    one = run_load(kind, base, environment, rate, seconds, trees)
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
            tell(START_SECONDS)
            # The first ones only show that all listen.
            deadline = time.monotonic() + START_SECONDS
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
