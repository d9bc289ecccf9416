"""A server for tests: takes posted JSON at one path, and fails as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class JsonServer(ThreadingHTTPServer):
    """Keeps what it has taken.

    Args:
        port: to listen on; 0 is any.
        path: where it takes what is posted.
        authorization: header it wants to see; None: any.

    Attributes:
        taken: bodies that were answered with 201, in order.
        answer: status and headers for a body; None hangs until `released`.
    """

    daemon_threads = True

    def __init__(self, port: int, path: str, authorization: str | None = None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.path = path
        self.authorization = authorization
        self.taken: list[dict[str, Any]] = []
        self.requests = 0
        self.answer: Callable[[dict[str, Any]], tuple[int, dict[str, str]] | None] = lambda _: (201, {})
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: JsonServer

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""

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
        self.send_response(status)
        text = b"" if status == 201 else b"told to fail"
        for name, value in {"Content-Length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)


@contextmanager
def json_server(port: int = 0, path: str = "/", authorization: str | None = None) -> Iterator[JsonServer]:
    """Serve until the block ends."""
    with JsonServer(port, path, authorization) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join(10)
