"""Queries give what Gold has, in few statements."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest
from graphql_api.fix_api import Api
from staging import cdr, change, refine, refine_customers

DAY = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z"}


def test_network_performance_puts_radio_and_voice_on_one_grid(loaded: psycopg.Connection, api: Api) -> None:
    data = api.query(
        "query($f: DateTime!, $t: DateTime!) { networkPerformance(kpis: [ATTEMPTS, ASR_PCT, EVENTS, LATENCY_MS,"
        " LATENCY_MS_P95, ERLANGS], from: $f, to: $t) { grain timeZone times series { key columns { name unit values } } } }",
        f=DAY["from"], t=DAY["to"],
    ).data["networkPerformance"]  # fmt: skip
    assert (data["grain"], data["timeZone"], len(data["times"])) == ("HOUR", "UTC", 24)
    [series] = data["series"]
    columns = {column["name"]: column["values"] for column in series["columns"]}
    assert [column["name"] for column in series["columns"]] == [
        "ATTEMPTS", "ASR_PCT", "EVENTS", "LATENCY_MS", "LATENCY_MS_P95", "ERLANGS"
    ]  # fmt: skip
    assert columns["ATTEMPTS"] == [1.0] * 24
    assert columns["ASR_PCT"][:5] == [0, 100, 100, 100, 0]
    assert columns["EVENTS"] == [20.0 if hour == 10 else 0.0 for hour in range(24)]
    assert columns["LATENCY_MS"][10] == pytest.approx(19.5)
    assert columns["LATENCY_MS"][9] is None
    assert 28 <= columns["LATENCY_MS_P95"][10] <= 29
    assert columns["ERLANGS"][1] == pytest.approx(60 / 3600)


def test_series_follow_the_time_zone_and_its_change(loaded: psycopg.Connection, api: Api) -> None:
    text = (
        "query($f: DateTime!, $t: DateTime!, $z: String) { traffic(measures: [ATTEMPTS], from: $f, to: $t, grain: DAY,"
        " timeZone: $z, by: CELL) { times series { key columns { values } } } }"
    )
    data = api.query(text, f="2026-02-28T20:00:00Z", t="2026-03-02T00:00:00Z", z="Asia/Kolkata").data["traffic"]
    assert data["times"][0] == "2026-03-01T00:00:00+05:30"
    assert [series["key"] for series in data["series"]] == ["234-15-0", "234-15-1"]
    total = [sum(one["columns"][0]["values"][day] for one in data["series"]) for day in range(len(data["times"]))]
    # 18:15 UTC is before midnight there, 19:15 after it.
    assert total == [19.0, 5.0]
    spring = api.query(text, f="2026-03-28T00:00:00Z", t="2026-03-31T00:00:00+01:00", z="Europe/London").data["traffic"]
    assert spring["times"] == [
        "2026-03-28T00:00:00+00:00", "2026-03-29T00:00:00+00:00", "2026-03-30T00:00:00+01:00"
    ]  # fmt: skip


def test_revenue_names_its_currency(loaded: psycopg.Connection, api: Api) -> None:
    data = api.query(
        'query { revenue(from: "2026-03-01T00:00:00Z", to: "2026-03-02T00:00:00Z", by: PLAN)'
        " { series { key columns { name values } } } }"
    ).data["revenue"]
    assert data["series"] == [
        {"key": "basic GBP", "columns": [{"name": "REVENUE", "values": [6.0]}, {"name": "RECORDS", "values": [24.0]}]}
    ]


def test_cells_page_by_page_and_by_distance(loaded: psycopg.Connection, api: Api) -> None:
    loaded.execute(
        "INSERT INTO silver.dim_network_cell (cell_id, name, technology, latitude, longitude)"
        " SELECT 'c' || n, 'Cell ' || n, '4g', 51.5 + n / 100.0, -0.1 FROM generate_series(1, 9) AS n"
    )
    text = (
        'query($a: String, $near: Near) { cells(first: 4, after: $a, near: $near, technology: "4g")'
        " { nodes { cellId distanceKm region { regionCode } } pageInfo { hasNextPage endCursor } } }"
    )
    found, after = [], None
    for _ in range(5):
        page = api.query(text, a=after, near={"latitude": 51.5, "longitude": -0.1, "radiusKm": 8.0}).data["cells"]
        found += [(node["cellId"], node["distanceKm"]) for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert [cell for cell, _ in found] == [f"c{n}" for n in range(1, 8)]
    assert found[0][1] == pytest.approx(1.112, abs=0.01)
    assert api.query(text, a="nonsense").code == "BAD_ARGUMENT"


def test_an_unknown_id_is_null_with_a_reason(loaded: psycopg.Connection, api: Api) -> None:
    data = api.query('{ cell(id: "no") { cell { name } reason } customer(id: "99") { customer { id } reason } }').data
    assert data == {
        "cell": {"cell": None, "reason": "UNKNOWN_ID"}, "customer": {"customer": None, "reason": "UNKNOWN_ID"}
    }  # fmt: skip


def test_a_ranking_with_usage_takes_two_statements(loaded: psycopg.Connection, api: Api) -> None:
    before = api.service.database.statements
    text = (
        "query($f: DateTime!, $t: DateTime!) { topCustomers(by: RECORDS, from: $f, to: $t, first: 3)"
        " { value customer { id usage(from: $f, to: $t) { period records charge } } } }"
    )
    data = api.query(text, f=DAY["from"], t=DAY["to"]).data["topCustomers"]
    assert [row["value"] for row in data] == [8.0, 8.0, 8.0]
    assert data[0]["customer"]["usage"] == {"period": ["2026-03-01"], "records": [8], "charge": ["2.000000"]}
    # Two of the query; the versions of the cache, the key and the access log come now and then.
    assert api.service.database.statements - before <= 5


def test_cdrs_come_newest_first_without_a_gap_between_pages(loaded: psycopg.Connection, api: Api) -> None:
    text = (
        "query($filter: CdrFilter!, $a: String) { cdrs(filter: $filter, first: 10, after: $a)"
        " { nodes { cdrId startedAt subscriberId cell { name } plan { name } customer { id } charge }"
        " pageInfo { hasNextPage endCursor } } }"
    )
    found, after, pages = [], None, 0
    while pages < 5:
        page = api.query(text, filter=DAY, a=after).data["cdrs"]
        found += page["nodes"]
        pages, after = pages + 1, page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert pages == 3
    assert len({node["cdrId"] for node in found}) == 24
    times = [node["startedAt"] for node in found]
    assert times == sorted(times, reverse=True)
    assert found[0]["cell"]["name"]
    wide = {"from": "2026-01-01T00:00:00Z", "to": "2026-03-02T00:00:00Z"}
    assert api.query(text, filter=wide).code == "BAD_ARGUMENT"


def test_quality_and_batches(loaded: psycopg.Connection, api: Api) -> None:
    refine(loaded, [cdr(native_key="bad", duration_s=-1)])
    data = api.query(
        '{ dataQuality(from: "2026-01-01", to: "2026-12-31") { dataset rowsIn rowsQuarantined score }'
        " batches(first: 2) { nodes { dataset rowsIn rowsQuarantined } pageInfo { hasNextPage } }"
        " freshness { dataset newestEventAt pendingBuckets } }"
    ).data
    assert data["batches"]["pageInfo"]["hasNextPage"]
    assert data["batches"]["nodes"][0]["rowsQuarantined"] == 1
    assert {row["dataset"] for row in data["freshness"]} == {"cdr", "customer", "network_event"}
    assert data["dataQuality"][0]["rowsIn"] == 25


def test_the_text_of_a_refused_record_is_for_engineers(loaded: psycopg.Connection, api: Api) -> None:
    refine(loaded, [cdr(native_key="bad", duration_s=-1)])
    text = "{ quarantine { nodes { reason raw } } }"
    assert len(api.query(text, api.key("engineer")).data["quarantine"]["nodes"]) == 1
    for role in ("api", "analyst"):
        assert api.query(text, api.key(role)).code == "FORBIDDEN"
    assert api.query("{ batches { nodes { batchId } } }", api.key("analyst")).code == "FORBIDDEN"


def test_a_profile_is_that_of_the_time_asked_for_and_is_in_the_access_log(loaded: psycopg.Connection, api: Api) -> None:
    refine(loaded, [cdr(native_key="profile")])  # its plan is known by name now
    loaded.execute("SET ROLE telestream_owner")
    loaded.execute("UPDATE silver.dim_service_plan SET is_placeholder = false")
    loaded.execute("RESET ROLE")
    later = change(changed_at="2026-02-01T00:00:00Z", segment="business")
    refine_customers(loaded, [later, change(), change(changed_at="2026-03-01T00:00:00Z", is_deleted=True)])
    [(subscriber,)] = loaded.execute(
        "SELECT DISTINCT subscriber_id FROM gold.customer_history WHERE subscriber_id <> 0"
    )
    text = (
        "query Who($id: ID!, $a: DateTime!, $b: DateTime!, $c: DateTime!) { customer(id: $id) { customer {"
        " before: profile(asOf: $a) { segment } then: profile(asOf: $b) { planCode regionCode segment status"
        " birthDecade validFrom validTo } after: profile(asOf: $c) { segment } now: profile { segment } } } }"
    )
    times = {"a": "2025-01-01T00:00:00Z", "b": "2026-02-10T00:00:00Z", "c": "2026-03-02T00:00:00Z"}
    customer = api.query(text, id=str(subscriber), **times).data["customer"]["customer"]
    assert customer == {
        "before": None, "after": None, "now": None,
        "then": {
            "planCode": "basic", "regionCode": "GB-LND", "segment": "business", "status": "active",
            "birthDecade": 1980, "validFrom": "2026-02-01T00:00:00+00:00", "validTo": "2026-03-01T00:00:00+00:00",
        },
    }  # fmt: skip
    rows: list[Any] = []
    deadline = time.monotonic() + 60
    while not rows and time.monotonic() < deadline:
        time.sleep(0.1)
        rows = loaded.execute(
            "SELECT object_ids, rows_read FROM audit.access_log WHERE field = 'customer.profile'"
        ).fetchall()
    assert rows == [([str(subscriber)], 1)]
    # A change that comes late drops what was cached, within a second or so.
    refine_customers(loaded, [change(changed_at="2026-02-05T00:00:00Z", segment="vip")])
    deadline = time.monotonic() + 60
    while customer["then"]["segment"] != "vip" and time.monotonic() < deadline:
        time.sleep(0.1)
        customer = api.query(text, id=str(subscriber), **times).data["customer"]["customer"]
    assert customer["then"]["segment"] == "vip"
    wrong = api.query('{ customer(id: "1") { customer { profile(asOf: "1066-10-14T00:00:00Z") { segment } } } }')
    assert wrong.body["errors"][0]["extensions"]["argument"] == "asOf"
