"""Measures Grafana's dashboards: what each panel, variable and annotation takes in the database."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.table import Table

from telestream import bench_api_data
from telestream.console import console
from telestream.consumers.bench_stream import benchmark_topic
from telestream.db.connection import Connection, connect
from telestream.db.scratch import scratch_database
from telestream.grafana.macros import Range, expand
from telestream.grafana.queries import Board, boards
from telestream.stack import lifecycle

DATABASE = "telestream_bench_grafana"
ROLE = "telestream_analyst"
AIM_MS = 300.0
# They show when data was loaded, the others when things happened.
_OF_LOADS = {"data-quality", "platform"}


def grafana(
    rows: Annotated[int, typer.Option(min=1_000, help="CDRs in the database.")] = 10_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="How often each query is run; the median counts.")] = 5,
    hours: Annotated[
        float | None, typer.Option(min=0.1, help="Hours that dashboards show; else each what it shows at first.")
    ] = None,
) -> None:
    """Time every query of Grafana's dashboards, as the role that Grafana has.

    A scratch database on the embedded server is filled with ten days and dropped afterwards. All regions, technologies
    and cells are chosen, which is the most work. A time is that of the rows in Python, without Grafana and its browser.
    """
    state = lifecycle.up()
    console.print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; database on the same"
        f" machine; {rows:,} CDRs"
    )
    with (
        scratch_database(state, DATABASE) as (url, superuser_url),
        benchmark_topic() as topic,
        benchmark_topic() as alerts_topic,
    ):
        bench_api_data.fill(url, superuser_url, rows, topic, alerts_topic)
        with connect(url, role=ROLE, autocommit=True) as connection:
            times = [measured(connection, board, rounds, hours) for board in boards()]
    for table, _ in times:
        console.print(table)
    taken = [one for _, board_times in times for one in board_times]
    console.print(
        f"{len(taken)} queries: median {statistics.median(taken):.0f} ms, slowest {max(taken):.0f} ms;"
        f" {sum(one > AIM_MS for one in taken)} above the aim of {AIM_MS:.0f} ms"
    )


def measured(connection: Connection, board: Board, rounds: int, hours: float | None) -> tuple[Table, list[float]]:
    """Return the table of a dashboard and its times, ms."""
    shown = board.range_to(_end(connection, board))
    if hours is not None:
        shown = Range(shown.end - timedelta(hours=hours), shown.end)

    def ask(sql: str) -> Sequence[tuple[Any, ...]]:
        return connection.execute(sql).fetchall()

    values = board.values(shown, ask)
    grains = [str(value) for name, value in values.items() if name.endswith("grain")]
    title = f"{board.model['title']}: {shown.end - shown.start}{''.join(f', {grain}' for grain in grains)}"
    table = Table("what", "rows", "ms", title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    medians = []
    for query in board.sql():
        sql = expand(query.text, shown, values)
        taken = []
        for _ in range(rounds):
            began = time.perf_counter()
            found = ask(sql)
            taken.append(1000 * (time.perf_counter() - began))
        medians.append(statistics.median(taken))
        table.add_row(query.owner, f"{len(found):,}", f"{medians[-1]:.1f}")
    return table, medians


def _end(connection: Connection, board: Board) -> datetime:
    """Return what is "now" for a dashboard: the real now, or when the data that all have ends."""
    if board.name in _OF_LOADS:
        return datetime.now(UTC)
    row = connection.execute(
        "SELECT min(f.newest_event_at) FROM ops.freshness AS f WHERE f.dataset IN ('cdr', 'network_event')"
    ).fetchone()
    return row[0] if row and row[0] else datetime.now(UTC)
