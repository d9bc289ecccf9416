"""Marks the events that arrive behind a later one of their partition by more than the allowed lateness."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

Micros = npt.NDArray[np.int64]

# An event time further ahead of the clock than this is a wrong clock's: it must not make all others late.
AHEAD = timedelta(minutes=5)
_NEVER = np.iinfo(np.int64).min


class Lateness:
    """Decides lateness message by message, so that it does not depend on where batches are cut.

    Args:
        allowed: how far behind the latest event of its partition an event may be.
        clock: returns the time now, with zone.
    """

    def __init__(self, allowed: timedelta, clock: Callable[[], datetime]) -> None:
        self._allowed = _micros(allowed)
        self._clock = clock

    def judge(self, times: Micros, watermark: datetime | None) -> tuple[npt.NDArray[np.bool_], datetime | None]:
        """Judge the events of one partition in the order of its log.

        Args:
            times: event times, microseconds since 1970, at least one.
            watermark: latest event time of the partition before them.

        Returns:
            Which of them are late, and the latest event time after them.
        """
        horizon = _since_epoch(self._clock() + AHEAD)
        start = _NEVER if watermark is None else _since_epoch(watermark)
        seen = np.maximum.accumulate(np.concatenate(([start], np.where(times <= horizon, times, _NEVER))))
        before, latest = seen[:-1], int(seen[-1])
        # Where nothing was seen before, nothing can be late; the subtraction would overflow.
        late = (before != _NEVER) & (times < np.where(before == _NEVER, 0, before) - self._allowed)
        return late, None if latest == _NEVER else datetime.fromtimestamp(0, UTC) + timedelta(microseconds=latest)


def _micros(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _since_epoch(moment: datetime) -> int:
    return _micros(moment - datetime.fromtimestamp(0, UTC))
