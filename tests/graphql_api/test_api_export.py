"""The export has the values of the GraphQL series in each format, streams them, and refuses what it cannot do."""

from __future__ import annotations

import asyncio
import io
import json
import time
import urllib.parse
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from graphql_api.fix_api import POOL, Api
from psycopg import sql
from starlette.requests import ClientDisconnect, Request

from telestream.graphql import export, series
from telestream.graphql.bulk import FORMATS, Bulk
from telestream.graphql.principal import Principal, Scope
from telestream.graphql.problems import DatabaseProblem, TimeoutProblem
from telestream.graphql.rate import Verdict
from telestream.graphql.telemetry import Telemetry

DAY = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z"}
KPIS = ("ATTEMPTS", "ASR_PCT", "EVENTS", "LATENCY_MS", "ERLANGS")
# Many rows without many tables: what a large export streams.
MANY = sql.SQL(
    "SELECT to_timestamp(n) AS time, 'a' AS key, n::double precision AS events FROM generate_series(1, {}) AS n"
)


def fetch(api: Api, name: str, key: str | None = None, **parameters: str) -> Any:
    """Return a response, read to its end."""
    fields = {name.rstrip("_"): value for name, value in parameters.items()}
    return POOL.request(
        "GET", f"{api.base}/export/{name}", fields=fields, headers={"Authorization": f"Bearer {key or api.key()}"}
    )


def table(response: Any, form: str) -> pa.Table:
    """Return the rows of a response."""
    assert response.status == 200, response.data
    assert response.headers["Content-Type"] == FORMATS[form][0]
    match form:
        case "csv":
            return pyarrow.csv.read_csv(io.BytesIO(response.data))
        case "arrow":
            return pa.ipc.open_stream(response.data).read_all()
    return pyarrow.parquet.read_table(io.BytesIO(response.data))


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something is true."""
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def refusal(response: Any) -> dict[str, Any]:
    """Return the extensions of a refusal."""
    extensions = json.loads(response.data)["errors"][0]["extensions"]
    return {"status": response.status, **extensions}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("zone", "grain"), [("UTC", "HOUR"), ("Europe/Berlin", "DAY"), ("UTC", "FIVE_MINUTES")])
def test_an_export_has_the_values_of_the_series(
    loaded: psycopg.Connection, api: Api, form: str, zone: str, grain: str
) -> None:
    asked = {"kpis": ",".join(KPIS), "by": "CELL", "grain": grain, "timeZone": zone}
    rows = table(fetch(api, "network-performance", format=form, **DAY, **asked), form)
    assert rows.column_names == ["time", "key", *KPIS]
    answer = api.query(
        "query($f: DateTime!, $t: DateTime!, $z: String!, $g: Grain!, $k: [Kpi!]!) { networkPerformance(kpis: $k, by: CELL,"
        " from: $f, to: $t, timeZone: $z, grain: $g) { times series { key columns { name values } } } }",
        f=DAY["from"], t=DAY["to"], z=zone, g=grain, k=list(KPIS),
    ).data["networkPerformance"]  # fmt: skip
    wanted = {}
    for one in answer["series"]:
        values = zip(*(column["values"] for column in one["columns"]), strict=True)
        for at, of_bucket in zip(answer["times"], values, strict=True):
            # A bucket in which nothing happened has no row.
            if any(of_bucket):
                wanted[pa.scalar(at).cast(pa.timestamp("s", "UTC")).as_py(), one["key"]] = of_bucket
    found = {(row["time"], row["key"]): tuple(row[kpi] for kpi in KPIS) for row in rows.to_pylist()}
    assert found.keys() == wanted.keys()
    assert len(found) >= 2
    for where, values in found.items():
        assert values == pytest.approx(wanted[where]), where
    assert list(found) == sorted(found)


def test_traffic_and_revenue_and_units(loaded: psycopg.Connection, api: Api) -> None:
    traffic = table(fetch(api, "traffic", measures="ATTEMPTS,BYTES_UP", format="arrow", grain="DAY", **DAY), "arrow")
    assert traffic.to_pydict()["ATTEMPTS"] == [24.0]
    assert traffic.schema.field("BYTES_UP").metadata == {b"unit": b"B"}
    revenue = table(fetch(api, "revenue", format="parquet", by="PLAN", **DAY), "parquet")
    assert sum(revenue["RECORDS"].to_pylist()) == 24
    assert revenue.schema.field("time").type == pa.timestamp("ms", "UTC")


def test_filters_are_those_of_the_schema(loaded: psycopg.Connection, api: Api) -> None:
    rows = table(fetch(api, "traffic", measures="ATTEMPTS", cells="234-15-0", by="CELL", grain="DAY", **DAY), "csv")
    assert rows.to_pydict()["key"] == ["234-15-0"]
    assert rows.to_pydict()["ATTEMPTS"] == [12]


def test_nothing_found_is_a_file_without_rows(api: Api) -> None:
    for form in FORMATS:
        rows = table(fetch(api, "traffic", measures="ATTEMPTS", format=form, **DAY), form)
        assert (rows.num_rows, rows.column_names) == (0, ["time", "key", "ATTEMPTS"])


@pytest.mark.parametrize(
    ("name", "parameters", "argument"),
    [
        ("cdrs", {}, "series"),
        ("traffic", {"measures": "ATTEMPTS", "to": "2026-03-02T00:00:00Z"}, "from"),
        ("traffic", {"measures": "ATTEMPTS", **DAY, "from": "yesterday"}, "from"),
        ("traffic", {"measures": "ATTEMPTS", **DAY, "from": "2026-03-01T00:00:00"}, "from"),
        ("traffic", {"measures": "ATTEMPTS", "from": DAY["to"], "to": DAY["from"]}, "to"),
        ("traffic", {"measures": "MONEY", **DAY}, "measures"),
        ("traffic", DAY, "measures"),
        ("traffic", {"measures": "ATTEMPTS", "by": "PLANET", **DAY}, "by"),
        ("traffic", {"measures": "ATTEMPTS", "format": "xlsx", **DAY}, "format"),
        ("traffic", {"measures": "ATTEMPTS", "timeZone": "Mars/Olympus", **DAY}, "timeZone"),
        ("traffic", {"measures": "ATTEMPTS", "cell": "1", **DAY}, "cell"),
        ("revenue", {"grain": "HOUR", **DAY}, "grain"),
        ("network-performance", {"kpis": "ASR_PCT", "cells": ",".join(str(n) for n in range(501)), **DAY}, "cells"),
    ],
)
def test_what_cannot_be_used_is_named(api: Api, name: str, parameters: dict[str, str], argument: str) -> None:
    found = refusal(fetch(api, name, **parameters))
    assert (found["status"], found["code"], found["argument"]) == (400, "BAD_ARGUMENT", argument)


def test_only_who_may_gets_an_export(api: Api) -> None:
    asked = {"measures": "ATTEMPTS", **DAY}
    assert refusal(fetch(api, "traffic", "ts_000000000000_wrong", **asked))["code"] == "UNAUTHENTICATED"
    found = refusal(fetch(api, "traffic", api.key("api", Scope.REVENUE), **asked))
    assert (found["status"], found["code"], found["scope"]) == (403, "FORBIDDEN", "network")
    key = api.key("analyst", rate=2)
    assert [fetch(api, "traffic", key, **asked).status for _ in range(3)] == [200, 200, 429]


def test_exports_at_once_are_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "MOST_EXPORTS", 0)
    found = refusal(fetch(api, "traffic", measures="ATTEMPTS", **DAY))
    assert (found["status"], found["code"]) == (503, "OVERLOADED")


@pytest.mark.parametrize("form", FORMATS)
def test_many_rows_come_in_small_pieces(database: str, form: str) -> None:
    role = Principal("test", "api", frozenset(), 1, 0)
    pieces = list(Bulk(database).read(role, MANY.format(500_000), form, {"events": "1"}))
    assert len(pieces) >= 6
    assert max(map(len, pieces)) < 4_000_000
    whole = b"".join(pieces)
    match form:
        case "csv":
            rows = pyarrow.csv.read_csv(io.BytesIO(whole))
        case "arrow":
            rows = pa.ipc.open_stream(whole).read_all()
        case _:
            rows = pyarrow.parquet.read_table(io.BytesIO(whole))
    assert (rows.num_rows, sum(rows["events"].to_pylist())) == (500_000, 500_000 * 500_001 / 2)


def test_a_client_that_goes_away_frees_connection_and_place(
    database: str, connection: psycopg.Connection, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "rows_statement", lambda *_: MANY.format(100_000_000))
    monkeypatch.setattr(export, "MOST_EXPORTS", 1)
    asked = {"measures": "ATTEMPTS", **DAY}
    head = {"Authorization": f"Bearer {api.key()}"}
    running = POOL.request("GET", f"{api.base}/export/traffic", fields=asked, headers=head, preload_content=False)
    assert len(running.read(1000)) == 1000
    assert refusal(fetch(api, "traffic", **asked))["code"] == "OVERLOADED"
    assert api.query("{ regions { name } }").status == 200
    running.close()

    def left() -> int:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%generate_series%'"
            " AND state = 'active' AND pid <> pg_backend_pid()"
        ).fetchone()
        assert row is not None
        return int(row[0])

    eventually(lambda: left() == 0)
    monkeypatch.setattr(series, "rows_statement", lambda *_: MANY.format(3))
    eventually(lambda: fetch(api, "traffic", **asked).status == 200)


def test_a_client_that_goes_away_before_the_first_piece_frees_its_place(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MOST_EXPORTS", 1)
    caller = Principal("test", "api", frozenset(Scope), 1, 0)

    class Open:
        async def principal(self, _: Any) -> Principal:
            return caller

        async def count(self, _: Any) -> Verdict:
            return Verdict(True, 1, 1, 1)

    async def gone(_: Any) -> None:
        raise OSError

    async def ask() -> list[int]:
        endpoint = export.ExportEndpoint(
            None, Open(), Bulk(database), ZoneInfo("UTC"), Telemetry()  # type: ignore[arg-type]
        )  # fmt: skip
        query = urllib.parse.urlencode({"measures": "ATTEMPTS", **DAY}).encode()
        scope = {
            "type": "http", "method": "GET", "path": "/", "headers": [], "query_string": query,
            "path_params": {"series": "traffic"}, "asgi": {"spec_version": "2.4"},
        }  # fmt: skip
        found = []
        for _ in range(3):
            response = await endpoint(Request(scope))
            found.append(response.status_code)
            with pytest.raises(ClientDisconnect):
                await response(scope, asyncio.Queue().get, gone)
        return found

    assert asyncio.run(ask()) == [200, 200, 200]


def test_a_slow_statement_and_a_lost_server_are_told_before_the_first_row(database: str) -> None:
    role = Principal("test", "api", frozenset(), 1, 0)
    slow = sql.SQL("SELECT to_timestamp(0) AS time, 'a' AS key, 1::double precision AS n FROM pg_sleep(5)").format()
    with pytest.raises(TimeoutProblem):
        list(Bulk(database, seconds=0.2).read(role, slow, "csv", {}))
    with pytest.raises(DatabaseProblem):
        list(Bulk("postgresql://nobody@127.0.0.1:1/none").read(role, slow, "csv", {}))
