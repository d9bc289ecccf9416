"""GraphQL over HTTP: the audit of its working group, media types, caching, health."""

from __future__ import annotations

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from community.community_server import CommunityUnavailableError, find_node, installed
from graphql_api.fix_api import POOL, Api, serve
from staging import cdr, refine

from telestream.graphql.http import JSON, RESPONSE_JSON, negotiate
from telestream.graphql.persisted import digest
from telestream.graphql.problems import NotAcceptableProblem

REGIONS = "{ regions { name } }"
RECORDS = (
    'query R { revenue(from: "2026-03-01T00:00:00Z", to: "2026-03-02T00:00:00Z") { series { columns { values } } } }'
)


def records(api: Api) -> float:
    series = api.query(RECORDS).data["revenue"]["series"]
    return float(series[0]["columns"][1]["values"][0]) if series else 0.0


def test_the_audit_finds_no_must_and_no_should_that_fails(api: Api, tmp_path: Path) -> None:
    try:
        node = find_node()
        folder = installed(node, Path(__file__).with_name("conformance"))
    except CommunityUnavailableError as exc:
        pytest.skip(str(exc))
    script = folder / "audit.mjs"
    shutil.copy(Path(__file__).with_name("conformance") / "audit.mjs", script)
    done = subprocess.run(
        [*node.node, str(script), api.url, api.key()], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) > 50
    failing = [f"{one['id']} {one['name']}: {one['reason']}" for one in results if one["status"] != "ok"]
    assert failing == []


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, JSON), ("*/*", JSON), ("application/*", JSON), (JSON, JSON), (RESPONSE_JSON, RESPONSE_JSON),
        (f"{JSON};q=0.5, {RESPONSE_JSON};q=0.9", RESPONSE_JSON), (f"{RESPONSE_JSON}; charset=utf-8, {JSON}", RESPONSE_JSON),
        (f"text/html, {JSON};q=0.1", JSON), (f"{JSON};q=nonsense, {RESPONSE_JSON}", RESPONSE_JSON),
    ],
)  # fmt: skip
def test_the_media_type_is_agreed(accept: str | None, media: str) -> None:
    assert negotiate(accept) == media


@pytest.mark.parametrize("accept", ["text/html", f"{JSON};q=0", f"{JSON};charset=latin1", "nonsense"])
def test_what_cannot_be_accepted_is_said(accept: str) -> None:
    with pytest.raises(NotAcceptableProblem):
        negotiate(accept)


def test_methods_and_media_types(api: Api) -> None:
    assert POOL.request("DELETE", api.url).status == 405
    assert api.post(b"{ regions { name } }", Content_Type="application/graphql").code == "UNSUPPORTED_MEDIA_TYPE"
    assert api.post({"query": REGIONS}, Accept="text/html").status == 406
    refused = api.get({"query": "mutation { invalidateCache(tags: [TRAFFIC]) }"})
    assert (refused.status, refused.headers["Allow"]) == (405, "POST")


def test_a_client_registers_a_query_and_asks_by_its_hash(api: Api) -> None:
    by_hash = {"persistedQuery": {"version": 1, "sha256Hash": digest(REGIONS)}}
    unknown = api.post({"extensions": by_hash})
    assert unknown.code == "PERSISTED_QUERY_NOT_FOUND"
    assert unknown.body["errors"][0]["message"] == "PersistedQueryNotFound"
    assert api.post({"query": REGIONS + " ", "extensions": by_hash}).code == "PERSISTED_QUERY_MISMATCH"
    assert api.post({"query": REGIONS, "extensions": by_hash}).status == 200
    api.service.cache._versions.clear()
    first = api.get({"extensions": json.dumps(by_hash)})
    assert first.status == 200
    assert first.headers["Cache-Control"] == "private, max-age=5"
    again = api.get({"extensions": json.dumps(by_hash)}, If_None_Match=first.headers["ETag"])
    assert (again.status, again.data) == (304, b"")
    assert "ETag" not in api.get({"query": REGIONS}).headers


def versions_known(api: Api) -> None:
    """Learn the versions of Gold now, not within a second."""
    import asyncio

    from telestream.graphql.response_cache import ResponseCache

    async def refresh() -> None:
        from telestream.graphql.reading import Database
        from telestream.graphql.redis_link import RedisLink

        database, redis = Database(api._database), RedisLink(api.service.redis.url)
        await database.open()
        try:
            cache = ResponseCache(redis, database, api.service.telemetry)
            await cache.refresh()
            api.service.cache._versions, api.service.cache._dropped = cache._versions, cache._dropped
        finally:
            await database.close()
            await redis.close()

    asyncio.run(refresh())


def test_an_answer_is_computed_once_until_gold_changes(api: Api, connection: psycopg.Connection) -> None:
    refine(connection, [cdr()])
    connection.execute("CALL rollup.refresh_pending()")
    versions_known(api)
    metric = api.service.telemetry.cache_hits._value
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: records(api), range(16))) == {1.0}
    assert metric.get() == 15
    refine(connection, [cdr(native_key="k2")])
    versions_known(api)
    # A late CDR changes nothing in a stored bucket before the refresh, and everything after it.
    assert records(api) == 1.0
    connection.execute("CALL rollup.refresh_pending()")
    versions_known(api)
    assert records(api) == 2.0


def test_an_answer_is_for_callers_of_the_same_role_and_scopes(api: Api) -> None:
    from telestream.graphql.principal import Scope

    versions_known(api)
    assert records(api) == 0.0
    assert api.query(RECORDS, api.key("api", Scope.NETWORK)).code == "FORBIDDEN"
    assert api.query(RECORDS, api.key("analyst")).data


def test_invalidating_makes_an_answer_new(api: Api, connection: psycopg.Connection) -> None:
    connection.execute("INSERT INTO silver.dim_region (region_code, name) VALUES ('GB-LND', 'London')")
    versions_known(api)
    assert api.query(REGIONS).data == {"regions": [{"name": "London"}]}
    connection.execute("UPDATE silver.dim_region SET name = 'Greater London' WHERE region_code = 'GB-LND'")
    assert api.query(REGIONS).data == {"regions": [{"name": "London"}]}
    assert api.query("mutation { invalidateCache(tags: [NETWORK_MAP]) }").data == {"invalidateCache": True}
    assert api.query(REGIONS).data == {"regions": [{"name": "Greater London"}]}
    from telestream.graphql.principal import Scope

    reading = api.key("api", Scope.NETWORK)
    assert api.query("mutation { invalidateCache(tags: [NETWORK_MAP]) }", reading).code == "FORBIDDEN"


def test_without_redis_answers_are_computed_and_windows_come_from_gold(database: str) -> None:
    with serve(database, "redis://127.0.0.1:1/0") as api:
        assert api.query(REGIONS).data == {"regions": []}
        live = api.query("{ realtimeMetrics { source network { events } cells { cellId } } }").data["realtimeMetrics"]
        assert live == {"source": "GOLD", "network": None, "cells": []}
        ready = POOL.request("GET", api.base + "/readyz")
        assert (ready.status, json.loads(ready.data)["database"]) == (200, "ok")


def test_without_the_database_the_answer_is_503_and_health_goes_on(clean_redis: str) -> None:
    with serve("postgresql://nobody@127.0.0.1:1/nothing", clean_redis) as api:
        response = POOL.request(
            "POST", api.url, body=json.dumps({"query": REGIONS}),
            headers={"Content-Type": JSON, "Authorization": f"Bearer ts_{'0' * 12}_{'a' * 43}"},
        )  # fmt: skip
        assert response.status == 503
        assert "Retry-After" in response.headers
        assert json.loads(response.data)["errors"][0]["extensions"]["code"] == "DATABASE_UNAVAILABLE"
        assert POOL.request("GET", api.base + "/healthz").status == 200
        assert POOL.request("GET", api.base + "/readyz").status == 503


def test_the_metrics_tell_the_hit_rate(api: Api) -> None:
    versions_known(api)
    for _ in range(4):
        api.query(REGIONS)
    text = POOL.request("GET", api.base + "/metrics").data.decode()
    assert "telestream_api_cache_hits_total 3.0" in text
    assert "telestream_api_cache_misses_total 1.0" in text
    assert 'telestream_api_requests_total{code="ok"} 4.0' in text
