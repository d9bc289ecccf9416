"""Forecasts of daily series: what a short, constant or broken history gives, what an outage does to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telestream.db.forecast_backtest import Score, backtest
from telestream.db.forecast_model import (
    CONSTANT,
    MODEL,
    NOT_ENOUGH_HISTORY,
    SEASONAL_NAIVE,
    Floats,
    fill,
    forecast,
    seasonal_naive,
    without_outliers,
)

WEEK = np.array([10.0, 11.0, 11.5, 11.0, 12.0, 6.0, 4.0])


def weeks(count: int, noise: float = 0.0, seed: int = 1) -> Floats:
    return np.tile(WEEK, count) * np.exp(np.random.default_rng(seed).normal(0, noise, 7 * count))


def holes(size: int) -> Floats:
    return np.full(size, np.nan)


def test_a_week_that_repeats_is_forecast_as_it_is() -> None:
    found = forecast(weeks(16, 0.01), 14)
    assert found.method == MODEL
    assert found.values[:, 0] == pytest.approx(np.tile(WEEK, 2), rel=0.05)


@pytest.mark.parametrize(
    ("history", "method"),
    [
        (holes(0), NOT_ENOUGH_HISTORY),
        (holes(112), NOT_ENOUGH_HISTORY),
        (WEEK, NOT_ENOUGH_HISTORY),
        # Thirteen days at the end of a long time without the cell.
        (np.concatenate((holes(99), weeks(2)[:13])), NOT_ENOUGH_HISTORY),
        # A long history, and silent for two weeks.
        (np.concatenate((weeks(10), holes(14))), NOT_ENOUGH_HISTORY),
        (weeks(3, 0.1), SEASONAL_NAIVE),
        # Every other day only.
        (np.where(np.arange(112) % 2, weeks(16, 0.1), np.nan), SEASONAL_NAIVE),
        (np.concatenate((weeks(10, 0.1), holes(13))), MODEL),
        (np.full(60, 3.0), CONSTANT),
        (np.zeros(60), CONSTANT),
    ],
)
def test_a_history_decides_the_method(history: Floats, method: str) -> None:
    found = forecast(history, 14)
    assert found.method == method
    assert found.values.shape == (14, 5)
    assert np.isnan(found.values).all() == (method == NOT_ENOUGH_HISTORY)
    if method == CONSTANT:
        assert (found.values == history[0]).all()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.lists(
        st.one_of(st.just(float("nan")), st.just(0.0), st.floats(0, 1e6, allow_subnormal=False)),
        max_size=60,
    )
)
def test_a_forecast_is_ordered_finite_and_not_negative_or_not_there(values: list[float]) -> None:
    found = forecast(np.array(values, dtype=np.float64), 14)
    if found.method == NOT_ENOUGH_HISTORY:
        assert np.isnan(found.values).all()
        return
    expected, lower_80, upper_80, lower_95, upper_95 = found.values.T
    assert np.isfinite(found.values).all()
    assert (lower_95 >= 0).all()
    for low, high in ((lower_95, lower_80), (lower_80, expected), (expected, upper_80), (upper_80, upper_95)):
        assert (low <= high).all()


def test_holes_are_filled_by_their_weekday_and_are_not_zero() -> None:
    history = weeks(8)
    broken = history.copy()
    broken[[3, 20, 21, 54]] = np.nan
    assert fill(broken) == pytest.approx(history)
    # A weekday that is never there has the median of all days.
    no_mondays = np.where(np.arange(56) % 7 == 0, np.nan, history)
    assert fill(no_mondays)[0] == np.nanmedian(no_mondays)


def test_outages_are_taken_out_and_rises_stay() -> None:
    history = weeks(10, 0.03)
    for days, factor, taken_out in (
        (slice(30, 32), 0.05, True),
        # An outage that goes on.
        (slice(68, 70), 0.05, True),
        # Nine days are how the cell is now.
        (slice(30, 39), 0.05, False),
        (slice(30, 31), 5.0, True),
        # The newest rise may go on.
        (slice(67, 70), 5.0, False),
    ):
        changed = history.copy()
        changed[days] *= factor
        cleaned = without_outliers(changed)
        assert (np.abs(cleaned[days] / history[days] - 1) < 0.2).all() == taken_out, (days, factor)


def test_an_outage_before_the_end_does_not_lower_the_forecast() -> None:
    history = weeks(16, 0.03)
    broken = history.copy()
    broken[-3:] *= 0.02
    assert forecast(broken, 14).values[:, 0] == pytest.approx(forecast(history, 14).values[:, 0], rel=0.1)


def test_a_holiday_in_the_past_is_taken_out() -> None:
    usual = weeks(16, 0.03)
    holiday = usual.copy()
    holiday[-10] *= 0.05
    assert forecast(holiday, 14).values[:, 0] == pytest.approx(forecast(usual, 14).values[:, 0], rel=0.05)


def test_seasonal_naive_is_the_newest_value_of_each_weekday() -> None:
    history = weeks(3)
    history[-1] = np.nan
    assert seasonal_naive(history, 14) == pytest.approx(np.tile(WEEK, 2))
    assert np.isnan(seasonal_naive(np.array([1.0, 2.0]), 7)[:5]).all()


def test_a_backtest_counts_what_both_can_be_held_against() -> None:
    history = weeks(16, 0.1)
    history[-3] = np.nan
    score = backtest(history, 14)
    means = dict(score.by_horizon())
    assert means[0].days == 13
    assert set(means) == {0, *range(1, 15)} - {12}
    assert means[0].mase > 0
    assert backtest(np.full(112, 2.0), 14).sums.any() == False  # noqa: E712
    assert dict(Score.empty(14).by_horizon()) == {}
    assert (score + score).to_naive == score.to_naive
