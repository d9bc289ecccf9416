"""Forecasts the busy hour of every cell from Gold and writes it as a new version; memory does not grow with the cells.

Days whose Gold has changed are added up first; one statement then reads the history in the order of the cells. What an
Arrow batch of it holds (some hundred cells) is forecast by a process and written in a transaction of its own. Readers
see a version when it is complete.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain, islice
from typing import Any

import adbc_driver_manager
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from psycopg import sql

from telestream.db import forecast_model
from telestream.db.arrow import arrow_batches
from telestream.db.connection import Connection, connect, translated
from telestream.db.copy import copy_table
from telestream.db.forecast_backtest import Score, backtest
from telestream.db.forecast_model import Floats
from telestream.errors import TransientError

OWNER = "telestream_owner"
HORIZON = 14
MEASURES = ("erlangs", "megabytes")
# One run at a time, over its commits.
_LOCK = 7301020
_WORKERS = 2
# Cells that the model is tried on: their newest days are held back and forecast, too.
_TRIED_CELLS = 300
_VALUES = ("expected", "lower_80", "upper_80", "lower_95", "upper_95")

HISTORY = """
SELECT c.cell_key, (b.day - {history_from})::integer AS day, b.erlangs, b.megabytes
FROM silver.dim_network_cell AS c
LEFT JOIN analytics.busy_hour AS b ON c.cell_key = b.cell_key AND b.day >= {history_from} AND b.day < {first_day}
WHERE c.cell_key <> 0
ORDER BY c.cell_key, b.day
"""


@dataclass(frozen=True)
class Made:
    """A version that was made: its number, the first day, cells, rows written, and how the model did when tried."""

    forecast_id: int
    first_day: date
    cells: int
    rows: int
    scores: dict[str, Score]

    def result(self) -> str:
        """Say in a line what came of it."""
        tried = [
            f"{measure}: {score.to_naive:.2f} of the seasonal naive error"
            for measure, score in self.scores.items()
            if score.to_naive is not None
        ]
        return "; ".join([f"{self.cells:,} cells from {self.first_day} on", *tried])


@dataclass(frozen=True)
class _Part:
    """Histories of some cells, by measure one row a cell and one column a day."""

    cell_keys: npt.NDArray[np.int64]
    histories: dict[str, Floats]


@dataclass(frozen=True)
class _Done:
    """What came of a part; `methods` and `values` by measure, a row a cell."""

    cell_keys: npt.NDArray[np.int64]
    methods: dict[str, list[str]]
    values: dict[str, Floats]
    scores: dict[str, Score]


def make(url: str, now: datetime, *, horizon: int = HORIZON, workers: int = _WORKERS) -> Made:
    """Forecast all cells and write the forecast as a new version.

    Args:
        url: of the database; the login must hold the owner's role.
        now: no day after it is taken for history; where CDRs end earlier, no day after these.
        horizon: how many days.
        workers: how many processes forecast; this one does where there is one part or one worker.

    Raises:
        TransientError: another run is under way. TerminalError: there is nothing in Gold (TS047).
    """
    with translated(url), connect(url, role=OWNER, autocommit=True) as connection:
        if not _one(connection, "SELECT pg_try_advisory_lock(%s)", _LOCK)[0]:
            raise TransientError(
                "another run of the capacity forecast is under way", hint="Run the command again when it has ended."
            )
        forecast_id, first_day, history_from = _one(
            connection,
            "SELECT f.forecast_id, f.first_day, f.history_from FROM analytics.open_forecast(%s, %s, %s) AS f",
            now, horizon, forecast_model.model_name(),
        )  # fmt: skip
        _one(connection, "SELECT analytics.take_busy_hours(%s)", history_from)
        [known] = _one(connection, "SELECT count(*) FROM silver.dim_network_cell WHERE cell_key <> 0")
        statement = sql.SQL(HISTORY).format(history_from=sql.Literal(history_from), first_day=sql.Literal(first_day))
        every = max(1, known // _TRIED_CELLS)
        days = (first_day - history_from).days
        scores = {measure: Score.empty(horizon) for measure in MEASURES}
        cells = rows = 0
        with _read(url, statement) as reader:
            for done in _forecast(_parts(reader, days), horizon, every, workers):
                table = _table(done, forecast_id, first_day, horizon)
                with connection.transaction():
                    rows += copy_table(connection, ("analytics", "capacity_forecast"), table)
                cells += len(done.cell_keys)
                for measure in MEASURES:
                    scores[measure] += done.scores[measure]
        with connection.transaction():
            _write_scores(connection, forecast_id, scores)
            connection.execute("SELECT analytics.close_forecast(%s, %s)", (forecast_id, cells))
        # A connection that is closed goes a moment later, and the next run may come at once.
        _one(connection, "SELECT pg_advisory_unlock(%s)", _LOCK)
    return Made(forecast_id, first_day, cells, rows, scores)


@contextmanager
def _read(url: str, statement: sql.Composable) -> Iterator[pa.RecordBatchReader]:
    try:
        with arrow_batches(url, statement, role=OWNER) as reader:
            yield reader
    except (adbc_driver_manager.Error, OSError) as exc:
        raise TransientError(
            "the database broke off while the history was read",
            detail=str(exc).splitlines()[0],
            hint="Run the same command again; readers keep the forecast before.",
        ) from exc


def _parts(reader: pa.RecordBatchReader, days: int) -> Iterator[_Part]:
    """Cut what comes in the order of the cells so that no cell is in two parts."""
    rest: pa.Table | None = None
    for batch in reader:
        table = pa.Table.from_batches([batch])
        if rest is not None:
            table = pa.concat_tables([rest, table])
        keys = table.column("cell_key").to_numpy()
        # The last cell may go on in the next batch.
        cut = int(np.searchsorted(keys, keys[-1])) if len(keys) else 0
        if cut:
            yield _part(table.slice(0, cut), days)
        rest = table.slice(cut)
    if rest is not None and rest.num_rows:
        yield _part(rest, days)


def _part(table: pa.Table, days: int) -> _Part:
    keys, row = np.unique(table.column("cell_key").to_numpy().astype(np.int64), return_inverse=True)
    # A cell without history comes as one row without a day.
    day = table.column("day").fill_null(-1).to_numpy()
    known = day >= 0
    histories = {}
    for measure in MEASURES:
        matrix = np.full((len(keys), days), np.nan)
        matrix[row[known], day[known]] = table.column(measure).to_numpy()[known]
        histories[measure] = matrix
    return _Part(keys, histories)


def _forecast(parts: Iterator[_Part], horizon: int, every: int, workers: int) -> Iterator[_Done]:
    """Forecast parts side by side, never holding more of them than one per worker and one that waits."""
    first = list(islice(parts, 2))
    parts = chain(first, parts)
    if workers == 1 or len(first) < 2:
        for part in parts:
            yield _forecast_part(part, horizon, every)
        return
    with ExitStack() as stack:
        # Not forked: this process has threads of Arrow and a connection.
        pool = stack.enter_context(ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")))
        stack.callback(pool.shutdown, cancel_futures=True)
        waiting: deque[Future[_Done]] = deque()
        for part in parts:
            waiting.append(pool.submit(_forecast_part, part, horizon, every))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _forecast_part(part: _Part, horizon: int, every: int) -> _Done:
    methods: dict[str, list[str]] = {}
    values: dict[str, Floats] = {}
    scores: dict[str, Score] = {}
    for measure, histories in part.histories.items():
        found = [forecast_model.forecast(history, horizon) for history in histories]
        methods[measure] = [one.method for one in found]
        values[measure] = np.stack([one.values for one in found])
        scores[measure] = Score.empty(horizon)
        for history in histories[part.cell_keys % every == 0]:
            scores[measure] += backtest(history, horizon)
    return _Done(part.cell_keys, methods, values, scores)


def _table(done: _Done, forecast_id: int, first_day: date, horizon: int) -> pa.Table:
    """Return the rows of a part as analytics.capacity_forecast has them."""
    days = [first_day + timedelta(days=number) for number in range(horizon)]
    tables = []
    for measure in MEASURES:
        cells = len(done.cell_keys)
        values = done.values[measure].reshape(cells * horizon, len(_VALUES))
        size = cells * horizon
        tables.append(
            pa.table(
                {
                    "forecast_id": np.full(size, forecast_id, np.int64),
                    "cell_key": np.repeat(done.cell_keys.astype(np.int32), horizon),
                    "measure": pa.array([measure] * size, pa.string()),
                    "day": pa.array(days * cells, pa.date32()),
                    "horizon": np.tile(np.arange(1, horizon + 1, dtype=np.int32), cells),
                    "method": pa.array(np.repeat(done.methods[measure], horizon), pa.string()),
                    # nan is null in the database.
                    **{
                        name: pa.array(values[:, number], pa.float64(), from_pandas=True)
                        for number, name in enumerate(_VALUES)
                    },
                }
            )
        )
    return pa.concat_tables(tables)


def _write_scores(connection: Connection, forecast_id: int, scores: dict[str, Score]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO analytics.forecast_backtest (forecast_id, measure, horizon, days, mase, to_naive, coverage_80,"
            " coverage_95) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (forecast_id, measure, ahead, one.days, one.mase, one.to_naive, one.coverage_80, one.coverage_95)
                for measure, score in scores.items()
                for ahead, one in score.by_horizon()
            ],
        )


def _one(connection: Connection, statement: str, *parameters: object) -> tuple[Any, ...]:
    row = connection.execute(statement, parameters).fetchone()
    assert row is not None
    return row
