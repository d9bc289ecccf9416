"""Forecasts of daily series with a weekly season: gaps filled, outages taken out, a fallback for short histories.

Nothing here knows the database. Values are worked on as square roots: traffic of a cell varies more where there is more
of it, and no forecast can be negative. Why these models: docs/decisions/0041-statsforecast.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MODEL = "model"
SEASONAL_NAIVE = "seasonal_naive"
CONSTANT = "constant"
NOT_ENOUGH_HISTORY = "not_enough_history"

SEASON = 7
# Two weeks: with fewer days nothing is known of how weeks differ.
LEAST_DAYS = 14
# Four weeks make a weekly season, and what it is to be told from chance.
_MODEL_DAYS = 28
# With more holes than this the model would mostly learn what the holes were filled with.
_MODEL_PRESENT = 0.7
# A cell that has been silent so long is switched off or lost; what it would carry nobody can say.
_SILENT_DAYS = 14

# Days of the same weekday on each side that a day is held against.
_NEIGHBOURS = 4
_OUTLIER_Z = 6.0
# Least spread assumed, relative to the root: a very even series has no outliers by rounding.
_LEAST_SPREAD = 0.05
# An outage longer than a week is how the cell is now; so is a rise of more than three days, or one that goes on.
_LONGEST_OUTAGE = 7
_LONGEST_EVENT = 3

_LEVELS = [80, 95]


@dataclass(frozen=True)
class Forecast:
    """A forecast of one series in its own unit; `values` has a row per day: expected, ends of 80 %, ends of 95 %.

    All values are nan where the method is `not_enough_history`.
    """

    method: str
    values: Floats


def forecast(history: Floats, horizon: int) -> Forecast:
    """Forecast the days that follow a history.

    Args:
        history: a value per day, not negative, nan where there is none; no value is not zero.
        horizon: how many days.
    """
    present = np.flatnonzero(np.isfinite(history))
    # What lies before the first value is no hole: the cell was not there.
    series = history[present[0] :] if len(present) else history
    if len(present) < LEAST_DAYS or len(history) - 1 - present[-1] >= _SILENT_DAYS:
        return Forecast(NOT_ENOUGH_HISTORY, np.full((horizon, 5), np.nan))
    if np.ptp(history[present]) <= 1e-9 * history[present].max():
        return Forecast(CONSTANT, np.full((horizon, 5), history[present].mean()))
    filled = without_outliers(fill(np.sqrt(series)))
    if len(series) < _MODEL_DAYS or len(present) < _MODEL_PRESENT * len(series):
        return Forecast(SEASONAL_NAIVE, _squared(_seasonal_naive(filled, horizon)))
    return Forecast(MODEL, _squared(_model(filled, horizon)))


def model_name() -> str:
    """Return what the model is, with the version of the library."""
    from importlib.metadata import version

    return f"ETS(A,N,A) and theta on square roots, statsforecast {version('statsforecast')}"


def fill(series: Floats) -> Floats:
    """Return a series whose holes have the median of the nearest days of the same weekday, else of all days."""
    usual = _same_weekdays(series)
    usual = np.where(np.isnan(usual), np.nanmedian(series), usual)
    return np.where(np.isnan(series), usual, series)


def without_outliers(series: Floats) -> Floats:
    """Return a series without short outages and events: days far from the same weekdays around, made as those are.

    What is low for up to a week is an outage, also if it lasts until the end. What is high is taken out only if it was
    short and is over: the newest rise may be the one that fills the cell.
    """
    usual = _same_weekdays(series)
    off = series - usual
    spread = 1.4826 * np.median(np.abs(off))
    z = off / np.maximum(spread, _LEAST_SPREAD * np.median(series) + 1e-12)
    cleaned = series.copy()
    for flags, longest, until_end in (
        (z < -_OUTLIER_Z, _LONGEST_OUTAGE, True),
        (z > _OUTLIER_Z, _LONGEST_EVENT, False),
    ):
        for start, stop in _runs(flags):
            if stop - start <= longest and (until_end or stop < len(series)):
                cleaned[start:stop] = usual[start:stop]
    return cleaned


def seasonal_naive(history: Floats, horizon: int) -> Floats:
    """Return the newest value of each weekday as the forecast of the days that follow; nan where there is none."""
    last = np.full(SEASON, np.nan)
    for at in range(max(0, len(history) - 4 * SEASON), len(history)):
        if np.isfinite(history[at]):
            last[(at - len(history)) % SEASON] = history[at]
    return np.asarray(last[np.arange(horizon) % SEASON])


def _same_weekdays(series: Floats) -> Floats:
    """Return the median of the nearest days of the same weekday for each day, its own left out; nan without any."""
    around = np.full((2 * _NEIGHBOURS, len(series)), np.nan)
    for weeks in range(1, _NEIGHBOURS + 1):
        shift = weeks * SEASON
        around[2 * weeks - 2, shift:] = series[:-shift]
        around[2 * weeks - 1, :-shift] = series[shift:]
    # nan sorts last. numpy's own median of what is not nan takes ten times as long, and warns of days without any.
    around.sort(axis=0)
    found = np.isfinite(around).sum(axis=0)
    low, high = np.maximum(found - 1, 0) // 2, np.minimum(found // 2, 2 * _NEIGHBOURS - 1)
    days = np.arange(len(series))
    return np.asarray((around[low, days] + around[high, days]) / 2)


def _runs(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _model(roots: Floats, horizon: int) -> Floats:
    """Return the mean of exponential smoothing and theta, with the spread of the first."""
    from statsforecast.models import AutoETS, OptimizedTheta

    smoothed = AutoETS(season_length=SEASON, model="ANA").forecast(y=roots, h=horizon, level=_LEVELS)
    theta = OptimizedTheta(season_length=SEASON, decomposition_type="additive").forecast(y=roots, h=horizon)
    columns = _columns(smoothed)
    return np.asarray(columns + ((theta["mean"] - smoothed["mean"]) / 2)[:, np.newaxis])


def _seasonal_naive(roots: Floats, horizon: int) -> Floats:
    from statsforecast.models import SeasonalNaive

    return _columns(SeasonalNaive(season_length=SEASON).forecast(y=roots, h=horizon, level=_LEVELS))


def _columns(found: dict[str, Any]) -> Floats:
    return np.column_stack([found[name] for name in ("mean", "lo-80", "hi-80", "lo-95", "hi-95")])


def _squared(roots: Floats) -> Floats:
    return np.asarray(np.maximum(roots, 0.0) ** 2)
