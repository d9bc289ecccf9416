"""Plants customers who leave: CDRs of a population over weeks, in a file of their own, with the truth beside it.

Most stay. Of those who leave most fade: for some weeks they use the network less and less, then no more. Some stop from
one day to the next, which nothing foretells. Some of those who stay are away for two weeks, which looks like leaving.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from telestream.errors import UsageError
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


def plant_churn(spec: GenerateSpec, weeks: int) -> tuple[pa.Table, list[Planted]]:
    """Return the CDRs of the spec's many subscribers in the order of their start, and the truth.

    Args:
        spec: seed, cells and number of subscribers; its day is the last.
        weeks: how many weeks the CDRs are spread over.

    Raises:
        UsageError: there are too few weeks to learn from.
    """
    if weeks < LEAST_WEEKS:
        raise UsageError(
            f"planting churn takes {LEAST_WEEKS} weeks at least, not {weeks}",
            detail="A model is trained on what was known before an outcome, and judged on a later one.",
        )
    random = np.random.default_rng([spec.seed, spec.day.toordinal()])
    days = 7 * weeks
    kinds = random.choice(len(KINDS), spec.subscribers, p=_SHARES)
    counts = random.poisson(_rates(random, kinds, days))
    who, day = np.nonzero(counts)
    times = counts[who, day]
    who, day = np.repeat(who, times), np.repeat(day, times)
    second = day * 86_400 + np.clip(random.normal(15 * 3_600, 4 * 3_600, len(day)), 0, 86_000).astype(np.int64)
    order = np.lexsort((who, second))
    who, day, second = who[order], day[order], second[order]
    midnight = datetime(spec.day.year, spec.day.month, spec.day.day, tzinfo=UTC) - timedelta(days=days - 1)
    rows = _rows(random, spec, who, np.int64(midnight.timestamp()) + second)
    first, last = np.full(spec.subscribers, -1), np.full(spec.subscribers, -1)
    first[who[::-1]] = np.arange(len(who))[::-1]
    last[who] = day
    truth = [
        Planted(KINDS[kinds[n]], _key(int(first[n])), str((midnight + timedelta(days=int(last[n]))).date()))
        for n in range(spec.subscribers)
        if first[n] >= 0
    ]
    return rows, truth


def _key(row: int) -> str:
    return f"c{row:09d}"


def _rows(
    random: np.random.Generator, spec: GenerateSpec, who: npt.NDArray[np.int64], second: npt.NDArray[np.int64]
) -> pa.Table:
    """Return records of these customers at these times; each prefers a kind, and stays at a cell."""
    total = len(who)
    taste = random.dirichlet((4.0, 2.0, 3.0), spec.subscribers).cumsum(axis=1)
    kind = (random.random(total)[:, None] > taste[who]).sum(axis=1).clip(0, 2)
    length = np.where(kind == 1, 0, random.lognormal(4.5, 0.8, total).clip(1, 7_200).astype(np.int64))
    cells = make_cells(spec.cells, spec.seed).cell_id
    home = cells[random.integers(0, len(cells), spec.subscribers)]
    called = random.integers(0, 10**6, total)
    volume = random.lognormal(14, 1.5, total).clip(1_000, 10**10).astype(np.int64)
    charge = np.array(_PRICES)[kind] * (1 + length / 120)
    at = pa.array(second, pa.int64()).cast(pa.timestamp("s", tz="UTC"))
    end = pa.array(second + length, pa.int64()).cast(pa.timestamp("s", tz="UTC"))
    is_data = kind == 2
    blank = pa.nulls(total, pa.string())

    def text(values: npt.NDArray[Any], unless: npt.NDArray[np.bool_] | None = None) -> pa.Array:
        return pa.array(values, mask=unless)

    return pa.table({
        "source_system": pa.repeat(SOURCE, total),
        "native_key": pa.array([_key(row) for row in range(total)]),
        "leg": pa.repeat(0, total),
        "record_type": text(np.array(["voice", "sms", "data"])[kind]),
        "direction": text(np.full(total, "mo"), is_data),
        "caller": pa.array([f"+4475{number:08d}" for number in who.tolist()]),
        "called": text(np.array([f"+4420{number:08d}" for number in called.tolist()]), is_data),
        "imsi": blank, "imei": blank,
        "started_at": at, "answered_at": text(second, kind != 0).cast(pa.timestamp("s", tz="UTC")), "ended_at": end,
        "duration_s": text(length), "billed_s": text(length, kind != 0),
        "bytes_up": text(volume // 10, ~is_data), "bytes_down": text(volume, ~is_data),
        "cell_id": pa.array([cell.decode() for cell in home[who].tolist()]),
        "region_code": blank, "technology": pa.repeat("4g", total), "plan_code": pa.repeat("ECO5", total),
        "charge": text(np.round(charge, 4)), "currency": pa.repeat("GBP", total),
        "disposition": text(np.full(total, "answered"), kind != 0), "cause": blank,
        "is_roaming": pa.repeat(False, total), "apn": text(np.full(total, "internet"), ~is_data),
    })  # fmt: skip


def write_churn(spec: GenerateSpec, weeks: int, out: Path) -> tuple[int, Path]:
    """Write the planted CDRs as canonical CSV, and the truth beside it; returns the rows and the file of the truth.

    Raises:
        UsageError: there are too few weeks, or the file cannot be written.
    """
    table, truth = plant_churn(spec, weeks)
    beside = out.with_name(f"{out.name}.truth.json")
    try:
        pyarrow.csv.write_csv(table, out, pyarrow.csv.WriteOptions(quoting_style="needed"))
        beside.write_text(json.dumps([asdict(one) for one in truth], indent=1) + "\n", encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"cannot write {out}", hint="Name a file in a folder you can write to.") from exc
    return table.num_rows, beside


def read_truth(path: Path) -> Iterator[Planted]:
    """Yield what a file of the truth says."""
    for one in json.loads(path.read_text(encoding="utf-8")):
        yield Planted(**one)
