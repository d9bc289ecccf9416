"""Measures what is worked out from Gold: fingerprints of cells against planted kinds, in quality and seconds."""

from __future__ import annotations

import datetime
import os
import platform
import tempfile
import time
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
from telestream.loaders.bench_task import run_task
from telestream.loaders.generate import FileFormat, GenerateSpec, generate_cdr
from telestream.loaders.generate import cells as make_cells
from telestream.loaders.generate import regions as make_regions
from telestream.stack import lifecycle

# A Monday.
FIRST_DAY = datetime.date(2026, 3, 2)
_SUBSCRIBERS = 100_000
_ASKED = 500
_NEAREST = 10


def analytics(
    rows: Annotated[int, typer.Option(help="CDRs in all.")] = 10_000_000,
    cells: Annotated[int, typer.Option(min=50, help="Cells of the network.")] = 5_000,
    weeks: Annotated[int, typer.Option(min=1, help="Weeks they are spread over; drift needs two.")] = 2,
    swapped: Annotated[int, typer.Option(min=0, help="Pairs of cells that change places in the last week.")] = 50,
) -> None:
    """Plant kinds of cells in CDRs, load them, work out the fingerprints, and hold them against the truth.

    Purity: how often the most similar cell is of the same kind. Recall: which share of the ten nearest by comparing all
    the index finds. Drift: pairs of cells of different kinds swap their names in the last week. All in a database
    of its own, which is dropped afterwards.
    """
    state = lifecycle.up()
    console.print(
        f"{platform.machine()}, {os.cpu_count()} cores; {rows:,} CDRs of {cells:,} cells in {weeks} weeks,"
        " database on the same machine"
    )
    spec = GenerateSpec(rows=1, day=FIRST_DAY, cells=cells, subscribers=_SUBSCRIBERS, archetypes=True)
    truth = dict(zip(*(make_cells(spec).column(name).to_pylist() for name in ("cell_id", "archetype")), strict=True))
    with (
        scratch_database(state, DATABASE) as (url, superuser_url),
        psycopg.connect(superuser_url, autocommit=True) as superuser,
        tempfile.TemporaryDirectory() as folder,
    ):
        migrate.upgrade(url)
        environment = {**os.environ, "TELESTREAM_DATABASE_URL": url}
        with console.status("loading"):
            loaded = _load(Path(folder), environment, spec, rows, weeks)
        if weeks > 1 and swapped:
            _swap(superuser, truth, swapped)
        first, again = (run_task(superuser_url, url, "cell_fingerprint") for _ in range(2))
        superuser.execute("INSERT INTO analytics.stale_week SELECT max(week), -1 FROM analytics.week")
        one_week = run_task(superuser_url, url, "cell_fingerprint")
        table = Table("what", "measured", title="Cell fingerprints")
        table.add_row("load and refresh", f"{loaded:.0f} s")
        table.add_row("first run", f"{first.seconds:.1f} s, {first.result}")
        table.add_row("private memory of the backend at most", f"{first.memory_mb:.0f} MB")
        table.add_row("run with nothing new", f"{again.seconds:.1f} s")
        table.add_row("run with the newest week read again", f"{one_week.seconds:.1f} s")
        for name, value in _quality(superuser, truth):
            table.add_row(name, value)
        for name, value in _drift(superuser, swapped if weeks > 1 else 0):
            table.add_row(name, value)
    console.print(table)


def _load(folder: Path, environment: dict[str, str], spec: GenerateSpec, rows: int, weeks: int) -> float:
    for name, made in (("regions", make_regions()), ("cells", make_cells(spec))):
        pyarrow.csv.write_csv(made, folder / f"{name}.csv")
        timed(["load", name, str(folder / f"{name}.csv")], environment)
    days = folder / "cdr"
    days.mkdir()
    for number in range(7 * weeks):
        day = FIRST_DAY + datetime.timedelta(days=number)
        generate_cdr(
            GenerateSpec(
                rows=rows // (7 * weeks), day=day, cells=spec.cells, subscribers=spec.subscribers, archetypes=True,
                format=FileFormat.CSV_ZST,
            ),
            days / f"{day}.csv.zst",
        )  # fmt: skip
    seconds, _ = timed(["load", "cdr", str(days), "--profile", "canonical"], environment)
    return seconds


def _swap(connection: psycopg.Connection[Any], truth: dict[str, str], pairs: int) -> None:
    """Let cells of different kinds have each other's traffic in the last week, by their hourly Gold."""
    connection.execute("CREATE TEMP TABLE truth (cell_id text, kind text)")
    with connection.cursor().copy("COPY truth FROM STDIN") as copy:
        for row in truth.items():
            copy.write_row(row)
    connection.execute(
        "CREATE TABLE public.swapped AS"
        " WITH busy AS (SELECT c.cell_key, t.kind,"
        " row_number() OVER (PARTITION BY t.kind ORDER BY sum(r.attempts) DESC) AS n"
        " FROM rollup.cell_traffic_1d AS r INNER JOIN silver.dim_network_cell AS c USING (cell_key)"
        " INNER JOIN truth AS t USING (cell_id) WHERE t.kind IN ('business', 'residential') GROUP BY 1, 2)"
        " SELECT a.cell_key AS one, b.cell_key AS other FROM busy AS a INNER JOIN busy AS b"
        " ON a.n = b.n AND a.kind < b.kind WHERE a.n > 50 AND a.n <= 50 + %s",
        (pairs,),
    )
    connection.execute(
        "UPDATE rollup.cell_traffic_1h_v1 AS t SET cell_key = s.into FROM"
        " (SELECT one AS was, other AS into FROM public.swapped UNION ALL SELECT other, one FROM public.swapped) AS s"
        " WHERE t.cell_key = s.was"
        " AND t.bucket >= (SELECT date_trunc('week', max(bucket)) FROM rollup.cell_traffic_1h_v1)"
    )


def _quality(connection: psycopg.Connection[Any], truth: dict[str, str]) -> list[tuple[str, str]]:
    rows = connection.execute(
        "SELECT c.cell_id, f.records, (SELECT s.cell_id FROM analytics.similar_cells(c.cell_id, 1) AS s)"
        " FROM analytics.cell_fingerprint AS f INNER JOIN silver.dim_network_cell AS c USING (cell_key)"
    ).fetchall()
    right = {kind: [0, 0] for kind in sorted(set(truth.values()))}
    for cell_id, _, nearest in rows:
        right[truth[cell_id]][0] += truth[nearest] == truth[cell_id]
        right[truth[cell_id]][1] += 1
    asked = [cell_id for cell_id, *_ in rows[:: max(1, len(rows) // _ASKED)]]
    found, took = _found(connection, asked, exact=False)
    wanted, took_exact = _found(connection, asked, exact=True)
    hits = sum(len(found[one] & wanted[one]) for one in asked)
    return [
        ("cells with a fingerprint", f"{len(rows):,} of {len(truth):,}; the others have too few records"),
        ("nearest-neighbour purity", f"{sum(a for a, _ in right.values()) / max(1, len(rows)):.3f}"),
        ("of these", ", ".join(f"{kind} {a / max(1, n):.3f} of {n:,}" for kind, (a, n) in right.items())),
        (f"recall@{_NEAREST} of the index", f"{hits / max(1, _NEAREST * len(asked)):.3f} ({len(asked)} cells asked)"),
        ("one question, index and all compared", f"{took * 1000:.1f} ms, {took_exact * 1000:.1f} ms"),
    ]


def _found(connection: psycopg.Connection[Any], asked: list[str], *, exact: bool) -> tuple[dict[str, set[str]], float]:
    # A filter that keeps every cell makes the function compare them all.
    distance = 20_000.0 if exact else None
    began = time.monotonic()
    found = {
        one: {
            cell_id
            for (cell_id,) in connection.execute(
                "SELECT s.cell_id FROM analytics.similar_cells(%s, %s, p_within_km => %s) AS s",
                (one, _NEAREST, distance),
            )
        }
        for one in asked
    }
    return found, (time.monotonic() - began) / max(1, len(asked))


def _drift(connection: psycopg.Connection[Any], pairs: int) -> list[tuple[str, str]]:
    if not pairs:
        return []
    [found, planted, alarms, others] = connection.execute(
        "SELECT count(*) FILTER (WHERE d.is_drifting AND s.cell_key IS NOT NULL), count(s.cell_key),"
        " count(*) FILTER (WHERE d.is_drifting AND s.cell_key IS NULL), count(*) FILTER (WHERE s.cell_key IS NULL)"
        " FROM gold.cell_drift AS d LEFT JOIN"
        " (SELECT one AS cell_key FROM public.swapped UNION ALL SELECT other FROM public.swapped) AS s USING (cell_key)"
        " WHERE d.week = (SELECT max(week) FROM analytics.cell_drift)"
    ).fetchone()  # type: ignore[misc]
    return [("drift: planted found, others flagged", f"{found:,} of {planted:,}, {alarms:,} of {others:,}")]
