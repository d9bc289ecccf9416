"""Several servers: a replica, two processes on one cache, browsers of other origins."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from fix_db import ADMIN, drop_database, url_of
from graphql_api.fix_api import POOL, Api, add_anomalies, reads, serve
from graphql_api.test_api_faults import through, versions
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from streams import wait_for

REGIONS = "{ regions { name } }"
PLANS = "{ plans { name } }"


@pytest.fixture
def replica(superuser_url: str, template_database: str, database: str) -> Iterator[str]:
    """Another database that can be told apart from the primary by a region."""
    name = f"{conninfo_to_dict(database)['dbname']}_replica"
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
                sql.Identifier(name), sql.Identifier(template_database), sql.Identifier(ADMIN)
            )
        )
    url = url_of(superuser_url, name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO silver.dim_region (region_code, name) VALUES ('R', 'of the replica')")
    yield url
    drop_database(superuser_url, name)


def test_a_replica_is_read_and_the_primary_is_written(
    database: str, replica: str, clean_redis: str, connection: psycopg.Connection
) -> None:
    connection.execute("INSERT INTO silver.dim_network_cell (cell_id, name) VALUES ('c1', 'One')")
    add_anomalies(connection, "c1")
    with through(replica) as (proxy, url), serve(database, clean_redis, TELESTREAM_API_REPLICA_URL=url) as api:
        versions(api)
        assert api.query(REGIONS).data == {"regions": [{"name": "of the replica"}]}
        # What it was made of is the replica's: a change there makes it new.
        with psycopg.connect(replica, autocommit=True) as other:
            other.execute("INSERT INTO silver.dim_region (region_code, name) VALUES ('S', 'second')")
        wait_for(lambda: len(api.query(REGIONS).data["regions"]) == 2, "it is new")
        # Keys are the primary's, and so are changes and the access log.
        assert api.query('{ customer(id: "5") { reason } }').data["customer"] == {"reason": "UNKNOWN_ID"}
        wait_for(
            lambda: connection.execute("SELECT object_ids FROM audit.access_log").fetchall() == [(["5"],)], "noted"
        )
        [(anomaly,)] = connection.execute("SELECT anomaly_id::text FROM analytics.anomaly").fetchall()
        text = "mutation($id: ID!) { acknowledgeAnomaly(id: $id) { isFirst } }"
        assert api.query(text, id=anomaly).data == {"acknowledgeAnomaly": {"isFirst": True}}
        assert connection.execute("SELECT count(acknowledged_at) FROM analytics.anomaly").fetchone() == (1,)
        # Without it nothing but what is cached is read: the primary is not loaded with what it was freed of.
        proxy.cut()
        assert api.query(PLANS).code == "DATABASE_UNAVAILABLE"
        assert len(api.query(REGIONS).data["regions"]) == 2
        ready = POOL.request("GET", api.base + "/readyz")
        assert (ready.status, ready.json()["database"]) == (503, "ok")
        assert "replica" in ready.json()
        proxy.mend()
        wait_for(lambda: api.query(PLANS).code is None, "it is read again")
        assert POOL.request("GET", api.base + "/readyz").json()["replica"] == "ok"


@pytest.fixture
def two(database: str, clean_redis: str) -> Iterator[tuple[Api, Api]]:
    """Two services on one database and one cache, which know nothing else of each other."""
    with serve(database, clean_redis) as first, serve(database, clean_redis) as second:
        second._keys = first._keys
        versions(first)
        versions(second)
        yield first, second


def test_of_two_processes_one_computes(
    two: tuple[Api, Api], superuser: psycopg.Connection, statements: list[str]
) -> None:
    key = two[0].key()
    for api in two:
        api.query(REGIONS, key)
    wait_for(lambda: two[0].service.cache._versions == two[1].service.cache._versions, "both know the same version")
    statements.clear()
    with ThreadPoolExecutor(8) as pool:
        with superuser.transaction():
            superuser.execute("LOCK TABLE silver.dim_service_plan IN ACCESS EXCLUSIVE MODE")
            replies = [pool.submit(two[number % 2].query, PLANS, key) for number in range(8)]
            wait_for(lambda: reads(statements), "one computes")
            time.sleep(0.3)
        assert [reply.result().data for reply in replies] == [{"plans": []}] * 8
    assert len(reads(statements)) == 1


def test_what_one_process_invalidates_is_new_in_the_other(two: tuple[Api, Api], connection: psycopg.Connection) -> None:
    first, second = two
    connection.execute("INSERT INTO silver.dim_region (region_code, name) VALUES ('GB-LND', 'London')")
    for api in two:
        wait_for(lambda api=api: api.query(REGIONS).data == {"regions": [{"name": "London"}]}, "it is read")  # type: ignore[misc]
    connection.execute("UPDATE silver.dim_region SET name = 'Greater London' WHERE region_code = 'GB-LND'")
    assert second.query(REGIONS).data == {"regions": [{"name": "London"}]}
    assert first.query("mutation { invalidateCache(tags: [NETWORK_MAP]) }").data == {"invalidateCache": True}
    wait_for(lambda: second.query(REGIONS).data == {"regions": [{"name": "Greater London"}]}, "it is new there")


def test_browsers_of_listed_origins_may_call(database: str, clean_redis: str) -> None:
    ours, theirs = "https://noc.example", "https://elsewhere.example"
    preflight = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    with serve(database, clean_redis, TELESTREAM_API_CORS_ORIGINS=f"{ours}, https://other.example") as api:
        allowed = POOL.request("OPTIONS", api.url, headers={"Origin": ours, **preflight})
        assert allowed.status == 200
        assert allowed.headers["Access-Control-Allow-Origin"] == ours
        assert "POST" in allowed.headers["Access-Control-Allow-Methods"]
        assert "authorization" in allowed.headers["Access-Control-Allow-Headers"].lower()
        refused = POOL.request("OPTIONS", api.url, headers={"Origin": theirs, **preflight})
        assert refused.status == 400
        assert "Access-Control-Allow-Origin" not in refused.headers
        answer = api.post({"query": REGIONS}, Origin=ours)
        assert answer.headers["Access-Control-Allow-Origin"] == ours
        assert "RateLimit-Remaining" in answer.headers["Access-Control-Expose-Headers"]
        # A refusal is readable for the page as well.
        assert api.post({"query": "{"}, Origin=ours).headers["Access-Control-Allow-Origin"] == ours
        other = api.post({"query": REGIONS}, Origin=theirs)
        assert "Access-Control-Allow-Origin" not in other.headers
        assert "Origin" in answer.headers["Vary"]
    with serve(database, clean_redis) as api:
        assert "Access-Control-Allow-Origin" not in api.post({"query": REGIONS}, Origin=ours).headers
