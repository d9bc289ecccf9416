"""Decides which rows of a file are duplicates, late or bad, for any stretch of it without the rest."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from telestream.loaders.generate.mixing import I32, I64, bits, mix, stream_key
from telestream.loaders.generate.spec import GenerateSpec

FAR_ROWS = 200_000
"""A far duplicate repeats a row at least this far back, or a tenth of the file where that is less."""
BEFORE_DAY_HOURS = 48
LATE_SECONDS = 3_600
"""A late row stands in the file at least this long after its time."""


class BadKind(enum.StrEnum):
    """What can be wrong with a bad row; each bad row has exactly one of them."""

    FIELD_COUNT = "field_count"
    UNPARSABLE_TIME = "unparsable_time"
    ENCODING = "encoding"
    MISSING_KEY = "missing_native_key"
    ENDED_BEFORE_STARTED = "ended_before_started"
    DURATION_DISAGREES = "duration_disagrees"
    NEGATIVE_BYTES = "negative_bytes"
    NEGATIVE_CHARGE = "negative_charge"
    YEAR_2036 = "event_time_in_2036"
    UNKNOWN_RECORD_TYPE = "unknown_record_type"


BAD_KINDS = tuple(BadKind)
_TEXT_ONLY = (BadKind.FIELD_COUNT, BadKind.UNPARSABLE_TIME, BadKind.ENCODING)

GOOD, DUPLICATE_NEAR, DUPLICATE_FAR, LATE_SAME_DAY, LATE_BEFORE_DAY, FIRST_BAD = range(6)
"""Classes of rows; FIRST_BAD + i is the bad kind BAD_KINDS[i]."""


def _parts(total: int, parts: int) -> list[int]:
    return [total // parts + (part < total % parts) for part in range(parts)]


def counts(spec: GenerateSpec) -> I64:
    """Return how many rows of each class a file is to have (GOOD is left 0).

    Rows without room for their class get the nearest other one: among the first rows a far duplicate becomes
    a near one, in the first hour a row late on its day becomes one from before the day.
    """
    kinds = [kind for kind in BAD_KINDS if spec.format.is_text or kind not in _TEXT_ONLY]
    wanted = np.zeros(FIRST_BAD + len(BAD_KINDS), dtype=np.int64)
    wanted[[DUPLICATE_NEAR, DUPLICATE_FAR]] = _parts(round(spec.duplicates * spec.rows), 2)
    wanted[[LATE_SAME_DAY, LATE_BEFORE_DAY]] = _parts(round(spec.late * spec.rows), 2)
    of_kinds = [FIRST_BAD + BAD_KINDS.index(kind) for kind in kinds]
    wanted[of_kinds] = _parts(round(spec.bad * spec.rows), len(kinds))
    # Two rows for every defect, the first row apart: tiny files have fewer defects than their shares say.
    while int(wanted.sum()) > (spec.rows - 1) // 2:
        wanted[int(np.argmax(wanted))] -= 1
    return wanted


def class_of(kind: BadKind) -> int:
    """Return the class of the rows that are bad in this way."""
    return FIRST_BAD + BAD_KINDS.index(kind)


@dataclass(frozen=True)
class Placement:
    """The defects of one stretch of rows: offsets from its first row, ascending, and their classes."""

    offset: I64
    kind: I32

    def of(self, kind: int) -> I64:
        """Return the offsets of one class."""
        offsets: I64 = self.offset[self.kind == kind]
        return offsets

    def bad(self, kind: BadKind) -> I64:
        """Return the offsets of the rows that are bad in this way."""
        return self.of(class_of(kind))

    @property
    def not_loaded(self) -> I64:
        """The offsets of the rows that must not be loaded: duplicates and bad ones."""
        late = (self.kind == LATE_SAME_DAY) | (self.kind == LATE_BEFORE_DAY)
        offsets: I64 = self.offset[~late]
        return offsets


class DefectPlan:
    """Puts one defect into each of S equal strata of the rows after the first.

    Strata are at least two rows, so at most two defects stand side by side, and the first row is always good.
    """

    def __init__(self, spec: GenerateSpec) -> None:
        wanted = counts(spec)
        self._rows = spec.rows
        self._total = int(wanted.sum())
        self._upper = np.cumsum(wanted)
        self._key = stream_key(spec.seed, spec.day, "defect")
        self._source_key = stream_key(spec.seed, spec.day, "source")
        self.far_rows = min(FAR_ROWS, max(1, spec.rows // 10))
        # A multiplier near the golden section spreads the classes evenly over the file.
        factor = max(1, int(self._total * 0.618))
        while math.gcd(factor, max(1, self._total)) != 1:
            factor += 1
        self._factor = factor

    def _start(self, stratum: I64) -> I64:
        return 1 + stratum * (self._rows - 1) // self._total

    def _position(self, stratum: I64) -> I64:
        start = self._start(stratum)
        width = self._start(stratum + 1) - start
        return start + bits(mix(self._key, stratum.view(np.uint64)), 0, 32) % width

    def within(self, first: int, rows: int) -> Placement:
        """Return the defects of the rows first … first + rows - 1."""
        if not self._total:
            return Placement(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32))
        low = max(0, (first - 1) * self._total // (self._rows - 1) - 1)
        high = min(self._total, (first + rows) * self._total // (self._rows - 1) + 1)
        stratum = np.arange(low, high, dtype=np.int64)
        position = self._position(stratum)
        inside = (position >= first) & (position < first + rows)
        stratum, position = stratum[inside], position[inside]
        shuffled = stratum * self._factor % self._total
        kind = np.searchsorted(self._upper, shuffled, side="right").astype(np.int32)
        kind[(kind == DUPLICATE_FAR) & (position <= self.far_rows)] = DUPLICATE_NEAR
        return Placement(position - first, kind)

    def _is_defect(self, position: I64) -> npt.NDArray[np.bool_]:
        stratum = np.maximum(position - 1, 0) * self._total // (self._rows - 1)
        stratum += self._start(stratum + 1) <= position
        found: npt.NDArray[np.bool_] = self._position(stratum) == position
        return found

    def sources(self, position: I64, far: bool) -> I64:
        """Return the good row, on its time, that each duplicate at a position repeats."""
        if far:
            random = bits(mix(self._source_key, position.view(np.uint64)), 0, 62)
            source = random % (position - self.far_rows + 1)
        else:
            source = position - 1
        for _ in range(2):
            source = source - self._is_defect(source)
        return source
