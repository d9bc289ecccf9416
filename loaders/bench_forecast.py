"""Measures the capacity forecast: error and coverage against generated traffic, seconds, memory."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
from rich.table import Table

from telestream.console import console
from telestream.db import forecast, migrate
from telestream.db.copy import copy_table
from telestream.db.forecast_backtest import Score, backtest
from telestream.db.scratch import scratch_database
from telestream.loaders.bench import DATABASE
from telestream.loaders.generate.hourly import Floats, HourlyTraffic
from telestream.stack import lifecycle

# A Monday.
FIRST_DAY = date(2026, 3, 2)
_ORIGINS = 3
_TRIED = 300
_SHOWN = (0, 1, 7, 14)


def run(cells: int, weeks: int, hours: int, seed: int) -> None:
    """Fill Gold, forecast, print; the arguments are the options of `telestream bench forecast`."""
    state = lifecycle.up()
    horizon = forecast.HORIZON
    traffic = HourlyTraffic(cells, FIRST_DAY, 7 * weeks + horizon, seed)
    console.print(
        f"{platform.machine()}, {os.cpu_count()} cores; {cells:,} cells, {weeks} weeks, {hours} hours a day,"
        " database on the same machine"
    )
    with (
        scratch_database(state, DATABASE) as (url, superuser_url),
        psycopg.connect(superuser_url, autocommit=True) as superuser,
    ):
        migrate.upgrade(url)
        with console.status("filling Gold"):
            rows = fill_gold(superuser, traffic, 7 * weeks, hours)
        with console.status("forecasting"):
            began, used = time.monotonic(), _cpu()
            made = forecast.make(url, datetime.now(UTC))
            seconds, used = time.monotonic() - began, _cpu() - used
            superuser.execute("INSERT INTO analytics.stale_busy_week SELECT max(date_trunc('week', day)), -1"
                              " FROM analytics.busy_hour")  # fmt: skip
            began = time.monotonic()
            made = forecast.make(url, datetime.now(UTC))
            nightly = time.monotonic() - began
        truth = traffic.busy_hours()
        stored = _stored(superuser, truth[:, :-horizon], truth[:, -horizon:])
    table = Table("what", "measured", title="Capacity forecast")
    table.add_row("hours of Gold read", f"{rows:,}")
    table.add_row("seconds, start of the processes included", f"{seconds:.0f}")
    table.add_row("the same the next night, one week of Gold read again", f"{nightly:.0f}")
    table.add_row("CPU seconds of the command and its workers", f"{used:.0f}")
    table.add_row("rows written", f"{made.rows:,}")
    table.add_row("peak memory of the command, of a worker", " and ".join(f"{one:.0f} MB" for one in _memory()))
    console.print(table)
    quality = Table(
        "forecast", "days ahead", "days", "MASE", "to seasonal naive", "within 80 %", "within 95 %", title="Quality"
    )
    sample = truth[:: max(1, cells // _TRIED)]
    rolling = Score.empty(horizon)
    for back in range(_ORIGINS):
        for series in sample[:, : sample.shape[1] - back * horizon]:
            rolling += backtest(series, horizon)
    for name, score in (("stored, all cells", stored), (f"rolling, {len(sample)} cells", rolling)):
        for ahead, one in score.by_horizon():
            if ahead in _SHOWN:
                naive = "" if one.to_naive is None else f"{one.to_naive:.3f}"
                quality.add_row(
                    name, str(ahead or "all"), f"{one.days:,}", f"{one.mase:.3f}", naive,
                    f"{one.coverage_80:.3f}", f"{one.coverage_95:.3f}",
                )  # fmt: skip
    console.print(quality)


def fill_gold(connection: psycopg.Connection[Any], traffic: HourlyTraffic, days: int, hours: int = 24) -> int:
    """Put days of traffic into hourly Gold as if it had been refreshed, the busiest hours of each; returns the rows.

    The cells are the keys 1 and up. It is for a database of the Apache edition, where rollups are tables.
    """
    connection.execute(
        "INSERT INTO silver.dim_network_cell (cell_key, cell_id, name) SELECT n, 'cell-' || n, 'Cell ' || n"
        " FROM generate_series(1, %s) AS n",
        (traffic.cells,),
    )
    keys = np.arange(1, traffic.cells + 1, dtype=np.int32)
    written = 0
    for number, level in enumerate(traffic.levels()[:days]):
        erlangs = traffic.hours(number, level)
        # The fullest hours of each cell.
        kept = np.argsort(np.argsort(-erlangs, axis=0), axis=0) < hours
        hour, cell = np.nonzero(kept)
        midnight = datetime.combine(traffic.first_day + timedelta(days=number), datetime.min.time(), UTC)
        starts = np.datetime64(midnight.replace(tzinfo=None), "us") + hour.astype("timedelta64[h]")
        written += _copy_hours(connection, starts, keys[cell], erlangs[hour, cell])
    end = datetime.combine(traffic.first_day + timedelta(days=days), datetime.min.time(), UTC)
    connection.execute("UPDATE rollup.watermark SET materialised_to = %s", (end,))
    connection.execute(
        "INSERT INTO ops.watermark (source, dataset, event_at) VALUES ('bench', 'cdr', %s)",
        (end - timedelta(minutes=1),),
    )
    connection.execute("ANALYZE rollup.cell_traffic_1h_v1")
    # As a refresh would have marked them.
    connection.execute(
        "INSERT INTO analytics.stale_busy_week SELECT DISTINCT date_trunc('week', d)::date, 0"
        " FROM generate_series(%s::timestamp, %s::timestamp, '1 day') AS d ON CONFLICT DO NOTHING",
        (traffic.first_day, traffic.first_day + timedelta(days=days - 1)),
    )
    return written


def _copy_hours(connection: psycopg.Connection[Any], starts: Any, keys: Any, erlangs: Floats) -> int:
    seconds = np.rint(erlangs * 3600).astype(np.int64)
    count = len(seconds)
    zero = np.zeros(count, np.int64)
    down = np.rint(HourlyTraffic.bytes_of(erlangs)).astype(np.int64)
    written = 0
    for record_type, used, moved in (("voice", seconds, zero), ("data", zero, down)):
        table = pa.table(
            {
                "bucket": pa.array(starts).cast(pa.timestamp("us", "UTC")),
                "cell_key": keys,
                "region_key": np.zeros(count, np.int32),
                "record_type": pa.array([record_type] * count, pa.string()),
                "seconds": used,
                "bytes_up": zero,
                "bytes_down": moved,
            }
        )
        with connection.transaction():
            written += copy_table(connection, ("rollup", "cell_traffic_1h_v1"), table)
    return written


def _stored(connection: psycopg.Connection[Any], history: Floats, came: Floats) -> Score:
    """Hold the newest forecast of Erlangs against what came."""
    rows = connection.execute(
        "SELECT f.cell_key, f.horizon, f.expected, f.lower_80, f.upper_80, f.lower_95, f.upper_95"
        " FROM gold.capacity_forecast AS f WHERE f.measure = 'erlangs' ORDER BY 1, 2"
    ).fetchall()
    values = np.array(rows, dtype=np.float64).reshape(*came.shape, 7)[:, :, 2:]
    total = Score.empty(came.shape[1])
    for past, truth, found in zip(history, came, values, strict=True):
        total += Score.of(past, truth, found)
    return total


def _cpu() -> float:
    now = os.times()
    return now.user + now.system + now.children_user + now.children_system


def _memory() -> tuple[float, float]:
    unit = 1 / 1024 if sys.platform != "darwin" else 1 / 1024**2
    return tuple(resource.getrusage(who).ru_maxrss * unit for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))  # type: ignore[return-value]
