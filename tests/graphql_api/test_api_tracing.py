"""Traces hold what was asked for and how long it took, and no value; without OTEL_* there is nothing of it."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import psycopg
import pytest
from graphql_api.fix_api import Api, serve
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from telestream import tracing
from telestream.errors import UsageError


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.install(provider)
    yield exporter
    tracing.stop()


def test_a_request_and_its_statements_are_one_trace_without_a_value(
    filled: psycopg.Connection, api: Api, spans: InMemorySpanExporter
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    text = (
        "query Some($f: CdrFilter!, $r: String) { cdrs(filter: $f) { nodes { cdrId cell { name } } }"
        " cells(region: $r) { nodes { name } } }"
    )
    wanted = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z", "customerId": "424242"}
    body = {"query": text, "variables": {"f": wanted, "r": "secret place"}}
    api.post(body, traceparent=f"00-{trace}-b7ad6b7169203331-01", X_Request_Id="mine-1234")
    found = [one for one in spans.get_finished_spans() if f"{one.context.trace_id:032x}" == trace]
    [request] = [one for one in found if one.name == "POST /graphql"]
    assert request.attributes is not None
    assert dict(request.attributes) == {
        "http.request.method": "POST", "url.path": "/graphql", "http.response.status_code": 200,
        "graphql.operation.name": "Some", "telestream.code": "ok", "telestream.request_id": "mine-1234",
    }  # fmt: skip
    inner = [one for one in found if one.name == "statement"]
    assert len(inner) >= 2
    assert all(one.parent is not None and one.parent.span_id == request.context.span_id for one in inner)
    texts = [str((one.attributes or {})["db.query.text"]) for one in inner]
    assert any("FROM gold.cdr AS f WHERE f.started_at >= ?" in one for one in texts)
    everything = json.dumps([one.to_json() for one in spans.get_finished_spans()])
    for value in ("424242", "secret place", "2026-03-01", api.key().split("_", 2)[2]):
        assert value not in everything


def test_what_fails_is_said_without_a_value(filled: psycopg.Connection, api: Api, spans: InMemorySpanExporter) -> None:
    assert api.query('{ quarantine(rule: "hidden") { nodes { raw } } }', api.key("analyst")).code == "FORBIDDEN"
    ended = spans.get_finished_spans()
    assert [one.attributes["telestream.code"] for one in ended if one.name != "statement" and one.attributes] == [
        "FORBIDDEN"
    ]
    assert any((one.attributes or {}).get("error.type") == "InsufficientPrivilege" for one in ended)
    assert "hidden" not in json.dumps([one.to_json() for one in ended])


def test_what_no_request_asked_for_is_not_traced(api: Api, spans: InMemorySpanExporter) -> None:
    before = api.service.database.statements
    while api.service.database.statements == before:
        threading.Event().wait(0.05)
    assert spans.get_finished_spans() == ()


def test_nothing_is_imported_while_it_is_off() -> None:
    code = (
        # The client of Redis looks for it by itself.
        "import sys, telestream.graphql.reading, telestream.tracing as t; t.start('x'); t.stop();"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    for more in ({}, {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}):
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment | more, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "[]"


def test_traces_go_where_the_environment_says(database: str, clean_redis: str, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[bytes] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.path.encode() + self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            with serve(database, clean_redis, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as api:
                api.query("query Mine { regions { name } }")
        finally:
            server.shutdown()
            thread.join()
    assert any(one.startswith(b"/v1/traces") and b"Mine" in one and b"telestream-api" in one for one in received)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    with pytest.raises(UsageError, match="zipkin"):
        tracing.start("x")
