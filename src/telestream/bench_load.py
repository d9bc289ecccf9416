"""Measures the whole service at once: questions to the API while files are loaded and events stream, on one machine."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from rich.table import Table

from telestream import api_load, bench_api_data
from telestream.console import console
from telestream.consumers.bench_stream import benchmark_topic
from telestream.db.connection import connect
from telestream.db.scratch import scratch_database
from telestream.errors import TerminalError
from telestream.loaders.generate import GenerateSpec, generate_cdr
from telestream.stack import lifecycle

DATABASE = "telestream_bench_load"
# A round of the generator is longer than what it measures: it starts, learns what there is, and warms up.
_OVERHEAD_SECONDS = 40.0
_ENDING_SECONDS = 60.0


@dataclass
class Round:
    """What one round saw; `waiting` is how long the oldest file in the folder has not been loaded, seconds."""

    load: api_load.Load
    cdrs: int
    events: int
    lag: int
    waiting: float
    seconds: float
    megabytes: dict[str, float]


def load(
    rows: Annotated[int, typer.Option(min=1_000, help="CDRs in the database before it begins.")] = 1_000_000,
    seconds: Annotated[float, typer.Option(min=1, help="How long each round is measured.")] = 60.0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; a soak has many.")] = 3,
    rate: Annotated[float, typer.Option(min=1, help="Requests a second.")] = 50.0,
    events: Annotated[float, typer.Option(min=1, help="Events a second.")] = 2_000.0,
    file_rows: Annotated[int, typer.Option(min=100, help="CDRs of each file.")] = 20_000,
    file_seconds: Annotated[float, typer.Option(min=1, help="Seconds between two files.")] = 10.0,
) -> None:
    """GraphQL at a constant rate while a loader takes files from a folder and a consumer reads a stream.

    A scratch database on the embedded server is filled and dropped afterwards; everything shares the machine and ends
    by itself. A soak shows whether memory, lag or times grow: telestream bench load --rounds 60 --seconds 60
    """
    api_load.require_generator()
    state = lifecycle.up()
    console.print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; database, API, loader, "
        f"consumer and load generator on the same machine; {rows:,} CDRs at first"
    )
    with (
        scratch_database(state, DATABASE) as (url, superuser_url),
        benchmark_topic() as topic,
        benchmark_topic() as alerts_topic,
        tempfile.TemporaryDirectory() as folder,
    ):
        bench_api_data.fill(url, superuser_url, rows, topic, alerts_topic)
        environment = {**os.environ, "TELESTREAM_DATABASE_URL": url, "TELESTREAM_REDIS_URL": state.redis_url}
        environment |= {
            "TELESTREAM_LOAD_KEY": api_load.reading_key(url), "TELESTREAM_LOAD_DAYS": str(bench_api_data.DAYS),
        }  # fmt: skip
        lasting = rounds * (seconds + _OVERHEAD_SECONDS) + _ENDING_SECONDS
        with (
            _fed(Path(folder), file_rows, file_seconds),
            _running(*_load_command(folder), environment=environment) as loader,
            _running(*_consume_command(topic), environment=environment) as consumer,
            _running(*_produce_command(topic, events, lasting), environment=environment),
            api_load.served(environment, 1) as (base, api),
            connect(url, autocommit=True) as connection,
        ):
            trees: dict[str, int | None] = {"API": api.pid, "loader": loader.pid, "consumer": consumer.pid}
            found = []
            for number in range(1, rounds + 1):
                found.append(_round(connection, topic, base, environment, rate, seconds, trees, Path(folder)))
                console.print(_line(number, found[-1]), highlight=False)
            for name, process in (("loader", loader), ("consumer", consumer), ("API", api)):
                if process.poll() is not None:
                    raise TerminalError(f"the {name} has ended", detail=f"Exit code {process.returncode}.")
    console.print(_table(found))
    if errors := [error for one in found for error in one.load.errors]:
        raise TerminalError(f"{len(errors):,} requests failed", detail=errors[0])


def _load_command(folder: str) -> tuple[str, ...]:
    return "load", "cdr", folder, "--watch", "--interval", "1", "--profile", "canonical"


def _consume_command(topic: str) -> tuple[str, ...]:
    return "consume", "network-events", "--topic", topic, "--partitions", "all"


def _produce_command(topic: str, rate: float, seconds: float) -> tuple[str, ...]:
    start = datetime.combine(bench_api_data.LAST_DAY, datetime.min.time(), UTC) + timedelta(hours=12)
    return (
        "produce", "network-events", "--topic", topic, "--events", str(int(rate * seconds)), "--rate", str(rate),
        "--start", start.isoformat(), "--seconds", str(seconds), "--seed", "2",
    )  # fmt: skip


@contextlib.contextmanager
def _running(*arguments: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command beside until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "telestream.cli", *arguments],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _fed(folder: Path, rows: int, seconds: float) -> Iterator[None]:
    """Put a file of new CDRs into a folder every so many seconds, until the block ends."""
    over = threading.Event()

    def feed() -> None:
        number = 0
        while not over.wait(seconds):
            number += 1
            part = folder / f".{number:06}.part"
            generate_cdr(GenerateSpec(rows=rows, day=bench_api_data.LAST_DAY, seed=1_000 + number), part)
            part.rename(folder / f"{number:06}.csv")

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _round(
    connection: psycopg.Connection, topic: str, base: str, environment: dict[str, str], rate: float, seconds: float,
    trees: dict[str, int | None], folder: Path,
) -> Round:  # fmt: skip
    before, began = _rows(connection), time.monotonic()
    load = api_load.run_load("uncached", base, environment, rate, seconds, trees)
    after = _rows(connection)
    return Round(
        load=load,
        cdrs=after.get("cdr", 0) - before.get("cdr", 0),
        events=after.get("network_event", 0) - before.get("network_event", 0),
        lag=_lag(connection, topic),
        waiting=_waiting(connection, folder),
        seconds=time.monotonic() - began,
        megabytes={name: _megabytes(pid) for name, pid in trees.items()},
    )


def _rows(connection: psycopg.Connection) -> dict[str, int]:
    return dict(
        connection.execute(
            "SELECT dataset, sum(rows_loaded)::bigint FROM ops.batch WHERE finished_at IS NOT NULL GROUP BY dataset"
        ).fetchall()
    )


def _lag(connection: psycopg.Connection, topic: str) -> int:
    row = connection.execute(
        "SELECT coalesce(sum(log_end - next_offset), 0)::bigint FROM ops.kafka_offset WHERE topic = %s", (topic,)
    ).fetchone()
    return int(row[0]) if row else 0


def _waiting(connection: psycopg.Connection, folder: Path) -> float:
    loaded = {
        Path(uri).name
        for (uri,) in connection.execute("SELECT uri FROM ops.source_file WHERE status = 'loaded'").fetchall()
    }
    now = time.time()
    return max((now - path.stat().st_mtime for path in folder.glob("*.csv") if path.name not in loaded), default=0.0)


def _megabytes(pid: int | None) -> float:
    """Return the memory of a process that is not shared with a file, from /proc."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _line(number: int, one: Round) -> str:
    p50, p95, p99 = api_load.percentiles(one.load.all_times)
    memory = ", ".join(f"{name} {value:.0f}" for name, value in one.megabytes.items())
    return (
        f"round {number}: p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f} ms at {one.load.rate:.0f} requests/s, "
        f"{len(one.load.errors)} errors; {one.cdrs / one.seconds:,.0f} CDRs/s, {one.events / one.seconds:,.0f} "
        f"events/s, lag {one.lag:,}, oldest file waits {one.waiting:.0f} s; MB: {memory}"
    )


def _table(found: list[Round]) -> Table:
    table = Table("what", "first round", "last round", "worst", title="Mixed load")

    def row(name: str, values: list[float], form: str = ",.1f") -> None:
        table.add_row(name, *(format(value, form) for value in (values[0], values[-1], max(values))))

    for position, name in enumerate(("p50", "p95", "p99")):
        row(f"{name} of requests, ms", [api_load.percentiles(one.load.all_times)[position] for one in found])
    row("failed requests", [float(len(one.load.errors)) for one in found], ",.0f")
    row("lag, messages", [float(one.lag) for one in found], ",.0f")
    row("oldest file waits, s", [one.waiting for one in found], ",.0f")
    for name in found[0].megabytes:
        row(f"memory of the {name}, MB", [one.megabytes[name] for one in found], ",.0f")
    table.add_section()
    table.add_row("CDRs loaded", f"{sum(one.cdrs for one in found):,}")
    table.add_row("events loaded", f"{sum(one.events for one in found):,}")
    return table
