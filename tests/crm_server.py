"""A CRM for tests: bearer token, updated_since, cursors, answers that fail when told to."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from quiet_server import QuietHandler, QuietServer, serving

TOKEN = "crm-test-token"


class CrmServer(QuietServer):
    """Lists its customers by the time of their update, in pages."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.customers: list[dict[str, Any]] = []
        self.asked: list[dict[str, str]] = []
        """Parameters of the requests that were answered with a page."""
        self.failures: list[tuple[int, dict[str, str]] | bytes | None] = []
        """What the next requests get instead: status and headers, a body, or a page where it says None."""
        self.stall_after: int | None = None
        """Pages after which a request hangs until `released`."""
        self.generation = 1
        """Cursors of another generation are not known."""

    @property
    def url(self) -> str:
        return f"{super().url}/api/customers"


class _Handler(QuietHandler):
    server: CrmServer

    def do_GET(self) -> None:
        server = self.server
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, b'{"error": "unauthorized"}')
            return
        failure = server.failures.pop(0) if server.failures else None
        if isinstance(failure, bytes):
            self.answer(200, failure)
            return
        if failure is not None:
            self.answer(failure[0], b'{"error": "injected"}', failure[1])
            return
        if server.stall_after is not None and len(server.asked) >= server.stall_after:
            server.released.wait(30)
            self.close_connection = True
            return
        fields = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        generation, _, start = fields.get("cursor", f"{server.generation}-0").partition("-")
        if int(generation) != server.generation:
            self.answer(410, b'{"error": "cursor expired"}')
            return
        rows = server.customers
        if "updated_since" in fields:
            since = datetime.fromisoformat(fields["updated_since"])
            rows = [row for row in rows if datetime.fromisoformat(row["updated_at"]) >= since]
        rows = sorted(rows, key=lambda row: str(row["updated_at"]))
        end = int(start) + int(fields["limit"])
        cursor = f"{server.generation}-{end}" if end < len(rows) else None
        server.asked.append(fields)
        self.answer(200, json.dumps({"customers": rows[int(start) : end], "next_cursor": cursor}).encode())


def crm_server() -> AbstractContextManager[CrmServer]:
    """Serve until the block ends."""
    return serving(CrmServer())
