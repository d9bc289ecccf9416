"""When things happen: the curve of the day by record type, and which row of a file falls on which moment."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np

from telestream.loaders.generate.mixing import I32, I64, U64, bits, mix, stream_key

RECORD_TYPES = ("voice", "sms", "mms", "data", "other")
VOICE, SMS, MMS, DATA, OTHER = range(5)

_MINUTES = 24 * 60
_TYPE_BITS = 12

# Rows of a working day, in ten-thousandths, in the order of RECORD_TYPES.
_SHARES = (2_500, 800, 150, 6_500, 50)
# Rows of a Saturday and a Sunday against a working day, in percent.
_SATURDAY = (80, 95, 130, 108, 70)
_SUNDAY = (65, 90, 140, 104, 60)

# Traffic by hour of the day, 100 = the busiest hour. Voice peaks at 10-12 and 18-20; data has no morning peak
# of its own and stays high in the evening.
_VOICE_CURVE = (
    6, 3, 2, 2, 3, 8, 22, 48, 70, 88, 100, 98,
    84, 80, 78, 80, 84, 90, 99, 97, 70, 46, 27, 13,
)  # fmt: skip
_DATA_CURVE = (
    32, 20, 13, 10, 11, 18, 34, 56, 70, 80, 92, 91,
    84, 80, 78, 79, 82, 88, 99, 100, 92, 82, 66, 46,
)  # fmt: skip
_CURVES = (_VOICE_CURVE, _DATA_CURVE, _DATA_CURVE, _DATA_CURVE, _VOICE_CURVE)
_WEEKEND_SHIFT_HOURS = 1
"""On a weekend the day starts later."""


def epoch_seconds(day: date) -> int:
    """Return the first second of a day, in UTC, since 1970."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def day_in_2036(day: date) -> date:
    """Return the same month and day of 2036, a leap year."""
    return day.replace(year=2036)


def _minute_weights(day: date, seed: int) -> I64:
    """Return the weight of each record type in each minute, shape (types, 1440)."""
    weekday = day.weekday()
    factors = _SATURDAY if weekday == 5 else _SUNDAY if weekday == 6 else (100,) * len(RECORD_TYPES)
    minute = np.arange(_MINUTES)
    weights = np.empty((len(RECORD_TYPES), _MINUTES), dtype=np.int64)
    for kind, curve in enumerate(_CURVES):
        hours = np.array(curve, dtype=np.int64)
        if weekday >= 5:
            hours = np.concatenate([np.roll(hours, _WEEKEND_SHIFT_HOURS)[:12], hours[12:]])
        # An hour's value stands in its middle; between two middles the curve is straight.
        since_middle = (minute - 30) % _MINUTES
        hour, part = since_middle // 60, since_middle % 60
        smooth = hours[hour] * (60 - part) + hours[(hour + 1) % 24] * part
        weights[kind] = smooth * (_SHARES[kind] * factors[kind] * 1_000_000 // int(smooth.sum()))
    # Real minutes differ by more than chance: ±10 %.
    wobble = mix(stream_key(seed, day, "minute"), np.arange(_MINUTES, dtype=np.uint64))
    return weights * (900 + bits(wobble, 0, 32) % 201)


class Timeline:
    """Spreads `rows` rows over a day, so that row i has a time that never lies before that of row i - 1."""

    def __init__(self, rows: int, day: date, seed: int) -> None:
        weights = _minute_weights(day, seed)
        total = weights.sum(axis=0).tolist()
        whole = sum(total)
        before, bounds = 0, [0]
        for weight in total:
            before += weight
            bounds.append(rows * before // whole)
        self.first_second = epoch_seconds(day)
        self._bounds = np.array(bounds, dtype=np.int64)
        self._counts = np.diff(self._bounds)
        self._types = self._type_slots(weights)

    @staticmethod
    def _type_slots(weights: I64) -> I32:
        by_hour = weights.reshape(len(RECORD_TYPES), 24, 60).sum(axis=2)
        upper = np.cumsum(by_hour, axis=0)
        slots = 1 << _TYPE_BITS
        table = np.empty((24, slots), dtype=np.int32)
        for hour in range(24):
            # Python's integers: the product of weight and slot is beyond 64 bits.
            bounds = [int(value) * slots // int(upper[-1, hour]) for value in upper[:, hour]]
            table[hour] = np.searchsorted(np.array(bounds), np.arange(slots), side="right")
        return table.ravel()

    def at(self, row: I64, random: I64) -> tuple[I64, I64]:
        """Return (milliseconds after midnight, minute of the day) of rows, with 16 random bits each."""
        minute = np.searchsorted(self._bounds, row, side="right") - 1
        place = ((row - self._bounds[minute]) << 16) + random
        return minute * 60_000 + place * 60_000 // (self._counts[minute] << 16), minute

    def record_type(self, minute: I64, word: U64, shift: int) -> I32:
        """Return the record type of rows in these minutes, from 12 random bits of each word."""
        types: I32 = self._types[(minute // 60 << _TYPE_BITS) + bits(word, shift, _TYPE_BITS)]
        return types
