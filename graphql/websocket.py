"""Subscriptions over a WebSocket in the protocol graphql-transport-ws."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import uuid
from typing import Any

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from telestream.graphql.authenticate import Authenticator
from telestream.graphql.documents import InvalidDocumentError
from telestream.graphql.engine import Engine
from telestream.graphql.http import parse_request
from telestream.graphql.principal import Principal
from telestream.graphql.problems import InternalProblem, OverloadedProblem, Problem, ValidationProblem, formatted
from telestream.graphql.rate import RateLimiter
from telestream.graphql.telemetry import Telemetry

PROTOCOL = "graphql-transport-ws"
MAX_SOCKETS = 2_000
MAX_OPERATIONS = 20
_INIT_SECONDS = 10.0
# How often a caller is looked at again: a key that was revoked, a token that has expired.
_CHECK_SECONDS = 15.0

_log = logging.getLogger(__name__)


class SubscriptionEndpoint:
    """The endpoint for WebSockets."""

    def __init__(
        self, engine: Engine, authenticator: Authenticator, limiter: RateLimiter, telemetry: Telemetry
    ) -> None:
        self._engine = engine
        self._authenticator = authenticator
        self._limiter = limiter
        self._telemetry = telemetry
        self._sockets = 0

    async def __call__(self, socket: WebSocket) -> None:
        """Serve a connection to its end."""
        if PROTOCOL not in socket.scope.get("subprotocols", []):
            await socket.accept()
            await socket.close(4406, "Subprotocol not acceptable")
            return
        await socket.accept(PROTOCOL)
        if self._sockets >= MAX_SOCKETS:
            await socket.close(1013, "Try again later")
            return
        self._sockets += 1
        self._telemetry.sockets.set(self._sockets)
        try:
            await _Connection(socket, self._engine, self._authenticator, self._limiter, self._telemetry).serve()
        finally:
            self._sockets -= 1
            self._telemetry.sockets.set(self._sockets)


class _ClosedError(Exception):
    """The connection ends with a code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _Connection:
    def __init__(
        self,
        socket: WebSocket,
        engine: Engine,
        authenticator: Authenticator,
        limiter: RateLimiter,
        telemetry: Telemetry,
    ) -> None:
        self._socket = socket
        self._engine = engine
        self._authenticator = authenticator
        self._limiter = limiter
        self._telemetry = telemetry
        self._credential = ""
        self._principal: Principal | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        # Frames of one connection must not mix.
        self._lock = asyncio.Lock()

    async def serve(self) -> None:
        """Serve until either side ends it."""
        watcher: asyncio.Task[None] | None = None
        try:
            await self._initialise()
            watcher = asyncio.create_task(self._watch())
            while True:
                await self._take(await self._receive())
        except WebSocketDisconnect:
            pass
        except _ClosedError as exc:
            await self._close(exc.code, exc.reason)
        finally:
            tasks = [*self._tasks.values(), *([watcher] if watcher else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _initialise(self) -> None:
        try:
            async with asyncio.timeout(_INIT_SECONDS):
                message = await self._receive()
                while message["type"] == "ping":
                    await self._send({"type": "pong"})
                    message = await self._receive()
        except TimeoutError:
            raise _ClosedError(4408, "Connection initialisation timeout") from None
        if message["type"] != "connection_init":
            raise _ClosedError(4401, "Unauthorized")
        self._credential = _credential(message.get("payload"), self._socket)
        try:
            self._principal = await self._authenticator.of_credential(self._credential)
        except Problem as exc:
            raise _ClosedError(4403, f"Forbidden: {exc.code}") from exc
        await self._send({"type": "connection_ack"})

    async def _watch(self) -> None:
        """End the connection when its caller is no longer good."""
        while self._principal is not None:
            await asyncio.sleep(min(_CHECK_SECONDS, max(0.0, self._principal.expires - time.time())))
            try:
                self._principal = await self._authenticator.of_credential(self._credential)
            except Problem as exc:
                if exc.status >= 500:
                    continue  # the database is away; what was allowed goes on meanwhile
                await self._close(4403, f"Forbidden: {exc.code}")
                return

    async def _take(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "ping":
                await self._send({"type": "pong"})
            case "pong":
                pass
            case "subscribe":
                self._subscribe(message)
            case "complete":
                task = self._tasks.pop(str(message.get("id")), None)
                if task is not None:
                    task.cancel()
            case "connection_init":
                raise _ClosedError(4429, "Too many initialisation requests")
            case _:
                raise _ClosedError(4400, "Invalid message")

    def _subscribe(self, message: dict[str, Any]) -> None:
        operation_id = message.get("id")
        if not isinstance(operation_id, str) or not operation_id or not isinstance(message.get("payload"), dict):
            raise _ClosedError(4400, "Invalid message")
        if operation_id in self._tasks:
            raise _ClosedError(4409, f"Subscriber for {operation_id} already exists")
        task = asyncio.create_task(self._run(operation_id, message["payload"]))
        self._tasks[operation_id] = task

    async def _run(self, operation_id: str, payload: dict[str, Any]) -> None:
        request_id = uuid.uuid4().hex
        self._telemetry.subscriptions.inc()
        try:
            await self._operate(operation_id, payload, request_id)
        except asyncio.CancelledError:
            raise
        except InvalidDocumentError as exc:
            errors = [formatted(error, request_id, ValidationProblem) for error in exc.errors]
            await self._error(operation_id, errors)
        except Problem as exc:
            await self._error(operation_id, [formatted(exc, request_id, ValidationProblem)])
        except (WebSocketDisconnect, RuntimeError):
            pass  # the other side is gone; the reader of the connection notices too
        except Exception:
            _log.exception("subscription %s failed", request_id)
            problem = InternalProblem("the service failed", hint=f"Report the request id {request_id}.")
            await self._error(operation_id, [formatted(problem, request_id, ValidationProblem)])
        finally:
            self._telemetry.subscriptions.dec()
            if self._tasks.get(operation_id) is asyncio.current_task():
                del self._tasks[operation_id]

    async def _operate(self, operation_id: str, payload: dict[str, Any], request_id: str) -> None:
        assert self._principal is not None  # set before the first message is taken
        if len(self._tasks) > MAX_OPERATIONS:
            raise OverloadedProblem(f"a connection has {MAX_OPERATIONS} operations at most")
        verdict = await self._limiter.count(self._principal.name, self._principal.rate)
        if not verdict.allowed:
            from telestream.graphql.problems import RateProblem

            raise RateProblem(f"more than {verdict.limit} requests a minute", hint=f"Wait {verdict.reset} seconds.")
        request = parse_request(payload)
        async with contextlib.aclosing(self._engine.events(request, self._principal, request_id)) as events:
            async for event in events:
                text = event if isinstance(event, str) else json.dumps(event)
                await self._send_text(f'{{"id":{json.dumps(operation_id)},"type":"next","payload":{text}}}')
        await self._send({"id": operation_id, "type": "complete"})

    async def _error(self, operation_id: str, errors: list[dict[str, Any]]) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await self._send({"id": operation_id, "type": "error", "payload": errors})

    async def _receive(self) -> dict[str, Any]:
        try:
            text = await self._socket.receive_text()
            message = orjson.loads(text)
        except (ValueError, KeyError):
            raise _ClosedError(4400, "Invalid message") from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise _ClosedError(4400, "Invalid message")
        return message

    async def _send(self, message: dict[str, Any]) -> None:
        await self._send_text(json.dumps(message, separators=(",", ":")))

    async def _send_text(self, text: str) -> None:
        async with self._lock:
            await self._socket.send_text(text)

    async def _close(self, code: int, reason: str) -> None:
        if self._socket.application_state is WebSocketState.CONNECTED:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self._socket.close(code, reason[:120])


def _credential(payload: Any, socket: WebSocket) -> str:
    """Return the key or token of a connection: from its first message, or from its headers."""
    given = payload if isinstance(payload, dict) else {}
    for name, value in given.items():
        if isinstance(value, str) and name.lower() == "authorization":
            return value.partition(" ")[2].strip() if value.lower().startswith("bearer ") else value.strip()
        if isinstance(value, str) and name.lower() in {"x-api-key", "apikey"}:
            return value.strip()
    scheme, _, credential = socket.headers.get("authorization", "").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else socket.headers.get("x-api-key", "").strip()
