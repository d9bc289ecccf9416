"""What `telestream bench api` asks about: a scratch database with CDRs of ten days and a stream of network events."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
import pyarrow.csv

from telestream.console import console
from telestream.consumers.bench_stream import divert_alerts
from telestream.consumers.generate import AnomalyKind, NetworkSpec, Planted
from telestream.consumers.produce_cli import send_stream
from telestream.db import migrate
from telestream.errors import TerminalError
from telestream.loaders.dimensions import CELLS, PLANS, REGIONS, load_dimension
from telestream.loaders.generate import GenerateSpec, cells, generate_cdr, plans, regions
from telestream.settings import settings

DAYS = 10
LAST_DAY = date(2026, 3, 1)
_EVENT_CELLS = 200
_WINDOW = timedelta(minutes=5)
# So that a silent cell stands out in each window.
_EVENTS_PER_WINDOW = 40 * _EVENT_CELLS
# The detection needs the windows before as what is normal.
_QUIET_WINDOWS = 8
_FEWEST_EVENTS, _MOST_EVENTS = 100_000, 600_000


def fill(url: str, superuser_url: str, rows: int, topic: str, alerts_topic: str) -> None:
    """Migrate an empty database and load it: dimensions, CDRs, network events, anomalies; Gold is refreshed.

    Args:
        url: the database, as its owner.
        superuser_url: the same as superuser.
        rows: CDRs.
        topic: where the network events are sent.
        alerts_topic: where its alerts go; they must not call anybody.

    Raises:
        TerminalError: a command failed; its messages are on the terminal.
    """
    migrate.upgrade(url)
    divert_alerts(url, alerts_topic)
    folder = settings().cache_dir / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    specs = [
        GenerateSpec(rows=max(1, rows // DAYS), day=LAST_DAY - timedelta(days=back)) for back in reversed(range(DAYS))
    ]
    for name, table, dimension in (
        ("regions", regions(), REGIONS), ("plans", plans(), PLANS), ("cells", cells(specs[0]), CELLS),
    ):  # fmt: skip
        path = folder / f"api-{name}.csv"
        pyarrow.csv.write_csv(table, path)
        load_dimension(dimension, path, url)
    files = [_generated(folder, spec) for spec in specs]
    environment = {**os.environ, "TELESTREAM_DATABASE_URL": url}
    began = time.monotonic()
    with console.status(f"loading {rows:,} CDRs of {DAYS} days"):
        _run(["load", "cdr", *map(str, files), "--profile", "canonical"], environment)
    console.print(f"{rows:,} CDRs of {DAYS} days loaded and Gold refreshed in {time.monotonic() - began:.0f} s")
    began = time.monotonic()
    events = min(_MOST_EVENTS, max(_FEWEST_EVENTS, rows // DAYS))
    with console.status(f"streaming {events:,} network events"):
        send_stream(_stream(events), topic)
        consume(topic, environment, "--drain").wait()
        _run(["gold", "refresh"], environment)
    console.print(f"{events:,} network events consumed in {time.monotonic() - began:.0f} s")
    with psycopg.connect(superuser_url, autocommit=True) as superuser:
        # What autovacuum does in a database that has lived for some minutes.
        superuser.execute("VACUUM ANALYZE")
        superuser.execute("CHECKPOINT")


def consume(topic: str, environment: dict[str, str], *options: str) -> subprocess.Popen[bytes]:
    """Start a consumer of the network events."""
    return subprocess.Popen(
        [*_command("consume", "network-events", "--topic", topic, "--partitions", "all"), *options],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _generated(folder: Path, spec: GenerateSpec) -> Path:
    """Return a generated file, made once and kept in the cache."""
    path = folder / f"cdr-{spec.rows}-{spec.day}.csv"
    if not path.exists():
        with console.status(f"generating {spec.rows:,} CDRs of {spec.day}"):
            part = path.with_suffix(".part")
            generate_cdr(spec, part)
            part.rename(path)
    return path


def _stream(events: int) -> NetworkSpec:
    start = datetime(LAST_DAY.year, LAST_DAY.month, LAST_DAY.day, 8, tzinfo=UTC)
    windows = events // _EVENTS_PER_WINDOW
    return NetworkSpec(
        events=events,
        start=start,
        duration=windows * _WINDOW,
        cells=_EVENT_CELLS,
        anomalies=tuple(
            Planted(AnomalyKind.OUTAGE, number, start + number * _WINDOW, 2 * _WINDOW)
            for number in range(_QUIET_WINDOWS, windows - 2)
        ),
    )


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "telestream.cli", *arguments]


def _run(arguments: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(_command(*arguments), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise TerminalError(
            f"`telestream {' '.join(arguments[:2])}` failed", detail=done.stdout.decode(errors="replace")[-2000:]
        )
