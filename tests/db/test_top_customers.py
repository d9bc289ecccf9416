"""The ranking of customers is the one that adding up everything gives, whatever it reads of it."""

from __future__ import annotations

import random

import psycopg
import pytest

from telestream.db import rollups

RANKINGS = ("events", "seconds", "bytes", "charge_micro")
DAYS = 4
PLAIN = """
SELECT u.subscriber_id, {currency}, sum({value})
FROM rollup.customer_usage_1d AS u
WHERE u.bucket >= '2026-03-01 00:00+00' AND u.bucket < timestamptz '2026-03-01 00:00+00' + %(days)s * interval '1 day'
    AND u.subscriber_id <> 0
GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT %(first)s
"""


@pytest.fixture
def usage(connection: psycopg.Connection) -> psycopg.Connection:
    """Usage of 1,500 customers on four days, straight into the rollup; a few heavy ones, many ties, three currencies."""
    draw = random.Random(7)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE telestream_owner")
        with cursor.copy(
            "COPY rollup.customer_usage_1d_v1 (bucket, subscriber_id, plan_key, record_type, currency, events, seconds,"
            " bytes_up, bytes_down, charge_micro) FROM STDIN"
        ) as copy:
            for day in range(DAYS):
                for customer in range(1500):
                    for kind in draw.sample(("voice", "sms", "data"), draw.randint(0, 3)):
                        # Customer 0 is the unknown one, and would lead every ranking.
                        heavy = 1000 if customer == 0 else int(draw.paretovariate(0.6))
                        values = [min(10**9, heavy * draw.randint(1, 3)) for _ in range(5)]
                        currency = draw.choice(("GBP", "GBP", "EUR", None))
                        copy.write_row((f"2026-03-0{day + 1} 00:00+00", customer, 0, kind, currency, *values))
        cursor.execute(
            "INSERT INTO rollup.pending SELECT DISTINCT 'customer_total_1d', u.bucket, 0 FROM rollup.customer_usage_1d_v1 AS u"
        )
        cursor.execute(
            "UPDATE rollup.watermark SET materialised_to = '2026-03-05 00:00+00' WHERE rollup_name = 'customer_usage_1d'"
        )
    return connection


def plain(connection: psycopg.Connection, by: str, days: int, first: int) -> list[tuple[object, ...]]:
    value = {"bytes": "u.bytes_up + u.bytes_down"}.get(by, f"u.{by}")
    currency = "u.currency" if by == "charge_micro" else "NULL::text"
    return connection.execute(
        PLAIN.format(value=value, currency=currency), {"days": days, "first": first}
    ).fetchall()  # fmt: skip


def ranked(connection: psycopg.Connection, by: str, days: int, first: int) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT * FROM gold.top_customers(%s, '2026-03-01 00:00+00',"
        " timestamptz '2026-03-01 00:00+00' + %s * interval '1 day', %s)",
        (by, days, first),
    ).fetchall()


def sums(rows: list[tuple[object, ...]]) -> list[object]:
    """Return the values: customers without a currency may stand in another order among equals."""
    return [row[2] for row in rows]


@pytest.mark.parametrize("by", RANKINGS)
@pytest.mark.parametrize(("days", "first"), [(1, 1), (1, 50), (4, 10), (4, 300), (2, 500), (4, 100_000)])
def test_it_equals_the_sum_of_everything(
    usage: psycopg.Connection, database: str, by: str, days: int, first: int
) -> None:
    before = ranked(usage, by, days, first)
    rollups.refresh(database)
    after = ranked(usage, by, days, first)
    wanted = plain(usage, by, days, first)
    assert sums(before) == sums(after) == sums(wanted)
    if by != "charge_micro":
        assert before == after == wanted


def test_a_range_without_usage_has_no_customers(usage: psycopg.Connection) -> None:
    assert usage.execute("SELECT * FROM gold.top_customers('bytes', '2025-01-01', '2025-02-01', 10)").fetchall() == []


def test_an_unknown_ranking_is_refused(usage: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="not ranked by"):
        usage.execute("SELECT * FROM gold.top_customers('1; DROP TABLE x', '2026-03-01', '2026-03-02', 10)")
