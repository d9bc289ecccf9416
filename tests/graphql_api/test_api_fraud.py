"""Cases of fraud over the API: who may see them, with what evidence, and the row in the access log."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import psycopg
from fraud_calls import find, ring, sim_box
from graphql_api.fix_api import Api, reads
from staging import refine

from telestream.graphql.principal import READ_SCOPES, Scope

START = datetime(2026, 3, 10, 20, 0, tzinfo=UTC)
CASES = (
    "query Cases($filter: FraudCaseFilter, $first: Int! = 50, $after: String) {"
    " fraudCases(filter: $filter, first: $first, after: $after) { nodes { caseId rule severity score subscriberId isOpen"
    " startedAt customer { id } evidence { measure seen threshold peer explanation fromAt } }"
    " pageInfo { hasNextPage endCursor } } }"
)


def test_cases_with_evidence_page_by_page(connection: psycopg.Connection, api: Api, statements: list[str]) -> None:
    for n in range(2):
        refine(connection, sim_box(f"+44780000000{n}", START, 110 + n))
    refine(connection, ring("+2321000001", START, 45, callbacks=4))
    find(connection)
    statements.clear()
    page = api.query(CASES).data["fraudCases"]
    assert len(reads(statements)) == 2
    nodes: list[dict[str, Any]] = page["nodes"]
    assert [node["rule"] for node in nodes].count("sim_box") == 2
    assert {node["customer"]["id"] for node in nodes} == {node["subscriberId"] for node in nodes}
    [rung] = [node for node in nodes if node["rule"] == "wangiri"]
    assert [line["measure"] for line in rung["evidence"]] == ["numbers_rung", "ring_share", "callbacks"]
    assert rung["evidence"][0]["seen"] == 45
    assert rung["evidence"][0]["explanation"].startswith("45 different numbers")

    paged, after = [], None
    for number in range(3):
        part = api.query(CASES, first=1, after=after).data["fraudCases"]
        paged += part["nodes"]
        after = part["pageInfo"]["endCursor"]
        assert part["pageInfo"]["hasNextPage"] == (number < 2)
    assert paged == nodes

    for wanted, found in (
        ({"rules": ["wangiri"]}, 1),
        ({"severities": ["CRITICAL"]}, 2),
        ({"customerId": rung["subscriberId"]}, 1),
        ({"minScore": 99}, 0),
        ({"from": "2026-03-10T00:00:00Z", "to": "2026-03-11T00:00:00Z", "openOnly": True}, 3),
        ({"from": "2026-03-20T00:00:00Z"}, 0),
    ):
        assert len(api.query(CASES, filter=wanted).data["fraudCases"]["nodes"]) == found, wanted
    assert api.query(CASES, filter={"customerId": "x"}).code == "BAD_ARGUMENT"

    rows: list[Any] = []
    deadline = time.monotonic() + 60
    while not rows and time.monotonic() < deadline:
        time.sleep(0.1)
        rows = connection.execute(
            "SELECT object_ids, rows_read FROM audit.access_log WHERE field = 'fraudCases' ORDER BY position LIMIT 1"
        ).fetchall()
    assert rows == [([node["subscriberId"] for node in nodes], 3)]


def test_cases_are_for_those_who_were_given_the_scope_and_may_see_persons(
    connection: psycopg.Connection, api: Api
) -> None:
    refine(connection, sim_box("+447800000001", START, 110))
    find(connection)
    assert Scope.FRAUD not in READ_SCOPES
    assert api.query(CASES, api.key("api", *READ_SCOPES)).code == "FORBIDDEN"
    for role in ("api", "engineer", "privacy"):
        assert len(api.query(CASES, api.key(role, Scope.FRAUD)).data["fraudCases"]["nodes"]) == 1
    refused = api.query(CASES, api.key("analyst", Scope.FRAUD))
    assert refused.code == "FORBIDDEN"
    assert "explanation" not in str(refused.body.get("data"))
