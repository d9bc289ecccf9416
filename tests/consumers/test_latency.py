"""Percentiles of counted latencies are those of the messages themselves, up to a step."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telestream.consumers.latency import Latency

STEP = 0.01
LONGEST = 600.0


def test_without_messages_there_is_none() -> None:
    assert Latency().percentile(0.5) is None


def test_messages_weigh_not_runs() -> None:
    latency = Latency()
    latency.add(9.0, 1)
    latency.add(1.0, 999)
    assert [latency.percentile(fraction) for fraction in (0.5, 0.998, 1.0)] == [1.0 + STEP, 1.0 + STEP, 9.0 + STEP]


def test_clocks_that_differ_and_outages_stay_within_bounds() -> None:
    latency = Latency()
    latency.add(-5.0, 1)
    assert latency.percentile(1.0) == pytest.approx(STEP)
    latency.add(1e9, 1)
    assert latency.percentile(1.0) == pytest.approx(LONGEST, abs=STEP)


@given(
    runs=st.lists(st.tuples(st.floats(-1, 700), st.integers(1, 50)), min_size=1, max_size=30),
    # Fractions that are exact in binary: no doubt about which message is meant.
    fraction=st.integers(1, 64).map(lambda part: part / 64),
)
def test_percentiles_are_those_of_all_messages(runs: list[tuple[float, int]], fraction: float) -> None:
    latency = Latency()
    for seconds, messages in runs:
        latency.add(seconds, messages)
    all_of_them = sorted(min(max(seconds, 0.0), LONGEST) for seconds, messages in runs for _ in range(messages))
    exact = all_of_them[math.ceil(fraction * len(all_of_them)) - 1]
    found = latency.percentile(fraction)
    assert found is not None
    assert exact - 1e-9 <= found <= exact + STEP + 1e-9
