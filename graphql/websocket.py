"""Subscriptions over a WebSocket in the protocol graphql-transport-ws."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from telestream.graphql import background
from telestream.graphql.authenticate import Authenticator, credential_of
from telestream.graphql.documents import InvalidDocumentError
from telestream.graphql.engine import Engine
from telestream.graphql.gate import Gate
from telestream.graphql.http import parse_request, read_json
from telestream.graphql.principal import Principal
from telestream.graphql.problems import (
    BadRequestProblem,
    InternalProblem,
    OverloadedProblem,
    Problem,
    ValidationProblem,
    formatted,
)
from telestream.graphql.telemetry import Telemetry

PROTOCOL = "graphql-transport-ws"
MAX_SOCKETS = 2_000
# Of one caller: whoever else comes still finds a place.
MAX_SOCKETS_OF_ONE = 1_000
MAX_OPERATIONS = 20
_INIT_SECONDS = 10.0
# How often a caller is looked at again: a key that was revoked, a token that has expired.
_CHECK_SECONDS = 15.0

_log = logging.getLogger(__name__)


class SubscriptionEndpoint:
    """The endpoint for WebSockets."""

    def __init__(self, engine: Engine, authenticator: Authenticator, gate: Gate, telemetry: Telemetry) -> None:
        self._engine = engine
        self._authenticator = authenticator
        self._gate = gate
        self._telemetry = telemetry
        self._connections: dict[_Connection, None] = {}

    async def __call__(self, socket: WebSocket) -> None:
        """Serve a connection to its end."""
        if PROTOCOL not in socket.scope.get("subprotocols", []):
            await socket.accept()
            await socket.close(4406, "Subprotocol not acceptable")
            return
        await socket.accept(PROTOCOL)
        if len(self._connections) >= MAX_SOCKETS:
            # Who has not said who they are makes room: nobody takes all sockets without a key.
            idle = next((one for one in self._connections if one.is_unknown), None)
            if idle is None:
                await socket.close(1013, "Try again later")
                return
            del self._connections[idle]
            await idle.close(4408, "Connection initialisation timeout")
        connection = _Connection(socket, self._engine, self._authenticator, self._gate, self._telemetry, self._has_room)
        self._connections[connection] = None
        self._telemetry.sockets.set(len(self._connections))
        try:
            await connection.serve()
        finally:
            self._connections.pop(connection, None)
            self._telemetry.sockets.set(len(self._connections))

    def _has_room(self, principal: Principal) -> bool:
        return sum(one.caller == principal.name for one in self._connections) < MAX_SOCKETS_OF_ONE


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
        gate: Gate,
        telemetry: Telemetry,
        has_room: Callable[[Principal], bool],
    ) -> None:
        self._socket = socket
        self._engine = engine
        self._authenticator = authenticator
        self._gate = gate
        self._telemetry = telemetry
        self._has_room = has_room
        self._credential = ""
        self._principal: Principal | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        # Operations that the client has ended, with what ends them.
        self._ending: dict[asyncio.Task[None], asyncio.Task[None]] = {}
        # Frames of one connection must not mix.
        self._lock = asyncio.Lock()

    @property
    def is_unknown(self) -> bool:
        """Whether it has not said who it is."""
        return self._principal is None

    @property
    def caller(self) -> str:
        """Who it is, empty while that is not known."""
        return self._principal.name if self._principal else ""

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
            await self.close(exc.code, exc.reason)
        finally:
            await background.end({*self._tasks.values(), *self._ending, *([watcher] if watcher else [])})

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
            principal = await self._gate.of_credential(self._credential, self._socket)
        except Problem as exc:
            raise _ClosedError(4403, f"Forbidden: {exc.code}") from exc
        if not self._has_room(principal):
            raise _ClosedError(1013, f"{MAX_SOCKETS_OF_ONE} connections of one caller are open")
        self._principal = principal
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
                await self.close(4403, f"Forbidden: {exc.code}")
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
                    self._ending[task] = asyncio.create_task(background.end([task]))
                    task.add_done_callback(self._ending.pop)
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
        except WebSocketDisconnect:
            pass  # the other side is gone; the reader of the connection notices too
        except Exception:
            _log.exception("subscription %s failed", request_id)
            problem = InternalProblem.masked(request_id)
            await self._error(operation_id, [formatted(problem, request_id, ValidationProblem)])
        finally:
            self._telemetry.subscriptions.dec()
            if self._tasks.get(operation_id) is asyncio.current_task():
                del self._tasks[operation_id]

    async def _operate(self, operation_id: str, payload: dict[str, Any], request_id: str) -> None:
        assert self._principal is not None  # set before the first message is taken
        if len(self._tasks) > MAX_OPERATIONS:
            raise OverloadedProblem(f"a connection has {MAX_OPERATIONS} operations at most")
        await self._gate.count(self._principal)
        request = parse_request(payload)
        async with contextlib.aclosing(self._engine.events(request, self._principal, request_id)) as events:
            async for event in events:
                text = event if isinstance(event, str) else json.dumps(event)
                await self._send_text(f'{{"id":{json.dumps(operation_id)},"type":"next","payload":{text}}}')
        await self._send({"id": operation_id, "type": "complete"})

    async def _error(self, operation_id: str, errors: list[dict[str, Any]]) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            await self._send({"id": operation_id, "type": "error", "payload": errors})

    async def _receive(self) -> dict[str, Any]:
        try:
            message = read_json(await self._socket.receive_text(), "message")
        except RuntimeError:  # Starlette's, after a frame could not be sent
            raise WebSocketDisconnect(1006) from None
        except (BadRequestProblem, KeyError):
            raise _ClosedError(4400, "Invalid message") from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise _ClosedError(4400, "Invalid message")
        return message

    async def _send(self, message: dict[str, Any]) -> None:
        await self._send_text(json.dumps(message, separators=(",", ":")))

    async def _send_text(self, text: str) -> None:
        async with self._lock:
            try:
                await self._socket.send_text(text)
            except RuntimeError:
                raise WebSocketDisconnect(1006) from None

    async def close(self, code: int, reason: str) -> None:
        """End the connection."""
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
    return credential_of(socket.headers)
