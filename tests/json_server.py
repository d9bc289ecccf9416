"""A server for tests: takes posted JSON at one path, and fails as it is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from quiet_server import QuietHandler, QuietServer, serving


class JsonServer(QuietServer):
    """Keeps what it has taken.

    Args:
        port: to listen on; 0 is any.
        path: where it takes what is posted.
        authorization: header it wants to see; None: any.

    Attributes:
        taken: bodies that were answered with 201, in order.
        answer: status and headers for a body; None hangs until `released`.
    """

    def __init__(self, port: int, path: str, authorization: str | None = None) -> None:
        super().__init__(_Handler, port)
        self.path = path
        self.authorization = authorization
        self.taken: list[dict[str, Any]] = []
        self.requests = 0
        self.answer: Callable[[dict[str, Any]], tuple[int, dict[str, str]] | None] = lambda _: (201, {})


class _Handler(QuietHandler):
    server: JsonServer

    def do_POST(self) -> None:
        server = self.server
        server.requests += 1
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != server.path:
            status, headers = 404, dict[str, str]()
        elif server.authorization is not None and self.headers.get("Authorization") != server.authorization:
            status, headers = 401, {}
        else:
            answer = server.answer(body)
            if answer is None:
                server.released.wait(60)
                self.close_connection = True
                return
            status, headers = answer
        if status == 201:
            server.taken.append(body)
        self.answer(status, b"" if status == 201 else b"told to fail", headers)


def json_server(port: int = 0, path: str = "/", authorization: str | None = None) -> AbstractContextManager[JsonServer]:
    """Serve until the block ends."""
    return serving(JsonServer(port, path, authorization))
