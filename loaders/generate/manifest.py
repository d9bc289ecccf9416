"""Keeps the truth about a generated file: what was planted where, and what Gold must show after loading."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from telestream.loaders.generate import defects
from telestream.loaders.generate.block import ABSENT, Block
from telestream.loaders.generate.defects import BAD_KINDS, BadKind
from telestream.loaders.generate.spec import GENERATOR_VERSION, GenerateSpec
from telestream.loaders.generate.timeline import RECORD_TYPES

ALL_LINES_UP_TO = 10_000
"""With more bad rows than this in a file, only the first of each kind are listed."""
LISTED_LINES = 1_000


@dataclass(frozen=True)
class Totals:
    """Sums over good rows."""

    count: int = 0
    billed_s: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    charge_micro: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.count + other.count,
            self.billed_s + other.billed_s,
            self.bytes_up + other.bytes_up,
            self.bytes_down + other.bytes_down,
            self.charge_micro + other.charge_micro,
        )


@dataclass
class BadRows:
    """The rows that are bad in one way."""

    rows: int = 0
    lines: list[int] = field(default_factory=list)
    """1-based: physical lines of a text file (a header is line 1), record numbers of Parquet and Avro."""


@dataclass
class Manifest:
    """The truth about one file: rows_in = good + duplicates + bad; the late rows are good ones."""

    spec: GenerateSpec
    rows_in: int = 0
    good: int = 0
    """Rows that a loader must load."""
    duplicates_near: int = 0
    """Copies of the row before, or the one before that where a defect stands between."""
    duplicates_far: int = 0
    """Copies of a row far back."""
    late_same_day: int = 0
    late_before_day: int = 0
    bad: dict[BadKind, BadRows] = field(default_factory=dict)
    by_record_type: dict[str, Totals] = field(default_factory=lambda: dict.fromkeys(RECORD_TYPES, Totals()))
    first_started_at: datetime | None = None
    last_started_at: datetime | None = None

    @property
    def duplicates(self) -> int:
        """Rows that repeat an earlier one."""
        return self.duplicates_near + self.duplicates_far

    @property
    def bad_rows(self) -> int:
        """Rows that a loader must refuse."""
        return sum(kind.rows for kind in self.bad.values())

    @property
    def totals(self) -> Totals:
        """Sums over all good rows."""
        return sum(self.by_record_type.values(), start=Totals())

    def as_dict(self) -> dict[str, object]:
        """Return the manifest as it is written to a file."""
        spec = asdict(self.spec)
        spec["day"] = self.spec.day.isoformat()
        return {
            "generator_version": GENERATOR_VERSION,
            "spec": spec,
            "rows_in": self.rows_in,
            "good": self.good,
            "duplicates": {
                "rows": self.duplicates,
                "near": self.duplicates_near,
                "far": self.duplicates_far,
            },
            "late": {
                "rows": self.late_same_day + self.late_before_day,
                "same_day": self.late_same_day,
                "before_day": self.late_before_day,
            },
            "bad": {
                "rows": self.bad_rows,
                "kinds": {kind.value: found.rows for kind, found in self.bad.items()},
            },
            "gold": {
                "all": asdict(self.totals),
                "by_record_type": {kind: asdict(totals) for kind, totals in self.by_record_type.items()},
            },
            "first_started_at": self.first_started_at and self.first_started_at.isoformat(),
            "last_started_at": self.last_started_at and self.last_started_at.isoformat(),
            "bad_lines_complete": all(len(found.lines) == found.rows for found in self.bad.values()),
            "bad_lines": {kind.value: found.lines for kind, found in self.bad.items()},
        }

    def save(self, path: Path) -> None:
        """Write the manifest as JSON."""
        path.write_text(json.dumps(self.as_dict(), indent=2) + "\n", encoding="utf-8")


class Tally:
    """Adds up a manifest block by block."""

    def __init__(self, spec: GenerateSpec) -> None:
        planned = defects.counts(spec)[defects.FIRST_BAD :]
        self._limit = ALL_LINES_UP_TO if int(planned.sum()) <= ALL_LINES_UP_TO else LISTED_LINES
        self._first_line = 1 + spec.format.header_lines
        self._range: tuple[int, int] | None = None
        self.manifest = Manifest(
            spec, bad={kind: BadRows() for kind, rows in zip(BAD_KINDS, planned, strict=True) if rows}
        )

    def add(self, block: Block) -> None:
        """Add the rows of a block; blocks come in the order of the file."""
        made, placement = self.manifest, block.placement
        made.rows_in += block.rows
        made.good += int(block.good.sum())
        made.duplicates_near += len(placement.of(defects.DUPLICATE_NEAR))
        made.duplicates_far += len(placement.of(defects.DUPLICATE_FAR))
        made.late_same_day += len(placement.of(defects.LATE_SAME_DAY))
        made.late_before_day += len(placement.of(defects.LATE_BEFORE_DAY))
        for kind, found in made.bad.items():
            offsets = placement.bad(kind)
            found.rows += len(offsets)
            room = self._limit - len(found.lines)
            found.lines += (offsets[:room] + block.first + self._first_line).tolist()
        self._add_totals(block)
        self._add_range(block)

    def _add_totals(self, block: Block) -> None:
        kinds = block.record_type[block.good]
        counts = np.bincount(kinds, minlength=len(RECORD_TYPES)).tolist()
        columns = {"charge_micro": block.charge * 100}
        for name in ("billed_s", "bytes_up", "bytes_down"):
            values = block.numbers[name]
            columns[name] = np.where(values == ABSENT, 0, values)
        # bincount adds in doubles: exact, for the sums of a block stay far below 2**53.
        sums = {
            name: np.bincount(kinds, weights=values[block.good], minlength=len(RECORD_TYPES)).tolist()
            for name, values in columns.items()
        }
        for code, kind in enumerate(RECORD_TYPES):
            of_block = {name: int(values[code]) for name, values in sums.items()}
            self.manifest.by_record_type[kind] += Totals(count=counts[code], **of_block)

    def _add_range(self, block: Block) -> None:
        times = (block.times["started_at"] * 1_000 + block.millisecond)[block.good]
        if not len(times):
            return
        low, high = int(times.min()), int(times.max())
        if self._range:
            low, high = min(low, self._range[0]), max(high, self._range[1])
        self._range = low, high
        self.manifest.first_started_at = _moment(low)
        self.manifest.last_started_at = _moment(high)


def _moment(milliseconds: int) -> datetime:
    whole = datetime.fromtimestamp(milliseconds // 1_000, tz=UTC)
    return whole.replace(microsecond=milliseconds % 1_000 * 1_000)
