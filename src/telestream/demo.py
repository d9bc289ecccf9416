"""The demonstration: from a fresh machine to Gold on sample data, with what happened in tables."""

from __future__ import annotations

import datetime
import json
import time
from pathlib import Path

import psycopg
import pyarrow.csv
import typer
from rich.table import Table

from telestream.console import console
from telestream.db import migrate, rollups
from telestream.db.cli import quarantine_table, score_table
from telestream.db.connection import connect, database_url, translated
from telestream.db.schedule import schedule
from telestream.demo_api import show_api
from telestream.demo_stream import show_stream
from telestream.errors import TerminalError
from telestream.loaders.cli import load_files
from telestream.loaders.customers_cli import load_customer_files
from telestream.loaders.dimensions import CELLS, PLANS, REGIONS, load_dimension
from telestream.loaders.generate import GenerateSpec, cells, customers, generate_cdr, plans, regions
from telestream.settings import settings
from telestream.stack import lifecycle

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
DAY = GenerateSpec(rows=1_000_000, day=datetime.date(2026, 3, 1), seed=1, duplicates=0.01, late=0.01, bad=0.005)

_CUSTOMERS = 2_000

_TOP: tuple[tuple[str, str], ...] = (
    (
        "Busiest cells by voice traffic (gold.network_kpi_hourly)",
        "SELECT bucket, cell_name, region_code, attempts, asr, acd, ner, drop_rate, erlangs"
        " FROM gold.network_kpi_hourly"
        " WHERE bucket >= '2026-03-01 00:00+00' AND bucket < '2026-03-02 00:00+00' AND cell_key <> 0"
        " ORDER BY erlangs DESC, cell_name LIMIT 5",
    ),
    (
        "Revenue by region and plan (gold.revenue_daily)",
        "SELECT day, region_code, plan_code, sum(events) AS events, round(sum(revenue), 2) AS revenue, currency"
        " FROM gold.revenue_daily WHERE bucket >= '2026-03-01 00:00+00' AND bucket < '2026-03-02 00:00+00'"
        " GROUP BY day, region_code, plan_code, currency ORDER BY sum(revenue) DESC, 2, 3 LIMIT 5",
    ),
    (
        "Heaviest data users, as surrogates (gold.fact_customer_usage_daily)",
        "SELECT day, subscriber_id, plan_code, events, round((bytes_up + bytes_down) / 1e9, 2) AS gigabytes, charge"
        " FROM gold.fact_customer_usage_daily"
        " WHERE bucket >= '2026-03-01 00:00+00' AND bucket < '2026-03-02 00:00+00' AND record_type = 'data'"
        " ORDER BY bytes_up + bytes_down DESC, subscriber_id LIMIT 5",
    ),
    (
        "History of the customer with most versions (gold.customer_history), and the CDRs of each (gold.cdr)",
        "SELECT h.valid_from, h.valid_to, h.plan_code, h.region_code, h.segment, h.birth_decade,"
        " (SELECT count(*) FROM gold.cdr AS c WHERE c.customer_key = h.customer_key"
        " AND c.started_at >= '2026-02-27 00:00+00' AND c.started_at < '2026-03-02 00:00+00') AS cdrs"
        " FROM gold.customer_history AS h WHERE h.subscriber_id = ("
        "SELECT v.subscriber_id FROM gold.customer_history AS v"
        " WHERE v.subscriber_id IN (SELECT u.subscriber_id FROM gold.fact_customer_usage_daily AS u"
        " WHERE u.bucket >= '2026-03-01 00:00+00' AND u.bucket < '2026-03-02 00:00+00')"
        " GROUP BY v.subscriber_id ORDER BY count(*) DESC, v.subscriber_id LIMIT 1) ORDER BY h.valid_from",
    ),
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo() -> None:
    """Start the stack, load samples and a generated day of CDRs, stream network events, show Gold, serve the API."""
    started = time.monotonic()
    lifecycle.up(lambda text: console.print(f"[dim]{text}"))
    with console.status("migrating"):
        migrate.upgrade()
    day = _generated_day()
    with console.status("loading cells, regions and plans"):
        _load_dimensions(day.parent)
    samples = sorted(str(path) for path in SAMPLES.iterdir() if path.is_file() and path.suffix not in {".md", ".yaml"})
    load_files([*samples, str(day)])
    load_customer_files([str(_generated_customers(day.parent))])
    _compare_with_truth(day)
    url = database_url()
    console.print(quarantine_table(url))
    console.print(score_table(url))
    with translated(url), connect(url) as connection:
        for title, query in _TOP:
            console.print(_query_table(connection, title, query))
    show_stream()
    rollups.refresh(url)
    differences = rollups.check(url)
    if differences:
        raise TerminalError(
            f"Gold differs from Silver in {len(differences):,} rows", hint="See `telestream gold check`."
        )
    console.print("[green]Gold equals Silver in every closed bucket[/] (telestream gold check)")
    with connect(url, autocommit=True) as connection:
        schedule(connection)
    show_api()
    _next_steps(time.monotonic() - started)


def _generated_day() -> Path:
    """Return the generated file, made once and kept in the cache."""
    folder = settings().cache_dir / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"cdr-{DAY.day}.csv"
    manifest = path.with_name(path.name + ".manifest.json")
    if not (path.exists() and manifest.exists()):
        with console.status(f"generating a day of {DAY.rows:,} CDRs"):
            generate_cdr(DAY, path).save(manifest)
    return path


def _generated_customers(folder: Path) -> Path:
    """Return a file with the changes of some of the day's subscribers."""
    path = folder / f"customers-{DAY.day}.csv"
    if not path.exists():
        pyarrow.csv.write_csv(customers(DAY, _CUSTOMERS), path)
    return path


def _load_dimensions(folder: Path) -> None:
    for name, table, dimension in (
        ("regions", regions(), REGIONS), ("plans", plans(), PLANS), ("cells", cells(DAY), CELLS),
    ):  # fmt: skip
        path = folder / f"{name}.csv"
        pyarrow.csv.write_csv(table, path)
        load_dimension(dimension, path)


def _compare_with_truth(day: Path) -> None:
    """Hold what was loaded against the generator's manifest."""
    truth = json.loads(day.with_name(day.name + ".manifest.json").read_text())
    with translated(), connect() as connection:
        row = connection.execute(
            "SELECT sum(b.rows_in), sum(b.rows_loaded), sum(b.rows_duplicate), sum(b.rows_quarantined)"
            " FROM ops.batch AS b INNER JOIN ops.source_file AS f ON b.file_id = f.file_id WHERE f.uri = %s",
            (str(day),),
        ).fetchone()
    assert row is not None  # an aggregate has one row
    table = Table("", "planted", "found", title="The generated day against its manifest")
    wanted = (truth["rows_in"], truth["good"], truth["duplicates"]["rows"], truth["bad"]["rows"])
    for name, planted, found in zip(("rows in", "loaded", "duplicate", "quarantined"), wanted, row, strict=True):
        table.add_row(name, f"{planted:,}", f"[{'green' if planted == found else 'red'}]{found:,}")
    console.print(table)
    if wanted != tuple(int(value) for value in row):
        raise TerminalError("the counts differ from what was planted", detail=f"{wanted} against {row}.")


def _query_table(connection: psycopg.Connection, title: str, query: str) -> Table:
    cursor = connection.execute(query)
    table = Table(*(column.name for column in cursor.description or ()), title=title)
    for row in cursor.fetchall():
        table.add_row(*(_shown(value) for value in row))
    return table


def _shown(value: object) -> str:
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    return "" if value is None else str(value)


def _next_steps(seconds: float) -> None:
    console.print(f"\ndone in {seconds:.0f} s. Where to go next:")
    table = Table.grid(padding=(0, 2))
    for command, what in (
        (".venv/bin/telestream stack psql", "query it: \\d+ gold.* shows every view with its comments"),
        (
            ".venv/bin/telestream stack psql --role telestream_analyst",
            "the same as an analyst: no person, no device",
        ),
        (
            ".venv/bin/telestream load cdr FILE…",
            "load your own CDRs; telestream profiles test FILE looks first",
        ),
        (".venv/bin/telestream quality quarantine", "what was refused and why"),
        (".venv/bin/telestream consume network-events", "read network events as they come; produce … sends some"),
        (".venv/bin/telestream alerts read --follow", "watch the alerts"),
        (".venv/bin/telestream stack down", "stop the servers and the API; the data stays"),
    ):
        table.add_row(f"  [bold]{command}", what)
    console.print(table)
