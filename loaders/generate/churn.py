"""Plants customers who leave: CDRs of a population over weeks, in a file of their own, with the truth beside it.

Most stay. Of those who leave most fade: for some weeks they use the network less and less, then no more. Some stop from
one day to the next, which nothing foretells. Some of those who stay are away for two weeks, which looks like leaving.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from telestream.errors import UsageError
from telestream.loaders.generate.planted import write_planted
from telestream.loaders.generate.population import make_cells
from telestream.loaders.generate.spec import GenerateSpec

SOURCE = "churn-plant"
"""Source system of the planted CDRs."""
KINDS = ("stays", "fades", "stops", "pauses")
_SHARES = (0.62, 0.24, 0.04, 0.10)
LEAST_WEEKS = 16
"""Six weeks to see, four to know the outcome, and the same again to judge a model later."""
_PAUSE_DAYS = 14
# Voice, messages and data of a plan's price, in pounds.
_PRICES = (0.08, 0.03, 0.05)


@dataclass(frozen=True)
class Planted:
    """A customer that was planted."""

    kind: str
    """One of KINDS."""
    native_key: str
    """Of the first record: tells the surrogate that the database gave it."""
    last_day: str
    """Day of the last record."""


def _rates(random: np.random.Generator, kinds: npt.NDArray[np.int64], days: int) -> npt.NDArray[np.float64]:
    """Return the expected records of each customer on each day."""
    customers = len(kinds)
    usual = random.lognormal(0.3, 0.6, customers).clip(0.3, 12)
    weekday = random.dirichlet(np.full(7, 8.0), customers) * 7
    day = np.arange(days)
    rates = usual[:, None] * weekday[:, day % 7]
    # The end of those who leave, from the seventh week on: also after the last day, when they only fade yet.
    end = random.integers(42, days + 21, customers)[:, None]
    fading = random.integers(14, 42, customers)[:, None]
    left = np.clip((end - day) / fading, 0, 1)
    rates = np.where((kinds == 1)[:, None], rates * left**1.5, rates)
    rates = np.where((kinds == 2)[:, None] & (day >= end), 0, rates)
    away = (day >= end - _PAUSE_DAYS) & (day < end)
    result: npt.NDArray[np.float64] = np.where((kinds == 3)[:, None] & away, 0, rates)
    return result


@dataclass(frozen=True)
class Churners:
    """Customers of whom some leave, and their records over some weeks; the same for equal arguments.

    Args:
        spec: seed, cells and number of subscribers; its day is the last.
        weeks: how many weeks the records are spread over.

    Raises:
        UsageError: there are too few weeks to learn from.
    """

    spec: GenerateSpec
    weeks: int

    def __post_init__(self) -> None:
        if self.weeks < LEAST_WEEKS:
            raise UsageError(
                f"planting churn takes {LEAST_WEEKS} weeks at least, not {self.weeks}",
                detail="A model is trained on what was known before an outcome, and judged on a later one.",
            )

    def plant(self, truth: list[Planted]) -> Iterator[pa.Table]:
        """Yield the records of a week at a time, in the order of their start; the truth is added after the last."""
        spec, days = self.spec, 7 * self.weeks
        random = np.random.default_rng([spec.seed, spec.day.toordinal()])
        kinds = random.choice(len(KINDS), spec.subscribers, p=_SHARES)
        rates = _rates(random, kinds, days)
        habits = _Habits.draw(random, spec)
        midnight = datetime(spec.day.year, spec.day.month, spec.day.day, tzinfo=UTC) - timedelta(days=days - 1)
        first, last = np.full(spec.subscribers, -1), np.full(spec.subscribers, -1)
        rows = 0
        for day in range(0, days, 7):
            who, on = np.nonzero(counts := random.poisson(rates[:, day : day + 7]))
            who, on = np.repeat(who, counts[who, on]), np.repeat(on + day, counts[who, on])
            time = np.clip(random.normal(15 * 3_600, 4 * 3_600, len(on)), 0, 86_000).astype(np.int64)
            order = np.lexsort((who, on * 86_400 + time))
            who, on, time = who[order], on[order], time[order]
            last[who] = on
            begun, at = np.unique(who, return_index=True)
            new = first[begun] < 0
            first[begun[new]] = rows + at[new]
            yield _records(random, habits, who, int(midnight.timestamp()) + on * 86_400 + time, rows)
            rows += len(who)
        truth.extend(
            Planted(KINDS[kinds[n]], key, str((midnight + timedelta(days=int(last[n]))).date()))
            for n, key in zip(np.flatnonzero(first >= 0).tolist(), _keys(first[first >= 0]).to_pylist(), strict=True)
        )


@dataclass(frozen=True)
class _Habits:
    """What stays the same of each customer: which kinds it prefers, cumulated, and the cell it is at."""

    taste: npt.NDArray[np.float64]
    cells: pa.Array

    @classmethod
    def draw(cls, random: np.random.Generator, spec: GenerateSpec) -> _Habits:
        taste = random.dirichlet((4.0, 2.0, 3.0), spec.subscribers).cumsum(axis=1)
        cells = pa.array(make_cells(spec.cells, spec.seed).cell_id.tolist(), pa.binary()).cast(pa.string())
        return cls(taste, cells.take(pa.array(random.integers(0, len(cells), spec.subscribers))))


def _numbered(prefix: str, numbers: npt.NDArray[np.int64], width: int) -> pa.Array:
    """Return texts of a prefix and a number with leading zeros."""
    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), width, "0")
    return pc.binary_join_element_wise(prefix, digits, "")


def _keys(rows: npt.NDArray[np.int64]) -> pa.Array:
    return _numbered("c", rows, 9)


def _records(
    random: np.random.Generator,
    habits: _Habits,
    who: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
    first: int,
) -> pa.Table:
    """Return records of these customers at these times (Unix); `first` is the number of the first one."""
    total = len(who)
    kind = (random.random(total)[:, None] > habits.taste[who]).sum(axis=1).clip(0, 2)
    length = np.where(kind == 1, 0, random.lognormal(4.5, 0.8, total).clip(1, 7_200).astype(np.int64))
    volume = random.lognormal(14, 1.5, total).clip(1_000, 10**10).astype(np.int64)
    charge = np.array(_PRICES)[kind] * (1 + length / 120)
    is_data = kind == 2
    called = _numbered("+4420", random.integers(0, 10**6, total), 8)
    blank = pa.nulls(total, pa.string())

    def some(values: Any, unless: npt.NDArray[np.bool_]) -> pa.Array:
        """Return values with null where there is none."""
        column = values if isinstance(values, pa.Array) else pa.array(values)
        return pc.if_else(pa.array(unless), pa.scalar(None, column.type), column)

    def at(seconds: npt.NDArray[np.int64]) -> pa.Array:
        return pa.array(seconds).cast(pa.timestamp("s", tz="UTC"))

    def same(value: Any) -> pa.Array:
        return pa.repeat(value, total)

    return pa.table({
        "source_system": same(SOURCE), "native_key": _keys(np.arange(first, first + total)), "leg": same(0),
        "record_type": pa.array(("voice", "sms", "data")).take(pa.array(kind)),
        "direction": some(same("mo"), is_data), "caller": _numbered("+4475", who, 8), "called": some(called, is_data),
        "imsi": blank, "imei": blank,
        "started_at": at(second), "answered_at": some(at(second), kind != 0), "ended_at": at(second + length),
        "duration_s": length, "billed_s": some(length, kind != 0),
        "bytes_up": some(volume // 10, ~is_data), "bytes_down": some(volume, ~is_data),
        "cell_id": habits.cells.take(pa.array(who)), "region_code": blank, "technology": same("4g"),
        "plan_code": same("ECO5"), "charge": np.round(charge, 4), "currency": same("GBP"),
        "disposition": some(same("answered"), kind != 0), "cause": blank, "is_roaming": same(False),
        "apn": some(same("internet"), ~is_data),
    })  # fmt: skip


def write_churn(spec: GenerateSpec, weeks: int, out: Path) -> tuple[int, Path]:
    """Write the planted CDRs as canonical CSV, and the truth beside it; returns the rows and the file of the truth.

    Raises:
        UsageError: there are too few weeks, or the file cannot be written.
    """
    truth: list[Planted] = []
    return write_planted(Churners(spec, weeks).plant(truth), truth, out)
