"""Measures the anomaly detection on generated events with planted anomalies: precision and recall per kind."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import pyarrow as pa
import typer
from rich.progress import track
from rich.table import Table

from telestream import __version__
from telestream.console import console
from telestream.consumers.generate import AnomalyKind, NetworkSpec, Planted, batches, cell_ids
from telestream.db import migrate
from telestream.db.connection import Connection, connect, translated
from telestream.db.copy import copy_table
from telestream.db.enrol import enrol_network_event
from telestream.db.scratch import scratch_database
from telestream.db.vault import lend_vault_key, vault_key
from telestream.stack import lifecycle

DATABASE = "telestream_bench_anomaly"
# A Monday, so that the judged day has the same weekday weeks before.
FIRST_DAY = datetime(2026, 3, 2, tzinfo=UTC)
_WINDOW = timedelta(minutes=5)
_WINDOWS_A_DAY = 288
_ROWS = 50_000
# Which KPIs are meant to show which kind.
SHOWN_BY = {
    AnomalyKind.OUTAGE: {"events"},
    AnomalyKind.SLEEPING: {"activity"},
    AnomalyKind.CONGESTION: {
        "latency_ms", "throughput_down_kbps", "packet_loss_pct", "drop_rate_pct", "handover_failure_pct",
    },
    AnomalyKind.DRIFT: {"rsrp_dbm", "throughput_down_kbps"},
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """An anomaly that the detection wrote."""

    cell_id: str
    kpi: str
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class Score:
    """How well one kind was found; `right` and `wrong` count anomalies of the KPIs that are meant to show it."""

    planted: int
    found: int
    right: int
    wrong: int
    delays: list[timedelta]

    @property
    def recall(self) -> float:
        """Share of the planted ones that were found."""
        return self.found / self.planted if self.planted else 1.0

    @property
    def precision(self) -> float:
        """Share of the anomalies that were planted."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0


def anomaly(
    cells: Annotated[int, typer.Option(min=24, help="Cells of the network.")] = 30,
    weeks: Annotated[int, typer.Option(min=0, help="Weeks of history before the day that is judged.")] = 2,
    events: Annotated[int, typer.Option(min=1, help="Mean events of a cell in 5 minutes.")] = 50,
    seed: Annotated[int, typer.Option(help="Events and places of the anomalies follow from it.")] = 1,
) -> None:
    """Plant outages, congestions, sleeping cells and drifts in a day after weeks of history, and judge that day.

    The events go through the refine into a database of their own, which is dropped afterwards. An anomaly counts as
    right when it overlaps a planted one of its cell (half an hour of grace at its end), else as wrong.
    """
    spec = network(cells, weeks, events, seed)
    state = lifecycle.up()
    with scratch_database(state, DATABASE) as (url, _):
        migrate.upgrade(url)
        began = time.monotonic()
        _load(url, spec)
        loaded = time.monotonic()
        found = judge(url, FIRST_DAY + timedelta(weeks=weeks))
        judged = time.monotonic()
    ids = cell_ids(spec.cells, spec.seed)
    console.print(_table({kind: score(kind, spec.anomalies, found, ids) for kind in AnomalyKind}))
    console.print(
        f"{spec.events:,} events in {spec.cells} cells, {weeks} weeks of history; "
        f"refined in {loaded - began:.0f} s ({spec.events / (loaded - began):,.0f}/s, one connection), "
        f"{_WINDOWS_A_DAY} windows judged in {judged - loaded:.1f} s"
    )


def network(cells: int, weeks: int, events: int, seed: int) -> NetworkSpec:
    """Return weeks of history and one day with anomalies in its busy hours, at most two a cell and hours apart."""
    day = FIRST_DAY + timedelta(weeks=weeks)
    third = cells // 3
    planted = []
    for n in range(third):
        at = day + timedelta(hours=8, minutes=13 * n)
        planted += [
            Planted(AnomalyKind.OUTAGE, n, at, timedelta(minutes=30)),
            Planted(AnomalyKind.CONGESTION, n, at + timedelta(hours=7), timedelta(minutes=45)),
            Planted(AnomalyKind.SLEEPING, third + n, at, timedelta(minutes=30)),
        ]
    planted += [
        Planted(AnomalyKind.DRIFT, cell, day + timedelta(hours=7), timedelta(hours=12))
        for cell in range(2 * third, cells)
        if _has_rsrp(cell, cells, seed)
    ][:4]
    return NetworkSpec(
        events=cells * events * _WINDOWS_A_DAY * (7 * weeks + 1),
        start=FIRST_DAY,
        duration=timedelta(days=7 * weeks + 1),
        cells=cells,
        seed=seed,
        anomalies=tuple(planted),
    )


def judge(url: str, day: datetime) -> list[Found]:
    """Let the windows of a day close one after the other, and return the anomalies."""
    with translated(url), connect(url, autocommit=True) as connection:
        connection.execute("UPDATE analytics.detection SET evaluated_to = %s", (day,))
        for number in track(range(1, _WINDOWS_A_DAY + 1), "judging", console=console, transient=True):
            connection.execute("SELECT analytics.detect(%s)", (day + number * _WINDOW + timedelta(seconds=5),))
        rows = connection.execute("SELECT cell_id, kpi, started_at, ended_at FROM gold.anomaly").fetchall()
    return [Found(*row) for row in rows]


def score(kind: AnomalyKind, planted: tuple[Planted, ...], found: list[Found], ids: list[str]) -> Score:
    """Hold what was found against what was planted."""
    wanted = [one for one in planted if one.kind == kind]
    hits = [[f for f in found if f.kpi in SHOWN_BY[kind] and _overlaps(one, f, ids)] for one in wanted]
    judged = [f for f in found if f.kpi in SHOWN_BY[kind]]
    right = sum(any(_overlaps(one, f, ids) for one in planted) for f in judged)
    delays = [
        min(f.started_at for f in hit) + _WINDOW - one.start for one, hit in zip(wanted, hits, strict=True) if hit
    ]
    return Score(len(wanted), sum(bool(hit) for hit in hits), right, len(judged) - right, delays)


def _overlaps(planted: Planted, found: Found, ids: list[str]) -> bool:
    end = planted.start + planted.duration + timedelta(minutes=30)
    return (
        found.cell_id == ids[planted.cell]
        and found.started_at < end
        and (found.ended_at is None or found.ended_at > planted.start)
    )


def _has_rsrp(cell: int, cells: int, seed: int) -> bool:
    try:
        spec = NetworkSpec(
            1, FIRST_DAY, timedelta(days=1), cells=cells, seed=seed,
            anomalies=(Planted(AnomalyKind.DRIFT, cell, FIRST_DAY, timedelta(hours=1)),),
        )  # fmt: skip
        next(batches(spec))
    except Exception:
        return False
    return True


def _load(url: str, spec: NetworkSpec) -> None:
    total = -(-spec.events // _ROWS)
    with translated(url), connect(url, autocommit=True) as connection:
        lend_vault_key(connection, vault_key())
        for table in track(batches(spec, _ROWS), "refining", total, console=console, transient=True):
            _refine(connection, table)


def _refine(connection: Connection, table: pa.Table) -> None:
    row = connection.execute("SELECT ops.open_batch('network_event')").fetchone()
    assert row is not None  # a function returns one row
    batch_id = row[0]
    enrol_network_event(connection, batch_id, table)
    with connection.transaction():
        connection.execute(
            "INSERT INTO ops.batch (batch_id, dataset, source_kind, rows_in, code_version)"
            " VALUES (%s, 'network_event', 'kafka', %s, %s)",
            (batch_id, table.num_rows, __version__),
        )
        keys = {
            "batch_id": pa.repeat(pa.scalar(batch_id, pa.int64()), table.num_rows),
            "line": pa.array(range(1, table.num_rows + 1), pa.int64()),
        }
        for name, column in keys.items():
            table = table.append_column(name, column)
        copy_table(connection, ("bronze", "network_event"), table)
        connection.execute("CALL silver.refine_network_event(%s)", (batch_id,))


def _table(scores: dict[AnomalyKind, Score]) -> Table:
    table = Table(
        "kind", "planted", "found", "recall", "anomalies", "of these right", "precision", "median delay",
        title="Anomaly detection",
    )  # fmt: skip
    for kind, one in scores.items():
        delay = statistics.median(d.total_seconds() / 60 for d in one.delays) if one.delays else None
        table.add_row(
            kind.value, str(one.planted), str(one.found), f"{one.recall:.2f}", str(one.right + one.wrong),
            str(one.right), f"{one.precision:.2f}", "" if delay is None else f"{delay:.0f} min",
        )  # fmt: skip
    return table
