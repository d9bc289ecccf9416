"""A CRM for tests: bearer token, updated_since, cursors, answers that fail when told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "crm-test-token"


class CrmServer(ThreadingHTTPServer):
    """Lists its customers by the time of their update, in pages."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.customers: list[dict[str, Any]] = []
        self.asked: list[dict[str, str]] = []
        """Parameters of the requests that were answered with a page."""
        self.failures: list[tuple[int, dict[str, str]] | bytes | None] = []
        """What the next requests get instead: status and headers, a body, or a page where it says None."""
        self.stall_after: int | None = None
        """Pages after which a request hangs until `released`."""
        self.released = threading.Event()
        self.generation = 1
        """Cursors of another generation are not known."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/api/customers"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: CrmServer

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        server = self.server
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, b'{"error": "unauthorized"}')
            return
        failure = server.failures.pop(0) if server.failures else None
        if isinstance(failure, bytes):
            self._answer(200, failure)
            return
        if failure is not None:
            self._answer(failure[0], b'{"error": "injected"}', failure[1])
            return
        if server.stall_after is not None and len(server.asked) >= server.stall_after:
            server.released.wait(30)
            self.close_connection = True
            return
        fields = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        generation, _, start = fields.get("cursor", f"{server.generation}-0").partition("-")
        if int(generation) != server.generation:
            self._answer(410, b'{"error": "cursor expired"}')
            return
        rows = server.customers
        if "updated_since" in fields:
            since = datetime.fromisoformat(fields["updated_since"])
            rows = [row for row in rows if datetime.fromisoformat(row["updated_at"]) >= since]
        rows = sorted(rows, key=lambda row: str(row["updated_at"]))
        end = int(start) + int(fields["limit"])
        cursor = f"{server.generation}-{end}" if end < len(rows) else None
        server.asked.append(fields)
        self._answer(200, json.dumps({"customers": rows[int(start) : end], "next_cursor": cursor}).encode())

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def crm_server() -> Iterator[CrmServer]:
    """Serve until the block ends."""
    with CrmServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join(10)
