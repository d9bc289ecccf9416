"""Lateness is judged event by event: on the border, ahead of the clock, and wherever a batch is cut."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telestream.consumers.lateness import AHEAD, Lateness

NOW = datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ALLOWED = timedelta(minutes=10)
MICRO = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // MICRO


def judge(times: Sequence[datetime], watermark: datetime | None = None) -> tuple[list[bool], datetime | None]:
    late, latest = Lateness(ALLOWED, lambda: NOW).judge(np.array([micros(at) for at in times], np.int64), watermark)
    return late.tolist(), latest


@pytest.mark.parametrize(("behind", "late"), [(ALLOWED - MICRO, False), (ALLOWED, False), (ALLOWED + MICRO, True)])
def test_the_border_itself_is_in_time(behind: timedelta, late: bool) -> None:
    assert judge([NOW, NOW - behind]) == ([False, late], NOW)
    assert judge([NOW - behind], NOW) == ([late], NOW)


@pytest.mark.parametrize(("ahead", "counts"), [(AHEAD - MICRO, True), (AHEAD, True), (AHEAD + MICRO, False)])
def test_a_clock_that_is_wrong_makes_no_others_late(ahead: timedelta, counts: bool) -> None:
    before, wrong = NOW - timedelta(minutes=20), NOW + ahead
    assert judge([before, wrong, before]) == ([False, False, counts], wrong if counts else before)


def test_without_a_known_time_nothing_is_late() -> None:
    assert judge([datetime(1900, 1, 1, tzinfo=UTC)]) == ([False], datetime(1900, 1, 1, tzinfo=UTC))
    assert judge([datetime(9999, 1, 1, tzinfo=UTC)]) == ([False], None)
    assert judge([NOW - 10 * ALLOWED, datetime(9999, 1, 1, tzinfo=UTC)], NOW) == ([True, False], NOW)


STEPS = [timedelta(0), MICRO, -MICRO, ALLOWED, ALLOWED + MICRO, ALLOWED - MICRO, AHEAD, AHEAD + MICRO]
MOMENTS = st.one_of(
    st.tuples(st.sampled_from(STEPS), st.sampled_from(STEPS)).map(lambda two: NOW + two[0] - two[1]),
    st.datetimes(datetime(1900, 1, 1), datetime(9999, 12, 31)).map(lambda at: at.replace(tzinfo=UTC)),
)


@given(
    times=st.lists(MOMENTS, min_size=1, max_size=30),
    watermark=st.none() | MOMENTS,
    cuts=st.sets(st.integers(1, 29), max_size=5),
)
def test_cutting_changes_nothing(times: list[datetime], watermark: datetime | None, cuts: set[int]) -> None:
    # One by one, in the words of the documentation.
    expected, latest = [], watermark
    for at in times:
        expected.append(latest is not None and latest - at > ALLOWED)
        if at - NOW <= AHEAD and (latest is None or at > latest):
            latest = at
    assert judge(times, watermark) == (expected, latest)

    found, carried = [], watermark
    edges = [0, *sorted(cut for cut in cuts if cut < len(times)), len(times)]
    for first, end in itertools.pairwise(edges):
        late, carried = judge(times[first:end], carried)
        found += late
    assert (found, carried) == (expected, latest)
