"""Tries the forecast on days it is not shown: error against the seasonal naive forecast, coverage of the intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from telestream.db.forecast_model import SEASON, Floats, forecast, seasonal_naive


@dataclass(frozen=True)
class Mean:
    """What a score comes to.

    Attributes:
        days: days of series it was held against.
        mase: mean absolute error, each series' scaled by the mean change within a week of its history.
        to_naive: the same error over that of the seasonal naive forecast of the same days; None where that made none.
        coverage_80: share of days within the 80 % interval.
        coverage_95: share of days within the 95 % interval.
    """

    days: int
    mase: float
    to_naive: float | None
    coverage_80: float
    coverage_95: float


@dataclass(frozen=True)
class Score:
    """Sums of errors by days ahead; scores add up, so that none needs the series again.

    `sums` has a row per day ahead and the columns days, scaled error, scaled error of the naive forecast, days within
    80 %, days within 95 %.
    """

    sums: Floats

    @classmethod
    def empty(cls, horizon: int) -> Score:
        """Return a score of nothing."""
        return cls(np.zeros((horizon, 5)))

    @classmethod
    def of(cls, past: Floats, came: Floats, values: Floats) -> Score:
        """Hold the values of a forecast of `past` against what came.

        It scores nothing where there is no forecast, or `past` has not changed from week to week.
        """
        horizon = len(came)
        changes = np.abs(past[SEASON:] - past[:-SEASON])
        changes = changes[np.isfinite(changes)]
        if np.isnan(values).all() or not changes.any():
            return cls.empty(horizon)
        scale = changes.mean()
        expected, lower_80, upper_80, lower_95, upper_95 = values.T
        naive = np.abs(seasonal_naive(past, horizon) - came) / scale
        # Only days that both can be held against.
        counts = np.isfinite(naive)
        sums = np.column_stack(
            (
                counts,
                np.abs(expected - came) / scale,
                naive,
                (lower_80 <= came) & (came <= upper_80),
                (lower_95 <= came) & (came <= upper_95),
            )
        )
        return cls(np.where(counts[:, np.newaxis], sums, 0.0))

    def __add__(self, other: Score) -> Score:
        return Score(self.sums + other.sums)

    @property
    def to_naive(self) -> float | None:
        """The error over that of the seasonal naive forecast, all days ahead together; None without any."""
        total = _mean(self.sums.sum(axis=0))
        return total.to_naive if total else None

    def by_horizon(self) -> Iterator[tuple[int, Mean]]:
        """Give what it comes to by days ahead, and as 0 all together; only where there is something."""
        for ahead, sums in enumerate((self.sums.sum(axis=0), *self.sums)):
            mean = _mean(sums)
            if mean is not None:
                yield ahead, mean


def backtest(history: Floats, horizon: int) -> Score:
    """Forecast the newest days of a history from those before and return how that went."""
    past, came = history[:-horizon], history[-horizon:]
    return Score.of(past, came, forecast(past, horizon).values)


def _mean(sums: Floats) -> Mean | None:
    days, error, naive, within_80, within_95 = sums.tolist()
    if not days:
        return None
    return Mean(int(days), error / days, error / naive if naive else None, within_80 / days, within_95 / days)
