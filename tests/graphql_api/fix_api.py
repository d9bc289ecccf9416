"""Fixtures that serve the API on the test's database, in a thread with a loop of its own."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import redis
import urllib3
import uvicorn
from staging import cdr, event, refine, refine_events

from telestream.graphql import keys, serving
from telestream.graphql.app import Service
from telestream.graphql.principal import READ_SCOPES, Scope
from telestream.graphql.reading import Database, Statement
from telestream.settings import settings

POOL = urllib3.PoolManager(retries=False)


@dataclass
class Reply:
    """An answer over HTTP."""

    status: int
    headers: Any
    body: Any

    @property
    def code(self) -> str | None:
        """The code of the first error."""
        return self.body["errors"][0]["extensions"]["code"] if "errors" in self.body else None

    @property
    def data(self) -> Any:
        """The data, where nothing went wrong."""
        assert "errors" not in self.body, self.body
        return self.body["data"]


class Api:
    """A running service, and a client for it."""

    def __init__(self, port: int, database: str, service: Service) -> None:
        self.url = f"http://127.0.0.1:{port}/graphql"
        self.socket_url = f"ws://127.0.0.1:{port}/graphql"
        self.base = f"http://127.0.0.1:{port}"
        self.service = service
        self._database = database
        self._keys: dict[Any, str] = {}

    def key(self, role: str = "api", *scopes: Scope, rate: int = 100_000, days: float = 1) -> str:
        """Return a key of a role, with all scopes unless some are named."""
        wanted = (role, scopes, rate, days)
        if wanted not in self._keys:
            with psycopg.connect(self._database, autocommit=True) as connection:
                self._keys[wanted] = keys.create(
                    connection, "test", role, scopes or tuple(Scope), timedelta(days=days), rate
                )[1]
        return self._keys[wanted]

    def post(self, body: Any, key: str | None = None, **headers: str) -> Reply:
        """Send a body."""
        sent = {"Content-Type": "application/json", "Accept": "application/graphql-response+json"}
        sent |= {"Authorization": f"Bearer {key or self.key()}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = POOL.request("POST", self.url, body=data, headers=sent)
        return Reply(response.status, response.headers, json.loads(response.data))

    def get(self, parameters: dict[str, str], key: str | None = None, **headers: str) -> urllib3.BaseHTTPResponse:
        """Ask by GET."""
        sent = {"Authorization": f"Bearer {key or self.key()}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        return POOL.request("GET", self.url, fields=parameters, headers=sent)

    def query(self, text: str, key: str | None = None, **variables: Any) -> Reply:
        """Ask a query."""
        return self.post({"query": text, "variables": variables}, key)


@contextmanager
def serve(database: str, redis_url: str, **environment: str) -> Iterator[Api]:
    """Serve the API until the block ends, with some settings changed."""
    changed = {"TELESTREAM_DATABASE_URL": database, "TELESTREAM_REDIS_URL": redis_url, **environment}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    settings.cache_clear()
    bound = serving.listen("127.0.0.1", 0)
    config = serving.config()
    config.log_config = None
    config.load()
    app = config.loaded_app
    while not hasattr(app, "state"):
        app = app.app
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            threading.Event().wait(0.01)
        yield Api(bound.getsockname()[1], database, app.state.service)
    finally:
        server.should_exit = True
        thread.join(30)
        bound.close()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        settings.cache_clear()


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that services of this process have sent since, as text."""
    sent: list[str] = []
    original = Database._run

    async def noted(self: Database, pool: Any, statement: Statement, *arguments: Any, **more: Any) -> Any:
        sent.append(statement.as_string(None))
        return await original(self, pool, statement, *arguments, **more)

    monkeypatch.setattr(Database, "_run", noted)
    return sent


def reads(sent: list[str]) -> list[str]:
    """Return those of them that read for a caller; others look up keys and the version of Gold."""
    return [one for one in sent if one.startswith("BEGIN READ ONLY")]


@pytest.fixture
def clean_redis(redis_url: str) -> Iterator[str]:
    """The cache without what other tests of the API left."""
    with redis.Redis.from_url(redis_url) as client:
        # Nothing else: the server may be one that was given.
        for pattern in ("telestream:api:*", "telestream:hot:*"):
            for key in client.scan_iter(pattern):
                client.delete(key)
        yield redis_url


@pytest.fixture
def api(database: str, clean_redis: str) -> Iterator[Api]:
    """The API on the test's database."""
    with serve(database, clean_redis) as running:
        yield running


@pytest.fixture
def production_api(database: str, clean_redis: str) -> Iterator[Api]:
    """The API in production mode."""
    with serve(database, clean_redis, TELESTREAM_API_PRODUCTION="true") as running:
        yield running


@pytest.fixture
def loaded(connection: psycopg.Connection) -> psycopg.Connection:
    """A day of CDRs and network events of two cells, and Gold made of them."""
    rows = [
        cdr(
            native_key=f"k{n}",
            caller=f"+4479000000{n % 3:02d}",
            started_at=f"2026-03-01T{n:02d}:15:00Z",
            answered_at=None,
            ended_at=None,
            cell_id=f"234-15-{n % 2}",
            disposition="answered" if n % 4 else "failed",
        )
        for n in range(24)
    ]
    refine(connection, rows)
    refine_events(
        connection,
        [
            event(event_id=f"e{n}", event_at=f"2026-03-01T10:{n:02d}:00Z", cell_id=f"234-15-{n % 2}", latency_ms=10 + n)
            for n in range(20)
        ],
    )
    connection.execute("CALL rollup.refresh_pending()")
    return connection


def add_anomalies(connection: psycopg.Connection, pattern: str) -> None:
    """Let the cells whose id fits the pattern have an open anomaly each."""
    connection.execute(
        "INSERT INTO analytics.anomaly (cell_key, kpi, direction, severity, started_at, peak_at, peak_value, peak_z,"
        " seen_to, median, mad, query, from_at, to_at)"
        " SELECT c.cell_key, 'events', 'low', 'critical', now(), now(), 0, 9, now(), 50, 1, '', now(), now()"
        " FROM silver.dim_network_cell AS c WHERE c.cell_id LIKE %s",
        (pattern,),
    )


@pytest.fixture
def filled(loaded: psycopg.Connection) -> psycopg.Connection:
    """Data for every field of the schema: besides facts a refused record, an anomaly, places of cells."""
    refine(loaded, [cdr(native_key="bad", duration_s=-1)])
    loaded.execute("UPDATE silver.dim_network_cell SET latitude = 51.5, longitude = -0.1, technology = '4g'")
    add_anomalies(loaded, "234-15-1")
    return loaded


Serve = Callable[..., Any]
__all__ = [
    "READ_SCOPES",
    "Api",
    "add_anomalies",
    "api",
    "clean_redis",
    "filled",
    "loaded",
    "production_api",
    "reads",
    "serve",
    "statements",
]
