"""Series in bulk: a row per bucket and key, as CSV, Arrow or Parquet, streamed from the database in Arrow batches."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Send
from starlette.types import Scope as ConnectionScope

from telestream.graphql import arguments, selections, series
from telestream.graphql.bulk import FORMATS, Bulk
from telestream.graphql.engine import Engine
from telestream.graphql.gate import Gate
from telestream.graphql.http import JSON, request_id_of
from telestream.graphql.measures import RADIO, REVENUE, TRAFFIC, VOICE
from telestream.graphql.principal import Scope
from telestream.graphql.problems import ArgumentProblem, ForbiddenProblem, OverloadedProblem, Problem
from telestream.graphql.reading import Statement
from telestream.graphql.selections import Selection
from telestream.graphql.telemetry import Telemetry

# Exports at once in a process: each has a connection and a thread.
MOST_EXPORTS = 4
_GRAINS = {"FIVE_MINUTES": series.FIVE_MINUTES, "HOUR": series.HOUR, "DAY": series.DAY}
_COMMON = {"from", "to", "grain", "timeZone", "by", "format"}

_log = logging.getLogger("telestream.graphql.access")


class ExportEndpoint:
    """The endpoint `/export/{series}`; for one event loop."""

    def __init__(self, engine: Engine, gate: Gate, bulk: Bulk, zone: ZoneInfo, telemetry: Telemetry) -> None:
        """Use the parts of the service.

        Args:
            engine: words the refusals.
            gate: who may come in.
            bulk: reads from the database.
            zone: the operator's time zone.
            telemetry: counts the requests.
        """
        self._engine = engine
        self._gate = gate
        self._bulk = bulk
        self._zone = zone
        self._telemetry = telemetry
        self._running = 0

    async def __call__(self, request: Request) -> Response:
        """Answer a request: the stream, or a refusal as GraphQL words it."""
        started = time.perf_counter()
        request_id = request_id_of(request.headers)
        headers = {"X-Request-Id": request_id, "Cache-Control": "no-store"}
        who = ""
        try:
            principal = await self._gate.principal(request)
            who = principal.name
            headers |= (await self._gate.count(principal)).headers
            wanted = parse(request.path_params["series"], request.query_params, self._zone)
            if wanted.scope not in principal.scopes:
                raise ForbiddenProblem(
                    f"the scope {wanted.scope} is needed for this export",
                    hint="Ask for a key with this scope.",
                    scope=str(wanted.scope),
                )
            if self._running >= MOST_EXPORTS:
                raise OverloadedProblem(f"{MOST_EXPORTS} exports are running, more are not begun")
            self._running += 1
            try:
                statement = wanted.statement(self._zone)
                chunks = self._bulk.read(principal, statement, wanted.format, wanted.units)
                # What can be refused is refused with the first rows; later there is nothing but to break off.
                first = await run_in_threadpool(next, chunks)
            except BaseException:
                self._running -= 1
                raise
        except Exception as exc:
            answer = (
                self._engine.refusal(exc, request_id) if isinstance(exc, Problem) else self._engine.failure(request_id)
            )
            self._log(request_id, who, answer.code, answer.status, 0, started)
            return Response(answer.body, answer.status, headers | answer.headers, media_type=f"{JSON}; charset=utf-8")
        media, ending = FORMATS[wanted.format]
        headers["Content-Disposition"] = f'attachment; filename="{request.path_params["series"]}.{ending}"'

        sent, code = 0, "BROKEN_OFF"

        async def body() -> AsyncIterator[bytes]:
            nonlocal sent, code
            sent = len(first)
            yield first
            async for chunk in iterate_in_threadpool(chunks):
                sent += len(chunk)
                yield chunk
            code = "ok"

        async def ended() -> None:
            self._running -= 1
            await asyncio.shield(run_in_threadpool(chunks.close))
            self._log(request_id, who, code, 200, sent, started)

        return _Download(body(), ended, headers=headers, media_type=media)

    def _log(self, request_id: str, who: str, code: str, status: int, sent: int, started: float) -> None:
        self._telemetry.requests.labels(code).inc()
        fields = {
            "request_id": request_id, "principal": who, "operation": "export", "code": code, "status": int(status),
            "bytes": sent, "ms": round((time.perf_counter() - started) * 1000, 2),
        }  # fmt: skip
        _log.info("export", extra={"fields": fields})


class _Download(StreamingResponse):
    """A stream that says when it has ended, also where the client went away before its first piece."""

    def __init__(self, content: AsyncIterator[bytes], ended: Callable[[], Awaitable[None]], **options: Any) -> None:
        super().__init__(content, **options)
        self._ended = ended

    async def __call__(self, scope: ConnectionScope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._ended()


@dataclass(frozen=True)
class Export:
    """What is asked for."""

    scope: Scope
    selection: Selection
    grid: series.Grid
    format: str

    def statement(self, operator_zone: ZoneInfo) -> Statement:
        """Return the statement for its rows."""
        chosen = self.selection
        return series.rows_statement(chosen.parts, chosen.names, self.grid, operator_zone, chosen.key)

    @property
    def units(self) -> dict[str, str]:
        """The unit of each measure."""
        return {name: part.family.measures[name].unit for part in self.selection.parts for name in part.names}


def parse(name: str, given: QueryParams, zone: ZoneInfo) -> Export:
    """Return the export that a URL asks for.

    Args:
        name: the series: network-performance, traffic or revenue.
        given: the parameters, named as the arguments of the field in the schema, and `format`.
        zone: the operator's time zone.

    Raises:
        ArgumentProblem: a parameter is missing, unknown or cannot be used.
    """
    kind = _SERIES.get(name)
    if kind is None:
        raise ArgumentProblem("series", f"there is no {name[:50]!r}", allowed=list(_SERIES))
    known = _COMMON | kind.parameters
    for parameter in given:
        if parameter not in known:
            raise ArgumentProblem(parameter[:50], "there is no such parameter", allowed=sorted(known))
    by = _choice(given, "by", list(kind.keys))
    selection = kind.select(given, by)
    start, end = arguments.time_range(_time(given, "from"), _time(given, "to"), series.LONGEST)
    grain = _choice(given, "grain", [one for one in _GRAINS if _GRAINS[one] in kind.grains])
    width = _GRAINS[grain] if grain else series.automatic_grain(start, end)
    if width not in kind.grains:
        width = series.DAY
    wanted_zone = arguments.zone(given["timeZone"]) if given.get("timeZone") else zone
    wanted = series.grid(start, end, width, wanted_zone, float("inf"))
    return Export(kind.scope, selection, wanted, _choice(given, "format", list(FORMATS)) or "csv")


def _network_performance(given: QueryParams, by: str | None) -> Selection:
    kpis = _choices(given, "kpis", [*RADIO.measures, *VOICE.measures])
    return selections.network_performance(kpis, _list(given, "cells"), given.get("region"), given.get("technology"), by)


def _traffic(given: QueryParams, by: str | None) -> Selection:
    measures = _choices(given, "measures", list(TRAFFIC.measures))
    return selections.traffic(measures, _list(given, "cells"), given.get("region"), given.get("recordType"), by)


def _revenue(given: QueryParams, by: str | None) -> Selection:
    return selections.revenue(given.get("region"), given.get("plan"), by)


@dataclass(frozen=True)
class _Kind:
    scope: Scope
    select: Callable[[QueryParams, str | None], Selection]
    parameters: set[str]
    keys: tuple[str, ...]
    grains: tuple[str, ...] = (series.FIVE_MINUTES, series.HOUR, series.DAY)


_SERIES = {
    "network-performance": _Kind(
        Scope.NETWORK, _network_performance, {"kpis", "cells", "region", "technology"}, tuple(RADIO.keys)
    ),
    "traffic": _Kind(Scope.NETWORK, _traffic, {"measures", "cells", "region", "recordType"}, tuple(TRAFFIC.keys)),
    "revenue": _Kind(Scope.REVENUE, _revenue, {"region", "plan"}, tuple(REVENUE.keys), (series.DAY,)),
}


def _list(given: QueryParams, name: str) -> list[str] | None:
    """Return the values of a parameter that is repeated or has commas."""
    values = [one.strip() for text in given.getlist(name) for one in text.split(",")]
    return [one for one in values if one] if values else None


def _choices(given: QueryParams, name: str, allowed: list[str]) -> list[str]:
    values = _list(given, name) or []
    unknown = next((one for one in values if one not in allowed), None)
    if unknown is not None or not values:
        text = f"there is no {unknown[:50]!r}" if unknown is not None else "it is missing"
        raise ArgumentProblem(name, text, allowed=allowed)
    return values


def _choice(given: QueryParams, name: str, allowed: list[str]) -> str | None:
    value = given.get(name)
    if value is not None and value not in allowed:
        raise ArgumentProblem(name, f"there is no {value[:50]!r}", allowed=allowed)
    return value


def _time(given: QueryParams, name: str) -> datetime:
    value = given.get(name)
    allowed = ["2026-03-01T00:00:00Z", "2026-03-01T00:00:00%2B01:00"]
    if value is None:
        raise ArgumentProblem(name, "it is missing", allowed=allowed)
    try:
        return datetime.fromisoformat(value)
    except ValueError as exc:
        raise ArgumentProblem(
            name, "it is no time in ISO 8601", allowed=allowed, hint="In a URL, + has to be written as %2B."
        ) from exc
