"""Profiles of customers: weeks, segments and behaviour follow Gold, whatever the data lacks, and are shown to few."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
from days import refresh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors
from use import MONDAY, Use, add_use

from telestream.db import analytics

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
TABLES = ("customer_week", "customer_profile", "customer_segment")


def run(url: str) -> str:
    analytics.run(url, "customer_profile")
    with psycopg.connect(url) as connection:
        return str(connection.execute("SELECT result FROM analytics.run ORDER BY run_id DESC LIMIT 1").fetchone())


def every_day(customer: int, first: date, days: int, **more: Any) -> list[Use]:
    return [Use(customer, first + n * DAY, **more) for n in range(days)]


def segments(connection: psycopg.Connection, week: date) -> dict[int, tuple[str, int, int, int]]:
    return {
        row[0]: (row[1], *row[2:])
        for row in connection.execute(
            "SELECT subscriber_id, segment, recency_score, frequency_score, monetary_score FROM gold.customer_segment"
            " WHERE week = %s",
            (week,),
        )
    }


def contents(connection: psycopg.Connection, tables: Sequence[str] = TABLES) -> list[Any]:
    return [
        connection.execute(f"SELECT (to_jsonb(t) - 'built_at')::text FROM analytics.{table} AS t ORDER BY 1").fetchall()
        for table in tables
    ]


def test_segments_say_what_they_mean(connection: psycopg.Connection, database: str) -> None:
    last = MONDAY + 11 * WEEK
    uses = []
    # Ten of each kind: who pays and calls much, who does less often, who was there at the beginning only, …
    for n in range(10):
        uses += every_day(100 + n, MONDAY, 84, charge_micro=1_000_000)
        uses += every_day(200 + n, MONDAY, 84, charge_micro=10_000)[::2] + [Use(200 + n, last + 6 * DAY)]
        uses += every_day(300 + n, MONDAY, 84, charge_micro=1_000)[::14] + [Use(300 + n, last + 6 * DAY)]
        uses += every_day(400 + n, MONDAY, 84 - 10, charge_micro=500_000)
        uses += every_day(500 + n, MONDAY, 14)
        uses += every_day(600 + n, last - 2 * WEEK, 21)
        uses += [Use(700 + n, last - 4 * DAY)]
        uses += every_day(800 + n, MONDAY, 84 - 10, charge_micro=100)[::20]
    add_use(connection, uses)
    run(database)
    found = segments(connection, last)
    kinds = {number: {found[number + n][0] for n in range(10)} for number in range(100, 900, 100)}
    assert kinds == {
        100: {"champion"}, 200: {"loyal"}, 300: {"occasional"}, 400: {"at_risk"}, 500: {"lost"}, 600: {"new"},
        700: {"new"}, 800: {"hibernating"},
    }  # fmt: skip
    assert len(found) == 80
    # Another week is another row for each; what the customer was stays.
    add_use(connection, every_day(100, last + WEEK, 7))
    run(database)
    assert segments(connection, last + WEEK).keys() == found.keys()
    assert segments(connection, last) == found


def test_one_customer_and_all_alike_have_the_middle(connection: psycopg.Connection, database: str) -> None:
    add_use(connection, every_day(1, MONDAY, 7))
    assert "1 segments and 1 profiles" in run(database)
    assert segments(connection, MONDAY) == {1: ("loyal", 3, 3, 3)}
    assert connection.execute("SELECT count(*) FROM analytics.similar_customers(1)").fetchone() == (0,)
    add_use(connection, [use for customer in range(2, 12) for use in every_day(customer, MONDAY, 7)])
    run(database)
    assert set(segments(connection, MONDAY).values()) == {("loyal", 3, 3, 3)}
    # A constant week: each day and kind the same share.
    rows = connection.execute("SELECT DISTINCT profile::real[] FROM analytics.customer_profile").fetchall()
    assert len(rows) == 1
    assert rows[0][0][0:21:3] == pytest.approx([7**-0.5] * 7)
    assert rows[0][0][21:] == pytest.approx([7 / 67, 0, 0])


def test_nothing_is_made_of_nothing(connection: psycopg.Connection, database: str) -> None:
    assert "0 segments and 0 profiles" in run(database)
    # A week that is not over has no segments yet, but behaviour; a customer without a kind that counts, too.
    add_use(connection, [Use(1, MONDAY), Use(2, MONDAY + DAY, kind="other")])
    assert "0 segments and 2 profiles" in run(database)
    shares = connection.execute(
        "SELECT profile::real[] FROM analytics.customer_profile WHERE subscriber_id = 2"
    ).fetchone()
    assert shares is not None
    assert shares[0][:21] == pytest.approx([21**-0.5] * 21)
    assert connection.execute("SELECT count(*) FROM analytics.similar_customers(99)").fetchone() == (0,)
    with pytest.raises(errors.DatabaseError, match="number of similar customers cannot be 0") as refused:
        connection.execute("SELECT * FROM analytics.similar_customers(1, 0)")
    assert refused.value.sqlstate == "TS045"


def test_amounts_of_different_currencies_are_not_added(connection: psycopg.Connection, database: str) -> None:
    uses = every_day(1, MONDAY, 7, charge_micro=5) + [Use(1, MONDAY, charge_micro=900, currency="USD")]
    uses += every_day(2, MONDAY, 7, charge_micro=7, currency="USD") + [Use(3, MONDAY + 6 * DAY, currency=None)]
    add_use(connection, uses)
    run(database)
    rows = connection.execute(
        "SELECT subscriber_id, currency, (charge * 1000000)::int, monetary_score FROM gold.customer_segment ORDER BY 1"
    ).fetchall()
    assert rows == [(1, "GBP", 35, 3), (2, "USD", 49, 3), (3, None, 100_000, 3)]


def test_a_gap_a_clock_change_and_late_data(connection: psycopg.Connection, database: str) -> None:
    # In the operator's zone summer time began on 29 March 2026 and ends on 25 October; the setting is of creation.
    connection.execute("UPDATE ops.setting SET value = 'Europe/London' WHERE name = 'time_zone'")
    spring = date(2026, 3, 23)
    add_use(connection, every_day(1, spring, 14) + [Use(2, spring + n * WEEK) for n in range(2)])
    run(database)
    weeks = connection.execute(
        "SELECT subscriber_id, week, active_days, last_day, events FROM analytics.customer_week ORDER BY 1, 2"
    ).fetchall()
    assert weeks == [
        (1, spring, 7, spring + 6 * DAY, 7), (1, spring + WEEK, 7, spring + 13 * DAY, 7),
        (2, spring, 1, spring, 1), (2, spring + WEEK, 1, spring + WEEK, 1),
    ]  # fmt: skip
    before = segments(connection, spring + WEEK)
    # Weeks with no record of anybody, then one: the gap counts as days of silence.
    add_use(connection, every_day(1, spring + 5 * WEEK, 7))
    run(database)
    assert segments(connection, spring + 5 * WEEK)[2][0] == "lost"
    assert segments(connection, spring + WEEK) == before
    # Late: the customer was there after all.
    add_use(connection, [Use(2, spring + 5 * WEEK + 5 * DAY)])
    assert "1 weeks of Gold read" in run(database)
    assert segments(connection, spring + 5 * WEEK)[2][0] in {"loyal", "occasional"}


def test_running_again_changes_nothing_and_old_weeks_go(connection: psycopg.Connection, database: str) -> None:
    add_use(connection, every_day(1, MONDAY, 70) + every_day(2, MONDAY, 70)[::3])
    run(database)
    before = contents(connection)
    assert "0 weeks of Gold read, 0 segments and 0 profiles" in run(database)
    # The same read again, as after a crash that lost the run.
    connection.execute("SET ROLE telestream_owner")
    connection.execute(
        "INSERT INTO analytics.stale_customer_week SELECT DISTINCT week, -1 FROM analytics.customer_week"
    )
    connection.execute("RESET ROLE")
    assert "10 weeks of Gold read, 0 segments and 0 profiles" in run(database)
    assert contents(connection) == before
    later = MONDAY + 40 * WEEK
    add_use(connection, every_day(2, later, 7))
    run(database)
    assert connection.execute("SELECT DISTINCT week FROM analytics.customer_week").fetchall() == [(later,)]
    assert connection.execute("SELECT DISTINCT week FROM analytics.customer_segment").fetchall() == [(later,)]
    assert connection.execute("SELECT subscriber_id FROM analytics.customer_profile").fetchall() == [(2,)]


def test_a_week_that_has_lost_its_end_is_no_whole_one(connection: psycopg.Connection, database: str) -> None:
    add_use(connection, every_day(1, MONDAY, 14))
    run(database)
    assert segments(connection, MONDAY + WEEK)
    connection.execute("DELETE FROM silver.fact_cdr WHERE started_at >= %s", (MONDAY + 9 * DAY,))
    connection.execute(
        "SELECT rollup._mark('silver.fact_cdr', %s::timestamptz[], 1)", ([MONDAY + n * DAY for n in range(14)],)
    )
    refresh(connection)
    run(database)
    assert connection.execute("SELECT DISTINCT week FROM gold.customer_segment").fetchall() == [(MONDAY,)]


def test_who_is_forgotten_does_not_come_back(connection: psycopg.Connection, database: str) -> None:
    add_use(connection, every_day(1, MONDAY, 14) + every_day(2, MONDAY, 14))
    run(database)
    connection.execute("SET ROLE telestream_owner")
    with connection.transaction():
        connection.execute("DELETE FROM vault.subscriber WHERE subscriber_id = 1")
        assert connection.execute("SELECT analytics.forget(ARRAY[1])").fetchone() == (5,)
    connection.execute("RESET ROLE")
    # Gold keeps the usage of a surrogate that leads to nobody; refreshed, it makes no profile.
    connection.execute("SELECT rollup._mark('silver.fact_cdr', array_agg(started_at), 1) FROM silver.fact_cdr")
    refresh(connection)
    assert connection.execute(
        "SELECT count(*) FROM gold.fact_customer_usage_daily WHERE subscriber_id = 1"
    ).fetchone() == (14,)
    run(database)
    for table in TABLES:
        left = connection.execute(f"SELECT DISTINCT subscriber_id FROM analytics.{table}").fetchall()
        assert left == [(2,)], table


def test_vectors_are_shown_to_nobody_and_comparing_is_not_for_analysts(
    connection: psycopg.Connection, database: str
) -> None:
    add_use(connection, every_day(1, MONDAY, 7) + every_day(2, MONDAY, 7, kind="data"))
    run(database)
    vectors = connection.execute(
        "SELECT c.relname FROM pg_attribute AS a INNER JOIN pg_class AS c ON a.attrelid = c.oid"
        " WHERE a.atttypid = 'public.vector'::regtype AND c.relname LIKE 'customer%' AND c.relkind IN ('r', 'v')"
        " ORDER BY 1"
    ).fetchall()
    assert vectors == [("customer_profile",), ("customer_week",)]
    for role in ("loader", "consumer", "api", "analyst", "engineer", "privacy"):
        for (table,) in vectors:
            connection.execute(f"SET ROLE telestream_{role}")
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(f"SELECT * FROM analytics.{table}")
            connection.execute("RESET ROLE")
    ask = "SELECT subscriber_id FROM analytics.similar_customers(1, 5)"
    for role in ("analyst", "engineer", "loader"):
        connection.execute(f"SET ROLE telestream_{role}")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(ask)
        connection.execute("RESET ROLE")
    for role in ("api", "privacy"):
        connection.execute(f"SET ROLE telestream_{role}")
        assert connection.execute(ask).fetchall() == [(2,)]
        connection.execute("RESET ROLE")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(1, 8), st.integers(0, 41), st.integers(1, 3),
            st.sampled_from(["voice", "sms", "mms", "data", "other"]),
        ),
        min_size=1, max_size=30,
    )
)  # fmt: skip
def test_weeks_are_the_sums_of_gold(connection: psycopg.Connection, uses: list[tuple[int, int, int, str]]) -> None:
    """Whatever comes, in whatever order, read week by week or all at once."""
    add_use(connection, [Use(c, MONDAY + d * DAY, n, kind) for c, d, n, kind in uses])
    connection.execute("SET ROLE telestream_owner")
    connection.execute("SELECT analytics.build_customer_profiles()")
    connection.execute("RESET ROLE")
    differing = connection.execute(
        "SELECT * FROM (SELECT week, subscriber_id, active_days::bigint, last_day, events, voice_s, messages, bytes"
        " FROM analytics.customer_week) AS w FULL JOIN ("
        " SELECT date_trunc('week', day)::date AS week, subscriber_id, count(DISTINCT day), max(day), sum(events),"
        " coalesce(sum(seconds) FILTER (WHERE record_type = 'voice'), 0),"
        " coalesce(sum(events) FILTER (WHERE record_type IN ('sms', 'mms')), 0), sum(bytes_up + bytes_down)"
        " FROM gold.fact_customer_usage_daily GROUP BY 1, 2) AS g (week, subscriber_id, d, l, e, v, m, b)"
        " ON (w.week, w.subscriber_id, w.active_days, w.last_day, w.events, w.voice_s, w.messages, w.bytes)"
        " = (g.week, g.subscriber_id, g.d, g.l, g.e, g.v, g.m, g.b) WHERE w.week IS NULL OR g.week IS NULL"
    ).fetchall()
    assert differing == []
    assert connection.execute(
        "SELECT count(*) FROM analytics.customer_profile WHERE abs(public.vector_norm(public.subvector(profile, 1, 21))"
        " - 1) > 1e-5"
    ).fetchone() == (0,)
