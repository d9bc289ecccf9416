"""A lineage server for tests: takes events as Marquez does, and fails as it is told."""

from __future__ import annotations

from contextlib import AbstractContextManager

from json_server import JsonServer, json_server

KEY = "lineage-test-key"


def lineage_server(port: int = 0) -> AbstractContextManager[JsonServer]:
    """Serve until the block ends."""
    return json_server(port, "/api/v1/lineage", f"Bearer {KEY}")
