"""Hand-written calls of suspects, and what a run makes of them, for tests of the rules against fraud."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import psycopg
from staging import cdr

HOME = "234-15-1"


def call(number: str, at: datetime, called: str, key: str, **changes: Any) -> dict[str, Any]:
    """Return an answered call of a minute."""
    seconds = timedelta(seconds=5)
    times = {"started_at": at, "answered_at": at + seconds, "ended_at": at + 13 * seconds}
    return cdr(**{"native_key": key, "caller": number, "called": called, "cell_id": HOME} | times | changes)


def sim_box(number: str, start: datetime, calls: int) -> list[dict[str, Any]]:
    """Return calls to as many numbers, three minutes apart."""
    return [
        call(number, at, f"+4420{n:08d}", f"{number} {at.isoformat()}")
        for n in range(calls)
        if (at := start + n * timedelta(minutes=3))
    ]


def ring(number: str, start: datetime, rings: int, callbacks: int) -> list[dict[str, Any]]:
    """Return rings of two seconds, as the switches of those rung recorded them, and calls back."""
    rows = []
    for n in range(rings):
        at, victim = start + n * timedelta(minutes=2), f"+447700{n:06d}"
        rows.append(
            call(
                number,
                at,
                victim,
                f"{number} {n}",
                direction="mt",
                disposition="no_answer",
                answered_at=None,
                ended_at=at + timedelta(seconds=2),
                duration_s=2,
                billed_s=0,
                charge_micro=0,
            )
        )
        if n < callbacks:
            rows.append(call(victim, at + timedelta(minutes=5), number, f"{number} {n} back"))
    return rows


def steps_between(number: str, start: datetime, one: str, other: str, records: int) -> list[dict[str, Any]]:
    """Return calls from two cells in turns, five minutes apart."""
    return [
        call(
            number, start + n * timedelta(minutes=5), "+442000000000", f"{number} {n}", cell_id=other if n % 2 else one
        )
        for n in range(records)
    ]


def find(connection: psycopg.Connection, now: datetime | None = None) -> tuple[int, str]:
    """Look for fraud; returns how many cases changed, and the words."""
    connection.execute("SET ROLE telestream_owner")
    try:
        found = connection.execute("SELECT o_rows, o_result FROM analytics.find_fraud(%s)", (now,)).fetchone()
    finally:
        connection.execute("RESET ROLE")
    assert found
    return found


def cases(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    """Return the cases: id, rule, number, first and last record, score, when closed."""
    return connection.execute(
        "SELECT case_id, rule, subscriber_id, started_at, last_seen_at, score, closed_at FROM gold.fraud_case"
        " ORDER BY case_id"
    ).fetchall()
