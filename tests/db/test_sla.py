"""`ops.sla` says what each source owes, and agrees with the incidents that people are told of."""

from __future__ import annotations

from datetime import date, timedelta

import psycopg
from days import instant, prepare
from staging import cdr, refine

DAY = timedelta(days=1)
TUESDAY = date(2026, 6, 2)


def watermark(connection: psycopg.Connection, dataset: str, source: str, event_at: object) -> None:
    connection.execute(
        "INSERT INTO ops.watermark AS w (dataset, source, event_at) VALUES (%s, %s, %s)"
        " ON CONFLICT (dataset, source) DO UPDATE SET event_at = excluded.event_at",
        (dataset, source, event_at),
    )


def check(connection: psycopg.Connection, now: object) -> None:
    connection.execute("SELECT quality.check_expectations(%s)", (now,))


def sla(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT dataset, source, expected_event_at, last_event_at, is_breached, breached_since FROM ops.sla ORDER BY 1, 2"
    ).fetchall()


def test_a_breach_is_what_an_incident_is_about(connection: psycopg.Connection) -> None:
    prepare(connection)
    watermark(connection, "cdr", "msc-01", instant(TUESDAY, 6))
    watermark(connection, "cdr", "msc-02", instant(TUESDAY, 6))
    check(connection, instant(TUESDAY, 7))
    on_time = [row[1] for row in sla(connection) if row[4] is False]
    assert on_time == ["msc-01", "msc-02"]

    watermark(connection, "cdr", "msc-01", instant(TUESDAY + DAY, 14))
    check(connection, instant(TUESDAY + DAY, 15))
    # A day, and six hours of grace: by three in the afternoon a record of nine the day before is owed.
    owed = instant(TUESDAY, 9)
    assert sla(connection) == [
        ("cdr", "msc-01", owed, instant(TUESDAY + DAY, 14), False, None),
        ("cdr", "msc-02", owed, instant(TUESDAY, 6), True, instant(TUESDAY + DAY, 15)),
    ]
    assert connection.execute("SELECT subject FROM quality.incident WHERE ended_at IS NULL").fetchall() == [("msc-02",)]


def test_a_crm_owes_changes_too(connection: psycopg.Connection) -> None:
    watermark(connection, "customer", "crm", instant(TUESDAY))
    check(connection, instant(TUESDAY + 7 * DAY))
    check(connection, instant(TUESDAY + 8 * DAY))
    assert [(row[1], row[4]) for row in sla(connection)] == [("crm", True)]


def test_freshness_tells_of_customers(connection: psycopg.Connection) -> None:
    refine(connection, [cdr()])
    watermark(connection, "customer", "crm", instant(TUESDAY))
    fresh = {
        name: (newest, pending)
        for name, newest, pending in connection.execute(
            "SELECT dataset, newest_event_at, pending_buckets FROM ops.freshness"
        )
    }
    assert fresh["customer"] == (instant(TUESDAY), 0)
    assert fresh["network_event"] == (None, 0)
    assert fresh["cdr"][1] > 0
