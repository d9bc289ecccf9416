"""Checks what is expected of datasets as a whole, after a load or when asked."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from telestream.db.connection import connect, translated


class Judgement(NamedTuple):
    """What came of one expectation in one bucket, a row of `quality.expectation_result`."""

    dataset: str
    rule: str
    subject: str
    bucket: datetime
    outcome: str
    observed: float | None
    at_least: float | None
    at_most: float | None


class Incident(NamedTuple):
    """An expectation that fails, a row of `quality.incident`."""

    dataset: str
    rule: str
    subject: str
    severity: str
    started_at: datetime
    message: str


def check(url: str, now: datetime | None = None) -> list[Judgement]:
    """Judge every enabled expectation as of `now`, the clock by default; incidents and alerts are written with it.

    Returns:
        What was judged in this call; none where nothing is new, or another check runs.

    Raises:
        DatabaseUnavailableError: the database does not answer; what was not judged is judged by the next check.
    """
    with translated(url), connect(url, role="telestream_loader") as connection:
        rows = connection.execute(
            "SELECT dataset, rule, subject, bucket, outcome, observed, at_least, at_most"
            " FROM quality.check_expectations(coalesce(%s, now()))",
            (now,),
        ).fetchall()
    return [Judgement(*row) for row in rows]


def open_incidents(url: str) -> list[Incident]:
    """Return the incidents that have not ended, the oldest first."""
    with translated(url), connect(url) as connection:
        rows = connection.execute(
            "SELECT dataset, rule, subject, severity, started_at, message FROM quality.incident"
            " WHERE ended_at IS NULL ORDER BY incident_id"
        ).fetchall()
    return [Incident(*row) for row in rows]
