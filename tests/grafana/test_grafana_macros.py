"""What Grafana makes of a query is what its PostgreSQL source does, as far as the dashboards need it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from telestream.errors import UsageError
from telestream.grafana.macros import Range, expand, seconds

END = datetime(2026, 3, 2, tzinfo=UTC)
SHOWN = Range(END - timedelta(hours=6), END)
FROM, TO = "'2026-03-01T18:00:00.000000Z'", "'2026-03-02T00:00:00.000000Z'"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("$__timeFilter(t.bucket)", f"t.bucket BETWEEN {FROM} AND {TO}"),
        ("$__timeFrom()::timestamptz", f"{FROM}::timestamptz"),
        ("least(now(), $__timeTo()::timestamptz)", f"least(now(), {TO}::timestamptz)"),
        ("$__timeGroup(l.at, $__interval)", "time_bucket('30.000s',l.at)"),
        ("$__timeGroup(at, '1h')", "time_bucket('3600.000s',at)"),
        ("c IN ($cell)", "c IN ('a','o''b')"),
        ("c IN ($region)", "c IN ('*')"),
        ("gold.cell_traffic_$grain AS t", "gold.cell_traffic_5m AS t"),
        ("interval '${grain}'", "interval '5m'"),
        ("SELECT '$' || 1", "SELECT '$' || 1"),
    ],
)
def test_macros_and_variables(sql: str, expected: str) -> None:
    values = {"cell": ["a", "o'b"], "region": "'*'", "grain": "5m"}
    assert expand(sql, SHOWN, values) == expected


@pytest.mark.parametrize("sql", ["$nothing", "$__timeGroupWeeks(a, b)", "$__timeGroup(a, soon)"])
def test_what_is_not_known_is_an_error(sql: str) -> None:
    with pytest.raises(UsageError):
        expand(sql, SHOWN, {})


@pytest.mark.parametrize(
    ("hours", "interval"), [(0.1, "1s"), (6, "30s"), (24, "5m"), (24 * 7, "15m"), (24 * 365, "12h")]
)
def test_the_interval_grows_with_the_range(hours: float, interval: str) -> None:
    assert Range(END - timedelta(hours=hours), END).interval == interval


def test_widths() -> None:
    assert [seconds(text) for text in ("30s", "5m", "'1h'", "1d", "1w")] == [30, 300, 3600, 86_400, 604_800]
