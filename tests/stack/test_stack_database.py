"""A prepared database has what the schema needs, and its owner may use it without being superuser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from telestream.errors import DatabaseUnavailableError
from telestream.stack.database import create_admin_role, prepare_database
from telestream.stack.state import StackState

OWNER = "stack_test_owner"
DATABASE = f"stack_test_{os.getpid()}"


@pytest.fixture(scope="module")
def owner_url(superuser_url: str) -> Iterator[str]:
    create_admin_role(superuser_url, OWNER, "first")
    create_admin_role(superuser_url, OWNER, "secret")
    for _ in range(2):
        prepare_database(superuser_url, DATABASE, OWNER)
    address = urlsplit(superuser_url)
    yield f"postgresql://{OWNER}:secret@{address.hostname}:{address.port or 5432}/{DATABASE}"
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(DATABASE)))
        connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(OWNER)))
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(OWNER)))


def test_extensions_are_there_but_pg_cron_is_not(owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        found = connection.execute("SELECT extname, extnamespace::regnamespace::text FROM pg_extension")
        extensions = dict(found.fetchall())
    assert {"timescaledb", "vector", "pgcrypto", "pg_stat_statements", "cube", "earthdistance"} <= set(extensions)
    assert extensions["pg_partman"] == "partman"
    assert "pg_cron" not in extensions


def test_owner_makes_hypertables_and_partitions(owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute("CREATE SCHEMA s")
        connection.execute("CREATE TABLE s.fact (at timestamptz NOT NULL)")
        connection.execute("SELECT create_hypertable('s.fact', by_range('at'))")
        connection.execute("CREATE TABLE s.raw (batch_id int8 NOT NULL) PARTITION BY RANGE (batch_id)")
        connection.execute("SELECT partman.create_parent('s.raw', 'batch_id', '10')")
        connection.execute("SELECT partman.run_maintenance()")
        row = connection.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = 's.raw'::regclass")
        assert row.fetchone() != (0,)
        connection.rollback()


def test_owner_may_act_as_the_roles_it_creates(owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute("CREATE ROLE stack_test_reader")
        connection.execute("CREATE SCHEMA s AUTHORIZATION stack_test_reader")
        connection.execute("SET ROLE stack_test_reader")
        connection.execute("CREATE TABLE s.own (id int)")
        connection.rollback()


def test_pg_cron_schedules_for_the_owner_of_the_main_database(stack: StackState) -> None:
    with psycopg.connect(stack.database_url) as connection:
        job = connection.execute("SELECT cron.schedule('probe', '* * * * *', 'SELECT 1')").fetchone()
        assert job is not None
        connection.execute("DELETE FROM cron.job_run_details")
        assert connection.execute("SELECT count(*) FROM cron.job_run_details").fetchone() == (0,)
        connection.rollback()


def test_server_that_does_not_answer_is_a_transient_error() -> None:
    with pytest.raises(DatabaseUnavailableError) as raised:
        prepare_database("postgresql://postgres@127.0.0.1:1/postgres", "x", "y")
    assert raised.value.transient
