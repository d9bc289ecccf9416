"""The housekeeping is scheduled inside the database where it can be, and said where it cannot."""

from __future__ import annotations

import os

import psycopg
import pytest

from telestream.db import migrate
from telestream.db.schedule import schedule
from telestream.stack.database import prepare_database


def test_without_pg_cron_it_says_what_to_call(connection: psycopg.Connection) -> None:
    assert "rollup.refresh_pending()" in schedule(connection)


def test_pg_cron_gets_each_job_once(request: pytest.FixtureRequest) -> None:
    if os.environ.get("TELESTREAM_TEST_DATABASE_URL"):
        pytest.skip("pg_cron lives in one database of a server, and that one is not ours")
    stack = request.getfixturevalue("stack")
    url = stack.database_url
    # The group roles belong to the server, and another database of it may have made them.
    prepare_database(stack.superuser_url, "telestream", "telestream_admin")
    migrate.upgrade(url)
    with psycopg.connect(url, autocommit=True) as connection:
        assert schedule(connection) == "pg_cron"
        schedule(connection)
        jobs = connection.execute("SELECT jobname, command FROM cron.job ORDER BY jobname").fetchall()
        assert [name for name, _ in jobs] == [
            "telestream analytics", "telestream maintain", "telestream prune", "telestream refresh", "telestream rekey", "telestream retention",
            "telestream seal",
        ]  # fmt: skip
        for name, command in jobs:
            connection.execute(command)
            connection.execute("SELECT cron.unschedule(%s)", (name,))
