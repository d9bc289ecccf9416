"""A database for a benchmark: made on the embedded server, migrated, dropped afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from telestream.stack.database import prepare_database
from telestream.stack.state import ADMIN_ROLE, StackState


@contextmanager
def scratch_database(state: StackState, name: str) -> Iterator[tuple[str, str]]:
    """Give an empty database, without tables; yields the URL of its owner and of the superuser."""
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    with psycopg.connect(state.superuser_url, autocommit=True) as server:
        server.execute(drop)
        prepare_database(state.superuser_url, name, ADMIN_ROLE)
        try:
            yield _renamed(state.database_url, name), _renamed(state.superuser_url, name)
        finally:
            server.execute(drop)


def _renamed(url: str, database: str) -> str:
    return url.rsplit("/", 1)[0] + f"/{database}"
