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
from telestream.loaders.bench_task import run_task, surrogates
from telestream.loaders.generate import GenerateSpec, generate_cdr
from telestream.loaders.generate import cells as make_cells
from telestream.loaders.generate import regions as make_regions
from telestream.loaders.generate.fraud import RULES, SOURCE, Planted, write_fraud
from telestream.loaders.generate.planted import read_truth
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
        first, again = run_task(superuser_url, url, "fraud"), run_task(superuser_url, url, "fraud")
        quality, alarms = _quality(superuser, truth)
        with console.status("loading one more day"):
            _load_day(Path(folder), environment, spec, LAST_DAY + datetime.timedelta(days=1))
        more = run_task(superuser_url, url, "fraud")
    console.print(quality)
    table = Table("what", "measured", title="Runs")
    table.add_row("generate, load and refresh", f"{loaded:.0f} s")
    table.add_row("first run", f"{first.seconds:.1f} s: {first.result}")
    table.add_row("private memory of the backend at most", f"{first.memory_mb:.0f} MB")
    table.add_row("run with nothing new", f"{again.seconds:.1f} s: {again.result}")
    table.add_row("run with one more day", f"{more.seconds:.1f} s: {more.result}")
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
    return list(read_truth(beside, Planted))


def _load_day(folder: Path, environment: dict[str, str], spec: GenerateSpec, day: datetime.date) -> None:
    path = folder / f"{day}.csv"
    generate_cdr(
        GenerateSpec(rows=spec.rows, day=day, cells=spec.cells, subscribers=spec.subscribers, settled=True), path
    )
    timed(["load", "cdr", str(path), "--profile", "canonical"], environment)
    path.unlink()


def _quality(connection: psycopg.Connection[Any], truth: list[Planted]) -> tuple[Table, int]:
    """Return precision and recall of each rule, and how many cases are of numbers that were not planted."""
    # The surrogate of a number is that of a record it made.
    surrogates_of = surrogates(connection, SOURCE, [one.native_key for one in truth])
    kind_of = {surrogates_of[one.native_key]: one.kind for one in truth}
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
