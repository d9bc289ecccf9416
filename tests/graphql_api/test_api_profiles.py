"""Segments, risks of churn and similar customers over the API: who may see them, and the rows in the access log."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import psycopg
from graphql_api.fix_api import Api, reads
from use import MONDAY, Use, add_use, fading_population, profiled

from telestream.graphql.principal import Scope

WEEKS = 18
ASKED = (
    "query Asked($first: Int = 3, $from: DateTime!, $to: DateTime!) { topCustomers(by: RECORDS, from: $from, to: $to,"
    " first: 2) { customer { ...What } } } fragment What on Customer { id segment { week segment recencyDays activeDays charge currency recencyScore } churnRisk"
    " { week risk horizonWeeks model factors { feature contribution } } similar(first: $first) { distance customer { id } } }"
)


def test_what_is_known_of_a_customer(
    connection: psycopg.Connection, database: str, api: Api, statements: list[str]
) -> None:
    add_use(connection, fading_population(400, WEEKS))
    profiled(database)
    statements.clear()
    key = api.key("api", Scope.CUSTOMER)
    when = {"from": "2026-04-01T00:00:00Z", "to": "2026-05-11T00:00:00Z"}
    data = api.query(ASKED, key, **when).data
    # The ranking, then one statement for all of each of the three.
    assert len(reads(statements)) == 1 + 3
    found = [one["customer"] for one in data["topCustomers"]]
    ids = {one["id"] for one in found}
    one: dict[str, Any] = found[0]
    newest = str(MONDAY + timedelta(weeks=WEEKS - 1))
    assert one["segment"]["week"] == one["churnRisk"]["week"] == newest
    assert one["segment"]["segment"] in {"champion", "loyal", "occasional"}
    assert 0 <= one["churnRisk"]["risk"] < 0.5
    assert one["churnRisk"]["model"] == 1
    strengths = [abs(factor["contribution"]) for factor in one["churnRisk"]["factors"]]
    assert len(strengths) == 5
    assert strengths == sorted(strengths, reverse=True)
    distances = [other["distance"] for other in one["similar"]]
    assert len(distances) == 3
    assert distances == sorted(distances)
    assert one["id"] not in {other["customer"]["id"] for other in one["similar"]}
    assert api.query(ASKED, key, first=101, **when).code == "BAD_ARGUMENT"

    wanted = {"customer.segment", "customer.churnRisk", "customer.similar"}
    noted: dict[str, list[str]] = {}
    deadline = time.monotonic() + 60
    while noted.keys() != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
        noted = dict(
            connection.execute(
                "SELECT field, object_ids FROM audit.access_log WHERE field = ANY (%s)", (sorted(wanted),)
            ).fetchall()
        )
    assert set(noted["customer.segment"]) == set(noted["customer.churnRisk"]) == ids
    assert set(noted["customer.similar"]) > ids


def test_an_analyst_compares_nobody_and_nothing_is_null(
    connection: psycopg.Connection, database: str, api: Api
) -> None:
    add_use(connection, [Use(1, MONDAY + timedelta(days=n)) for n in range(7)] + [Use(2, MONDAY + timedelta(days=8))])
    profiled(database)
    key = api.key("analyst", Scope.CUSTOMER)
    query = "{ customer(id: 1) { customer { segment { segment } churnRisk { risk } } } }"
    assert api.query(query, key).data["customer"]["customer"] == {"segment": {"segment": "loyal"}, "churnRisk": None}
    unseen = api.query(query.replace("1", "2"), key).data["customer"]["customer"]
    assert unseen == {"segment": None, "churnRisk": None}
    refused = api.query("{ customer(id: 1) { customer { similar { distance } } } }", key)
    assert refused.code == "FORBIDDEN"
    without = api.key("api", Scope.FRAUD)
    for field in ("segment { segment }", "churnRisk { risk }", "similar { distance }"):
        assert api.query(f"{{ customer(id: 1) {{ customer {{ {field} }} }} }}", without).code == "FORBIDDEN"
