"""The capacity forecast from Gold to its views: versions, days of the operator, cells without history, risk, runs."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest

from telestream.db import analytics, forecast
from telestream.db.forecast_model import CONSTANT, MODEL, NOT_ENOUGH_HISTORY
from telestream.errors import TerminalError, TransientError
from telestream.loaders.bench_forecast import FIRST_DAY, fill_gold
from telestream.loaders.dimensions import CELLS, load_dimension
from telestream.loaders.generate.hourly import HourlyTraffic

UTC = datetime.UTC
DAY = datetime.timedelta(days=1)
CELLS_MADE, DAYS = 12, 84
END = FIRST_DAY + DAYS * DAY
LATE = datetime.datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture
def gold(connection: psycopg.Connection) -> psycopg.Connection:
    """Twelve weeks of twelve cells, and a cell nothing is known of."""
    connection.execute("SET ROLE telestream_owner")
    connection.execute("SET timezone = 'UTC'")
    connection.execute("UPDATE ops.setting SET value = '12' WHERE name = 'forecast_weeks'")
    fill_gold(connection, HourlyTraffic(CELLS_MADE, FIRST_DAY, DAYS), DAYS, hours=2)
    connection.execute("INSERT INTO silver.dim_network_cell (cell_key, cell_id, name) VALUES (99, 'new', 'New')")
    return connection


def put(connection: psycopg.Connection, cell_key: int, hours: list[tuple[datetime.datetime, float]]) -> None:
    """Put hours of a cell into Gold, Erlangs."""
    connection.execute(
        "INSERT INTO silver.dim_network_cell (cell_key, cell_id, name) VALUES (%s, %s, 'C') ON CONFLICT DO NOTHING",
        (cell_key, f"c{cell_key}"),
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO rollup.cell_traffic_1h_v1 (bucket, cell_key, region_key, record_type, seconds, bytes_up, bytes_down)"
            " VALUES (%s, %s, 0, 'voice', %s, 0, 0)",
            [(at, cell_key, round(3600 * erlangs)) for at, erlangs in hours],
        )
    # As a refresh would have marked them; a day more, for zones east of Greenwich.
    connection.execute(
        "INSERT INTO analytics.stale_busy_week SELECT DISTINCT date_trunc('week', at + n * interval '12 hours')::date, 0"
        " FROM unnest(%s::timestamptz[]) AS u (at) CROSS JOIN generate_series(-1, 1) AS n ON CONFLICT DO NOTHING",
        ([at for at, _ in hours],),
    )
    newest = max(at for at, _ in hours)
    connection.execute("UPDATE rollup.watermark SET materialised_to = greatest(materialised_to, %s)", (newest + DAY,))
    connection.execute(
        "INSERT INTO ops.watermark (source, dataset, event_at) VALUES ('t', 'cdr', %(at)s)"
        " ON CONFLICT (dataset, source) DO UPDATE SET event_at = greatest(watermark.event_at, %(at)s)",
        {"at": newest + datetime.timedelta(minutes=59)},
    )


def of_cell(connection: psycopg.Connection, cell_key: int, measure: str = "erlangs") -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT day, method, expected, lower_95, upper_95 FROM gold.capacity_forecast"
        " WHERE cell_key = %s AND measure = %s ORDER BY day",
        (cell_key, measure),
    ).fetchall()


def test_every_cell_has_fourteen_days_of_both_measures(gold: psycopg.Connection, database: str) -> None:
    made = forecast.make(database, LATE)
    assert (made.first_day, made.cells, made.rows) == (END, CELLS_MADE + 1, (CELLS_MADE + 1) * 28)
    methods = dict(
        gold.execute("SELECT method, count(*) FROM gold.capacity_forecast GROUP BY 1").fetchall()  # type: ignore[arg-type]
    )
    assert methods == {MODEL: CELLS_MADE * 28, NOT_ENOUGH_HISTORY: 28}
    assert [day for day, *_ in of_cell(gold, 1)] == [END + n * DAY for n in range(14)]
    assert all(row[1:] == (NOT_ENOUGH_HISTORY, None, None, None) for row in of_cell(gold, 99))
    # Bytes go with voice here.
    voice, data = of_cell(gold, 1), of_cell(gold, 1, "megabytes")
    assert [row[2] for row in data] == pytest.approx([row[2] * 900 for row in voice], rel=0.02)
    # Tried on the newest days of its history, and better than last week said again.
    quality = {
        (measure, horizon): (days, to_naive)
        for measure, horizon, days, to_naive in gold.execute(
            "SELECT measure, horizon, days, to_naive FROM gold.forecast_quality"
        )
    }
    assert len(quality) == 2 * 15
    assert quality["erlangs", 0][0] == CELLS_MADE * 14
    assert quality["erlangs", 0][1] < 1
    assert "of the seasonal naive error" in made.result()


def test_the_model_is_better_than_last_week_and_its_intervals_hold() -> None:
    from telestream.db.forecast_backtest import Score, backtest

    score = Score.empty(14)
    for series in HourlyTraffic(40, FIRST_DAY, 126).busy_hours():
        score += backtest(series, 14)
    total = dict(score.by_horizon())[0]
    assert total.days == 40 * 14
    assert total.mase < 1
    assert total.to_naive is not None
    assert total.to_naive < 0.9
    assert 0.7 < total.coverage_80 < 0.9
    assert 0.88 < total.coverage_95 < 0.99


def test_versions_are_kept_and_readers_see_the_newest_whole_one(connection: psycopg.Connection, database: str) -> None:
    connection.execute("SET ROLE telestream_owner")
    noon = datetime.datetime(2026, 3, 2, 12, tzinfo=UTC)
    put(connection, 1, [(noon + n * DAY, 4.0) for n in range(30)])
    old = forecast.make(database, LATE).forecast_id
    connection.execute("UPDATE analytics.forecast SET made_at = now() - interval '31 days'")
    first = forecast.make(database, LATE).forecast_id
    assert connection.execute("SELECT count(*) FROM analytics.forecast WHERE forecast_id = %s", (old,)).fetchone() == (
        0,
    )
    second = forecast.make(database, LATE).forecast_id
    # A run that died.
    connection.execute("SELECT * FROM analytics.open_forecast(%s, 14, 'm')", (LATE,))
    assert connection.execute("SELECT DISTINCT forecast_id FROM gold.capacity_forecast").fetchall() == [(second,)]
    third = forecast.make(database, LATE).forecast_id
    left = connection.execute("SELECT DISTINCT forecast_id FROM analytics.capacity_forecast ORDER BY 1").fetchall()
    assert left == [(first,), (second,), (third,)]
    assert connection.execute("SELECT count(*) FROM analytics.forecast").fetchone() == (3,)


def test_the_day_under_way_is_no_history(gold: psycopg.Connection, database: str) -> None:
    # By the clock: ten days of Gold lie after it.
    noon = datetime.datetime.combine(END - 10 * DAY, datetime.time(12), UTC)
    assert forecast.make(database, noon).first_day == END - 10 * DAY
    # By the stream: CDRs have come to noon, and the few so far are not the busy hour of the day.
    at = datetime.datetime.combine(END, datetime.time(11), UTC)
    put(gold, 1, [(at, 0.001)])
    assert forecast.make(database, LATE).first_day == END
    assert all(row[2] > 0.01 for row in of_cell(gold, 1))


def test_days_are_those_of_the_operator_also_where_the_clock_changes(
    connection: psycopg.Connection, database: str
) -> None:
    connection.execute("SET ROLE telestream_owner")
    connection.execute("UPDATE ops.setting SET value = 'Europe/London' WHERE name = 'time_zone'")
    connection.execute("SET timezone = 'Europe/London'")
    # The first hour of each local day, on both sides of 29 March: in UTC it is in the day before from then on.
    first = datetime.date(2026, 2, 2)
    hours = [
        (at, float(10 + 5 * day.weekday()))
        for n in range(112)
        for day in [first + n * DAY]
        for [at] in [
            connection.execute("SELECT %s::date::timestamp AT TIME ZONE 'Europe/London'", (day,)).fetchone() or [None]
        ]
    ]
    put(connection, 1, hours)  # type: ignore[arg-type]
    # The newest hour is of the last day, which is not over.
    assert forecast.make(database, LATE).first_day == first + 111 * DAY
    for day, method, expected, *_ in of_cell(connection, 1):
        assert method == MODEL
        assert expected == pytest.approx(10 + 5 * day.weekday(), rel=0.02)


def test_odd_histories_have_defined_results(connection: psycopg.Connection, database: str) -> None:
    connection.execute("SET ROLE telestream_owner")
    noon = datetime.datetime(2026, 3, 2, 12, tzinfo=UTC)
    put(connection, 1, [(noon + n * DAY, 4.0) for n in range(60)])
    put(connection, 2, [(noon + n * DAY, 4.0 + n % 3) for n in range(40)])
    put(connection, 3, [(noon + n * DAY, 4.0 + n % 3) for n in range(50, 60)])
    connection.execute("UPDATE ops.watermark SET event_at = %s", (noon + 59 * DAY + datetime.timedelta(hours=11.9),))
    forecast.make(database, LATE)
    assert {row[1:] for row in of_cell(connection, 1)} == {(CONSTANT, 4.0, 4.0, 4.0)}
    # Silent for three weeks; there for ten days; of data there is none.
    assert {row[1] for row in of_cell(connection, 2)} == {NOT_ENOUGH_HISTORY}
    assert {row[1] for row in of_cell(connection, 3)} == {NOT_ENOUGH_HISTORY}
    assert {row[1] for row in of_cell(connection, 1, "megabytes")} == {NOT_ENOUGH_HISTORY}


def test_cells_at_risk(gold: psycopg.Connection, database: str, tmp_path: Path) -> None:
    forecast.make(database, LATE)
    expected = {key: [row[2] for row in of_cell(gold, key)] for key in (1, 2, 3)}
    upper = [row[4] for row in of_cell(gold, 2)]
    between = (max(expected[2]) + max(upper)) / 2
    path = tmp_path / "cells.csv"
    path.write_text(f"cell_id,capacity_erlangs\ncell-1,{min(expected[1]) / 2}\ncell-2,{between}\ncell-3,{1e9}\nnew,1\n")
    assert load_dimension(CELLS, path, database) == (4, 4)
    # A file without the column leaves it as it is.
    path.write_text("cell_id,technology\ncell-1,4g\n")
    load_dimension(CELLS, path, database)
    rows = gold.execute(
        "SELECT cell_id, day, probability_pct, is_expected, first_day FROM gold.capacity_risk ORDER BY cell_id, day"
    ).fetchall()
    sure = [row for row in rows if row[0] == "cell-1"]
    assert len(sure) == 14
    assert all(row[2] > 50 and row[3] and row[4] == END for row in sure)
    maybe = [row for row in rows if row[0] == "cell-2"]
    assert [row[1] for row in maybe] == [END + n * DAY for n, one in enumerate(upper) if one > between]
    assert all(2.5 <= row[2] < 50 and not row[3] and row[4] == maybe[0][1] for row in maybe)
    assert {row[0] for row in rows} == {"cell-1", "cell-2"}


def test_one_run_at_a_time(gold: psycopg.Connection, database: str) -> None:
    gold.execute("SELECT pg_advisory_lock(7301020)")
    with pytest.raises(TransientError, match="another run"):
        forecast.make(database, LATE)


def test_the_ledger_tells_of_runs_and_of_none(connection: psycopg.Connection, database: str) -> None:
    def task() -> analytics.Task:
        return next(one for one in analytics.tasks(connection) if one.name == "capacity_forecast")

    assert (task().last, task().is_overdue) == (None, True)
    with pytest.raises(TerminalError, match="nothing in Gold"):
        analytics.run(database, "capacity_forecast")
    last = task().last
    assert last is not None
    assert (last.status, last.rows, task().is_overdue) == ("failed", None, True)
    assert "nothing in Gold" in str(last.result)
    connection.execute("SET ROLE telestream_owner")
    noon = datetime.datetime(2026, 3, 2, 12, tzinfo=UTC)
    put(connection, 1, [(noon + n * DAY, 4.0) for n in range(30)])
    # With all the others.
    analytics.run(database)
    last = task().last
    assert last is not None
    assert (last.status, last.rows, task().is_overdue) == ("done", 28, False)
    # The database itself leaves it out, and says what does it.
    connection.execute("CALL analytics.run_task()")
    assert task().last == last
    with pytest.raises(psycopg.Error, match="does not run in the database") as caught:
        connection.execute("CALL analytics.run_task('capacity_forecast')")
    assert caught.value.sqlstate == "TS045"


def test_no_cell_is_cut_in_two_and_two_processes_say_the_same_as_one() -> None:
    rows = [(key, day, 1.0 + key + day % 7, None) for key in range(1, 8) for day in range(30)] + [(9, None, None, None)]
    table = pa.table(
        {
            "cell_key": pa.array([row[0] for row in rows], pa.int32()),
            "day": pa.array([row[1] for row in rows], pa.int32()),
            "erlangs": pa.array([row[2] for row in rows], pa.float64()),
            "megabytes": pa.array([row[3] for row in rows], pa.float64()),
        }
    )
    for size in (1, 30, 37, 1000):
        reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=size))
        parts = list(forecast._parts(reader, 30))
        assert np.concatenate([part.cell_keys for part in parts]).tolist() == [1, 2, 3, 4, 5, 6, 7, 9], size
        histories = np.concatenate([part.histories["erlangs"] for part in parts])
        assert histories[:7].tolist() == [[1.0 + key + day % 7 for day in range(30)] for key in range(1, 8)], size
        assert np.isnan(histories[7]).all(), size
        if size == 37:
            one, two = ([*forecast._forecast(iter(parts), 14, 1, workers)] for workers in (1, 2))
            assert len(one) == len(two) > 2
            for left, right in zip(one, two, strict=True):
                assert left.methods == right.methods
                np.testing.assert_array_equal(left.values["erlangs"], right.values["erlangs"])
