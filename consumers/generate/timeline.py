"""When events happen: the curve of the day and the week, and which message falls on which moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np

from telestream.consumers.generate.mixing import F64, I64

MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEP_US = 300_000_000
_HOUR_US = 3_600_000_000

# Events by hour of the day, 100 = the busiest hour of the week.
_CURVE = np.array(
    (32, 22, 16, 14, 15, 20, 36, 58, 72, 82, 92, 91, 84, 80, 78, 79, 82, 88, 99, 100, 92, 82, 66, 46),
    dtype=np.float64,
)  # fmt: skip
_WEEKEND = 0.8
_WEEKEND_SHIFT_US = _HOUR_US
"""On a weekend the day starts later."""


def epoch_us(moment: datetime) -> int:
    """Return microseconds since 1970."""
    return (moment - _EPOCH) // MICROSECOND


class Moments(NamedTuple):
    """When messages are sent, and how busy the network is then."""

    at: I64
    """Microseconds since 1970."""
    load: F64
    """0 … 1, 1 = the busiest hour of the week."""


class Timeline:
    """Spreads `events` messages over a time, so that message i is never sent before message i - 1."""

    def __init__(self, events: int, start: datetime, duration: timedelta) -> None:
        self._start = epoch_us(start)
        length = duration // MICROSECOND
        steps = -(-length // _STEP_US)
        knots = np.minimum(np.arange(steps + 1, dtype=np.int64) * _STEP_US, length)
        self._load = _load(self._start + (knots[:-1] + knots[1:]) // 2)
        weight = np.concatenate([[0.0], np.cumsum(self._load * np.diff(knots))])
        self._knots = knots.astype(np.float64)
        self._upto = weight * (events / weight[-1])
        self._slope = np.diff(self._knots) / np.diff(self._upto)

    def at(self, place: F64) -> Moments:
        """Return the moments of places in the stream; place i + 0.5 is in the middle of message i's share."""
        step = np.minimum(np.searchsorted(self._upto, place, side="right") - 1, len(self._load) - 1)
        since = self._knots[step] + (place - self._upto[step]) * self._slope[step]
        return Moments(self._start + since.astype(np.int64), self._load[step])

    def index(self, at: I64) -> I64:
        """Return the numbers of the messages that are sent at moments, 0 for those before the start."""
        since = np.maximum(at - self._start, 0).astype(np.float64)
        found: I64 = np.interp(since, self._knots, self._upto).astype(np.int64)
        return found


def _load(at: I64) -> F64:
    # The first of January 1970 was a Thursday, day 3 of the week.
    weekend = (at // (24 * _HOUR_US) + 3) % 7 >= 5
    day = (at - weekend * _WEEKEND_SHIFT_US) % (24 * _HOUR_US)
    # An hour's value stands in its middle; between two middles the curve is straight.
    since_middle = (day - _HOUR_US // 2) % (24 * _HOUR_US)
    hour, part = since_middle // _HOUR_US, since_middle % _HOUR_US / _HOUR_US
    smooth: F64 = _CURVE[hour] * (1 - part) + _CURVE[(hour + 1) % 24] * part
    return smooth / 100 * np.where(weekend, _WEEKEND, 1.0)
