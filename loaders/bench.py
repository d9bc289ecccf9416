"""Measures the batch path against a bare \\copy of the same file, in one run on one machine."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from rich.table import Table

from telestream.console import console
from telestream.db import migrate
from telestream.db.scratch import scratch_database
from telestream.loaders.canonical import FIELDS
from telestream.loaders.generate import GenerateSpec, generate_cdr
from telestream.settings import settings
from telestream.stack import lifecycle
from telestream.stack.root import client_command
from telestream.stack.state import StackState

DATABASE = "telestream_bench"
_BARE_TYPES = {
    "text": "text",
    "int32": "integer",
    "int64": "bigint",
    "time": "timestamptz",
    "bool": "boolean",
    "money": "numeric",
}
_HOURLY_GOLD = (
    "SELECT bucket, cell_key, sum(attempts), sum(seconds), sum(bytes_down) FROM gold.cell_traffic_1h"
    " WHERE bucket >= '2026-03-01 00:00+00' AND bucket < '2026-03-02 00:00+00' AND cell_id = %s GROUP BY 1, 2"
)
_HOURLY_SILVER = (
    "SELECT time_bucket('1 hour', f.started_at), f.cell_key, count(*), sum(coalesce(f.billed_s, f.duration_s, 0)),"
    " sum(f.bytes_down) FROM silver.fact_cdr AS f INNER JOIN silver.dim_network_cell AS c USING (cell_key)"
    " WHERE f.started_at >= '2026-03-01 00:00+00' AND f.started_at < '2026-03-02 00:00+00' AND c.cell_id = %s"
    " GROUP BY 1, 2"
)


@dataclass
class Run:
    """Seconds of one run, and what the load used."""

    bare: float = 0.0
    load: float = 0.0
    refresh: float = 0.0
    rss_mb: float = 0.0
    gold: float = 0.0
    silver: float = 0.0
    statements: dict[str, tuple[int, float]] = field(default_factory=dict)


def batch(
    rows: Annotated[int, typer.Option(help="CDRs in the file.")] = 10_000_000,
    runs: Annotated[int, typer.Option(min=1, help="Runs; the median counts.")] = 3,
    workers: Annotated[int, typer.Option(help="Workers of the loader.")] = 2,
) -> None:
    """File → Bronze → Silver → Gold against a bare \\copy of the same file into a hypertable with the same key.

    Both go into a database of their own on the embedded server, which is dropped afterwards. Prints
    ratios; also where the database's time goes and the loader's peak memory.
    """
    state = lifecycle.up()
    path = cdr_file(rows)
    console.print(machine(rows, path))
    results = []
    for number in range(1, runs + 1):
        with console.status(f"run {number} of {runs}"):
            results.append(_run(state, path, workers))
        last = results[-1]
        console.print(
            f"run {number}: \\copy {last.bare:.1f} s, load {last.load:.1f} s, refresh {last.refresh:.1f} s, "
            f"peak {last.rss_mb:.0f} MB"
        )
    console.print(_summary(rows, results))
    console.print(_where(rows, results[-1]))


def cdr_file(rows: int) -> Path:
    """Return a generated file of so many CDRs, kept for the next benchmark."""
    folder = settings().cache_dir / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"cdr-{rows}.csv"
    if not path.exists():
        with console.status(f"generating {rows:,} CDRs"):
            part = path.with_suffix(".part")
            generate_cdr(
                GenerateSpec(rows=rows, day=datetime.date(2026, 3, 1), subscribers=max(1000, rows // 20)),
                part,
            )
            part.rename(path)
    return path


def machine(rows: int, path: Path) -> str:
    """Say what is measured where."""
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; "
        f"{rows:,} CDRs, {path.stat().st_size / 1e9:.2f} GB CSV, database on the same machine"
    )


def _run(state: StackState, path: Path, workers: int) -> Run:
    result = Run()
    with scratch_database(state, DATABASE) as (_, superuser_url):
        result.bare = _bare_copy(state, superuser_url, path)
    with (
        scratch_database(state, DATABASE) as (url, superuser_url),
        psycopg.connect(superuser_url, autocommit=True) as superuser,
    ):
        migrate.upgrade(url)
        superuser.execute("CHECKPOINT")
        superuser.execute("SELECT pg_stat_statements_reset()")
        environment = {**os.environ, "TELESTREAM_DATABASE_URL": url}
        load = ["load", "cdr", str(path), "--profile", "canonical", "--workers", str(workers), "--no-refresh"]
        result.load, result.rss_mb = timed(load, environment)
        result.refresh, _ = timed(["gold", "refresh"], environment)
        result.statements = {
            label: (calls, milliseconds / 1000)
            for label, calls, milliseconds in superuser.execute(_STATEMENTS, {"database": DATABASE}).fetchall()
        }
        superuser.execute("VACUUM ANALYZE")
        (cell,) = superuser.execute(  # type: ignore[misc]
            "SELECT cell_id FROM gold.cell_traffic_1d GROUP BY cell_id ORDER BY sum(attempts) DESC, 1 LIMIT 1"
        ).fetchone()
        result.gold = _query(superuser, _HOURLY_GOLD, cell)
        result.silver = _query(superuser, _HOURLY_SILVER, cell)
    return result


def _bare_copy(state: StackState, url: str, path: Path) -> float:
    columns = ", ".join(f"{name} {_BARE_TYPES[kind]}" for name, kind in FIELDS.items() if kind != "json")
    with psycopg.connect(url, autocommit=True) as connection:
        # The same shape of key as Silver's: 16 random bytes and the time.
        columns = columns.replace("native_key text", "native_key uuid NOT NULL")
        columns = columns.replace("started_at timestamptz", "started_at timestamptz NOT NULL")
        connection.execute(f"CREATE TABLE bare ({columns})")
        connection.execute("SELECT create_hypertable('bare', by_range('started_at', INTERVAL '1 day'))")
        connection.execute("ALTER TABLE bare ADD PRIMARY KEY (native_key, started_at)")
        connection.execute("CHECKPOINT")
    psql = client_command(Path(state.root), "psql")
    started = time.monotonic()
    subprocess.run(
        [
            *psql,
            url,
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            f"\\copy bare FROM '{path}' WITH (FORMAT csv, HEADER)",
        ],
        check=True,
    )
    return time.monotonic() - started


def timed(arguments: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run one of our commands; returns its seconds and peak resident memory in MB."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "telestream.cli", *arguments], env=environment, stdout=subprocess.DEVNULL
    )
    _, code, usage = os.wait4(process.pid, 0)
    if code:
        raise typer.Exit(1)
    return time.monotonic() - started, usage.ru_maxrss / 1024


def _query(connection: psycopg.Connection, query: str, cell: str) -> float:
    """Return the median seconds of five runs."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        connection.execute(query, (cell,)).fetchall()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


_STATEMENTS = """
SELECT
    CASE
        WHEN s.query LIKE 'COPY%%' THEN 'COPY into Bronze (waits for the reader included)'
        WHEN s.query LIKE 'SELECT silver.enrol_cdr%%' THEN 'enrol: tokens, vault, cells'
        WHEN s.query LIKE 'CALL silver.refine_cdr%%' THEN 'refine: rules, keys, insert into Silver'
        WHEN s.query LIKE 'SELECT rollup.refresh_table%%' THEN 'Gold refresh'
        WHEN s.query LIKE 'COMMIT%%' THEN 'commit'
        ELSE 'other'
    END,
    sum(s.calls)::bigint,
    sum(s.total_exec_time)
FROM pg_stat_statements AS s INNER JOIN pg_database AS d ON s.dbid = d.oid
WHERE d.datname = %(database)s AND s.toplevel
GROUP BY 1 ORDER BY 3 DESC
"""


def _summary(rows: int, results: list[Run]) -> Table:
    ratio = statistics.median((run.load + run.refresh) / run.bare for run in results)
    speed = statistics.median(run.silver / run.gold for run in results)
    table = Table("what", "aim", "median", title=f"Batch, {rows:,} CDRs, {len(results)} runs")
    table.add_row("file → Bronze → Silver → Gold : bare \\copy", "≤ 3.0 (stretch 2.0)", f"{ratio:.2f}")
    table.add_row(
        "of it Gold refresh : bare \\copy",
        "",
        f"{statistics.median(run.refresh / run.bare for run in results):.2f}",
    )
    table.add_row("Silver : Gold, hourly query of the busiest cell", "≥ 100", f"{speed:,.0f}")
    table.add_row("peak memory of the loader", "≤ 512 MB", f"{max(run.rss_mb for run in results):.0f} MB")
    table.add_row(
        "rows/s, bare \\copy and all the way to Gold", "",
        f"{statistics.median(rows / run.bare for run in results):,.0f} and "
        f"{statistics.median(rows / (run.load + run.refresh) for run in results):,.0f}",
    )  # fmt: skip
    return table


def _where(rows: int, run: Run) -> Table:
    table = Table("in the database", "calls", "µs per row", title="Where the time goes (last run, all workers added)")
    for label, (calls, seconds) in run.statements.items():
        table.add_row(label, f"{calls:,}", f"{seconds / rows * 1e6:.2f}")
    return table
