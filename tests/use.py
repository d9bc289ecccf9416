"""Use of the network put straight into Silver and Gold, by customer and day, for tests of profiles."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import psycopg
from days import refresh

from telestream.db import analytics

MONDAY = date(2026, 1, 5)


class Use(NamedTuple):
    """Records of a customer on a day, at noon UTC."""

    customer: int
    day: date
    records: int = 1
    kind: str = "voice"
    charge_micro: int = 100_000
    currency: str | None = "GBP"


def add_use(connection: psycopg.Connection, uses: Iterable[Use]) -> None:
    """Put records into Silver and bring Gold up to date; customers that are new get a row in the vault."""
    rows = list(uses)
    customers = sorted({one.customer for one in rows})
    connection.execute(
        "INSERT INTO vault.subscriber (subscriber_id, token, key_id, identity_encrypted)"
        " SELECT id, sha256(id::text::bytea), 0, '\\x00' FROM unnest(%s::bigint[]) AS u (id) ON CONFLICT DO NOTHING",
        (customers,),
    )
    times = [datetime(one.day.year, one.day.month, one.day.day, 12, tzinfo=UTC) for one in rows]
    batch = connection.execute(
        "INSERT INTO ops.batch (dataset, source_kind, rows_in, rows_loaded, min_event_at, max_event_at, status,"
        " code_version, finished_at) VALUES ('cdr', 'kafka', %(n)s, %(n)s, %(from)s, %(to)s, 'done', 'test',"
        " clock_timestamp()) RETURNING batch_id",
        {"n": sum(one.records for one in rows), "from": min(times), "to": max(times)},
    ).fetchone()
    assert batch is not None
    connection.execute(
        "INSERT INTO silver.fact_cdr (started_at, cdr_id, batch_id, source_line, subscriber_id, caller_id, called_id,"
        " cell_key, region_key, plan_key, is_roaming, source_system, record_type, direction, disposition, duration_s,"
        " bytes_down, charge_micro, currency)"
        " SELECT u.at + n * interval '1 second', gen_random_uuid(), %s, n, u.customer, u.customer, 0, 0, 0, 0, false,"
        " 'test', u.kind, 'mo', 'answered', CASE WHEN u.kind = 'voice' THEN 60 END,"
        " CASE WHEN u.kind = 'data' THEN 1000000 END, u.charge, u.currency"
        " FROM unnest(%s::timestamptz[], %s::bigint[], %s::int[], %s::text[], %s::bigint[], %s::text[])"
        " AS u (at, customer, records, kind, charge, currency) CROSS JOIN LATERAL generate_series(1, u.records) AS n",
        (
            batch[0], times, [one.customer for one in rows], [one.records for one in rows],
            [one.kind for one in rows], [one.charge_micro for one in rows], [one.currency for one in rows],
        ),
    )  # fmt: skip
    connection.execute(
        "SELECT rollup._mark('silver.fact_cdr', array_agg(DISTINCT date_bin('5 minutes', at, '2000-01-01 00:00+00')),"
        " %s) FROM unnest(%s::timestamptz[]) AS u (at)",
        (batch[0], times),
    )
    refresh(connection)


def profiled(url: str) -> None:
    """Run both tasks about customers."""
    for task in ("customer_profile", "churn"):
        analytics.run(url, task)


def fading_population(customers: int, weeks: int) -> list[Use]:
    """Return people of whom each third fades over four weeks and leaves, each at a time of its own.

    A customer who stays has a record every day or two; the same for the same numbers.
    """
    made = []
    for customer in range(1, customers + 1):
        end = 7 * (6 + customer // 3 % (weeks - 3)) if customer % 3 == 0 else 10**6
        for number in range(7 * weeks):
            left = (end - number) / 28
            every = 1 + customer % 2 if left >= 1 else 3 if left >= 0.5 else 6
            if left > 0 and (number + customer) % every == 0:
                kind = ("voice", "sms", "data")[(customer + number) % 3]
                made.append(Use(customer, MONDAY + timedelta(days=number), 2 if left >= 1 else 1, kind))
    return made
