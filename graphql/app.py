"""The service, put together: GraphQL, subscriptions, health, metrics."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from zoneinfo import ZoneInfo

from prometheus_client import CONTENT_TYPE_LATEST
from psycopg import sql
from psycopg.rows import scalar_row
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from telestream import tracing
from telestream.channels import cache_url
from telestream.db import migrate
from telestream.db.connection import database_url
from telestream.graphql import background
from telestream.graphql.audit import AuditLog
from telestream.graphql.authenticate import Authenticator
from telestream.graphql.bulk import Bulk
from telestream.graphql.context import Services
from telestream.graphql.engine import Engine
from telestream.graphql.export import ExportEndpoint
from telestream.graphql.gate import Gate
from telestream.graphql.hot import HotReader
from telestream.graphql.http import GraphQLEndpoint
from telestream.graphql.live import Hub
from telestream.graphql.pages import Pages, wants_explorer
from telestream.graphql.persisted import PersistedQueries
from telestream.graphql.problems import Problem
from telestream.graphql.rate import RateLimiter
from telestream.graphql.reading import Database
from telestream.graphql.redis_link import RedisLink
from telestream.graphql.response_cache import ResponseCache
from telestream.graphql.schema import schema
from telestream.graphql.telemetry import Telemetry
from telestream.graphql.tokens import KeySet, Tokens
from telestream.graphql.websocket import SubscriptionEndpoint
from telestream.settings import settings

_NOTE_SECONDS = 60.0

_log = logging.getLogger(__name__)


class Service:
    """The parts of one process."""

    def __init__(self) -> None:
        """Make them from the settings; nothing is connected yet.

        Raises:
            TelestreamError: a setting cannot be used.
        """
        chosen = settings()
        self.telemetry = Telemetry()
        self.database = Database(chosen.api_database_url or database_url(), chosen.api_replica_url)
        self.redis = RedisLink(cache_url())
        hot = HotReader(self.redis)
        self.hub = Hub(self.redis.url, hot)
        self.cache = ResponseCache(self.redis, self.database, self.telemetry)
        self.audit = AuditLog(self.database)
        self.services = Services(self.database, hot, self.hub, self.cache, ZoneInfo(chosen.time_zone))
        self.authenticator = Authenticator(
            self.database,
            Tokens(
                secret=chosen.api_jwt_secret.get_secret_value(),
                key_set=KeySet(chosen.api_jwks_url) if chosen.api_jwks_url else None,
                issuer=chosen.api_jwt_issuer,
                audience=chosen.api_jwt_audience,
            ),
        )
        self.limiter = RateLimiter(self.redis)
        self.bulk = Bulk(chosen.api_replica_url or chosen.api_database_url or database_url())
        self.engine = Engine(
            schema(),
            self.services,
            PersistedQueries(self.database, self.redis, production=chosen.api_production),
            self.audit,
            self.telemetry,
            production=chosen.api_production,
        )

    @contextlib.asynccontextmanager
    async def running(self, _: Starlette) -> AsyncIterator[None]:
        """Connect, run what runs beside the requests, and write down what waits at the end."""
        tracing.start("telestream-api")
        await self.database.open()
        self.hub.start()
        tasks = [
            asyncio.create_task(background.for_ever(run)) for run in (self.cache.run, self.audit.run, self._note_used)
        ]
        try:
            yield
        finally:
            await self.hub.stop()
            await background.end(tasks)
            try:
                await self.audit.flush()
            except Exception:
                _log.error("%s rows of the access log are lost: the database does not answer", self.audit.waiting)
            await self.database.close()
            await self.redis.close()
            await asyncio.to_thread(tracing.stop)

    async def _note_used(self) -> None:
        while True:
            await asyncio.sleep(_NOTE_SECONDS)
            with contextlib.suppress(Problem):
                await self.authenticator.note_used()

    async def healthz(self, _: Request) -> Response:
        """Say that the process lives."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, _: Request) -> Response:
        """Say whether requests can be answered: database there and not older; the cache may be away."""
        found: dict[str, str] = {}
        try:
            rows = await self.database.own(sql.SQL("SELECT version_num FROM public.alembic_version"), scalar_row)
            found["database"] = "ok" if rows and migrate.serves(rows[0]) else "at an older revision"
            if self.database.has_replica:
                await self.database.own_of_replica(sql.SQL("SELECT true"), scalar_row)
                found["replica"] = "ok"
        except Problem as exc:
            found["replica" if "database" in found else "database"] = str(exc)
        found["cache"] = "ok" if await self.redis.ping() else "away: answers are not cached, nothing is live"
        ready = found["database"] == found.get("replica", "ok") == "ok"
        return JSONResponse({"status": "ok" if ready else "not ready", **found}, 200 if ready else 503)

    async def metrics(self, _: Request) -> Response:
        """Return the metrics."""
        self.telemetry.statements.set(self.database.statements)
        self.telemetry.audit_waiting.set(self.audit.waiting)
        self.telemetry.redis_up.set(self.redis.available)
        return Response(self.telemetry.text(), media_type=CONTENT_TYPE_LATEST)


def create_app() -> Starlette:
    """Return the service as an ASGI application, made from the settings."""
    service = Service()
    gate = Gate(service.authenticator, service.limiter)
    http = GraphQLEndpoint(service.engine, gate, service.telemetry)
    subscriptions = SubscriptionEndpoint(service.engine, service.authenticator, gate, service.telemetry)
    pages = Pages()
    # It lives on introspection, which production mode refuses.
    explorer = not settings().api_production

    exports = ExportEndpoint(service.engine, gate, service.bulk, service.services.zone, service.telemetry)

    async def export(request: Request) -> Response:
        return await exports(request)

    async def graphql(request: Request) -> Response:
        if explorer and wants_explorer(request):
            return pages.explorer(request)
        return await http(request)

    async def live(socket: WebSocket) -> None:
        await subscriptions(socket)

    origins = [one.strip() for one in settings().api_cors_origins.split(",") if one.strip()]
    middleware = [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-Id"],
            expose_headers=["ETag", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "X-Request-Id"],
        )
    ]
    app = Starlette(
        routes=[
            Route("/graphql", graphql, methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
            WebSocketRoute("/graphql", live),
            Route("/export/{series}", export),
            *pages.routes(),
            Route("/healthz", service.healthz),
            Route("/readyz", service.readyz),
            Route("/metrics", service.metrics),
        ],
        middleware=middleware if origins else [],
        lifespan=service.running,
    )
    app.state.service = service
    return app
