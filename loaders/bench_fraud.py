"""Measures the rules against fraud: precision and recall on planted numbers, false alarms, seconds, memory."""

from __future__ import annotations

import datetime
import os
import platform
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import psycopg
import pyarrow.csv
import typer
from rich.table import Table

from telestream.console import console
from telestream.db import migrate
from telestream.db.scratch import scratch_database
from telestream.loaders.bench import DATABASE, timed
from telestream.loaders.generate import GenerateSpec, generate_cdr
from telestream.loaders.generate import cells as make_cells
from telestream.loaders.generate import regions as make_regions
from telestream.loaders.generate.fraud import RULES, SOURCE, Planted, read_truth, write_fraud
from telestream.stack import lifecycle

LAST_DAY = datetime.date(2026, 3, 15)


def fraud(
    rows: Annotated[int, typer.Option(help="CDRs in all.")] = 10_000_000,
    cells: Annotated[int, typer.Option(min=50, help="Cells of the network.")] = 5_000,
    subscribers: Annotated[int, typer.Option(min=100, help="Numbers that did nothing.")] = 100_000,
    days: Annotated[int, typer.Option(min=9, help="Days they are spread over.")] = 10,
    cases: Annotated[int, typer.Option(min=1, help="Numbers planted for each rule.")] = 40,
    lookalikes: Annotated[int, typer.Option(min=0, help="Numbers of each kind that only looks like fraud.")] = 20,
) -> None:
    """Load CDRs with planted fraud, look for it, and hold what was found against the truth.

    In a database of its own, which is dropped afterwards. Precision: which share of a rule's cases are of numbers
    planted for it. Recall: which share of these has a case.
    """
    state = lifecycle.up()
    console.print(
        f"{platform.machine()}, {os.cpu_count()} cores; {rows:,} CDRs of {subscribers:,} numbers and {cells:,} cells in"
        f" {days} days, database on the same machine"
    )
    spec = GenerateSpec(rows=rows // days, day=LAST_DAY, cells=cells, subscribers=subscribers, settled=True)
    with (
        scratch_database(state, DATABASE) as (url, superuser_url),
        psycopg.connect(superuser_url, autocommit=True) as superuser,
        tempfile.TemporaryDirectory() as folder,
    ):
        migrate.upgrade(url)
        environment = {**os.environ, "TELESTREAM_DATABASE_URL": url}
        with console.status("loading"):
            began = time.monotonic()
            truth = _load(Path(folder), environment, spec, days, cases, lookalikes)
            loaded = time.monotonic() - began
        first, memory, result = _run(superuser, url)
        again, _, nothing = _run(superuser, url)
        quality, alarms = _quality(superuser, truth)
        with console.status("loading one more day"):
            _load_day(Path(folder), environment, spec, LAST_DAY + datetime.timedelta(days=1))
        more, _, next_day = _run(superuser, url)
    console.print(quality)
    table = Table("what", "measured", title="Runs")
    table.add_row("generate, load and refresh", f"{loaded:.0f} s")
    table.add_row("first run", f"{first:.1f} s: {result}")
    table.add_row("peak memory of the backend", f"{memory:.0f} MB")
    table.add_row("run with nothing new", f"{again:.1f} s: {nothing}")
    table.add_row("run with one more day", f"{more:.1f} s: {next_day}")
    table.add_row("cases of numbers that did nothing", f"{alarms} of {subscribers:,} numbers")
    console.print(table)


def _load(
    folder: Path, environment: dict[str, str], spec: GenerateSpec, days: int, cases: int, lookalikes: int
) -> list[Planted]:
    for name, made in (("regions", make_regions()), ("cells", make_cells(spec))):
        pyarrow.csv.write_csv(made, folder / f"{name}.csv")
        timed(["load", name, str(folder / f"{name}.csv")], environment)
    _, beside = write_fraud(spec, days, cases, lookalikes, folder / "fraud.csv")
    timed(["load", "cdr", str(folder / "fraud.csv"), "--profile", "canonical"], environment)
    for number in reversed(range(days)):
        _load_day(folder, environment, spec, LAST_DAY - datetime.timedelta(days=number))
    return list(read_truth(beside))


def _load_day(folder: Path, environment: dict[str, str], spec: GenerateSpec, day: datetime.date) -> None:
    path = folder / f"{day}.csv"
    generate_cdr(
        GenerateSpec(rows=spec.rows, day=day, cells=spec.cells, subscribers=spec.subscribers, settled=True), path
    )
    timed(["load", "cdr", str(path), "--profile", "canonical"], environment)
    path.unlink()


def _run(superuser: psycopg.Connection[Any], url: str) -> tuple[float, float, str]:
    """Run once; returns seconds, the peak memory of the server process in MB as far as /proc tells, and the result."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET ROLE telestream_owner")
        began = time.monotonic()
        connection.execute("CALL analytics.run_task('fraud')")
        seconds = time.monotonic() - began
        row = superuser.execute(
            "SELECT substring(pg_read_file('/proc/' || %s || '/status') FROM 'VmHWM:\\s+(\\d+)')::float8 / 1024",
            (connection.info.backend_pid,),
        ).fetchone()
    found = superuser.execute("SELECT result FROM analytics.run ORDER BY run_id DESC LIMIT 1").fetchone()
    return seconds, row[0] if row and row[0] else 0.0, found[0] if found else ""


def _quality(connection: psycopg.Connection[Any], truth: list[Planted]) -> tuple[Table, int]:
    """Return precision and recall of each rule, and how many cases are of numbers that were not planted."""
    keys = [one.native_key for one in truth]
    # The surrogate of a number is that of a record it made.
    surrogates = dict(
        connection.execute(
            "SELECT k.key, f.caller_id FROM unnest(%s::text[]) AS k (key) INNER JOIN silver.fact_cdr AS f"
            " ON f.cdr_id = md5(%s || E'\\x1f' || k.key || E'\\x1f' || 0)::uuid",
            (keys, SOURCE),
        ).fetchall()
    )
    kind_of = {surrogates[one.native_key]: one.kind for one in truth}
    found = set(connection.execute("SELECT rule, subscriber_id FROM gold.fraud_case").fetchall())
    table = Table(
        "rule", "planted", "found", "recall", "flagged", "precision", "flagged wrongly", title="Planted fraud"
    )
    for rule in RULES:
        planted = {surrogate for surrogate, kind in kind_of.items() if kind == rule}
        flagged = {surrogate for name, surrogate in found if name == rule}
        wrongly = Counter(kind_of.get(surrogate, "did nothing") for surrogate in flagged - planted)
        hits = len(flagged & planted)
        table.add_row(
            rule,
            str(len(planted)),
            str(hits),
            f"{hits / max(1, len(planted)):.3f}",
            str(len(flagged)),
            f"{hits / max(1, len(flagged)):.3f}",
            ", ".join(f"{count} {kind}" for kind, count in sorted(wrongly.items())),
        )
    return table, sum(surrogate not in kind_of for _, surrogate in found)
