"""What people read in SQL of their own is noted by pgaudit in the server's log, where they cannot reach it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest
from fix_db import url_of
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from stack_cli import skip_if_server_given
from staging import cdr, refine

from telestream.db.users import add_user
from telestream.stack.state import StackPaths

USER = f"test_reader_{os.getpid()}"


@pytest.fixture(params=["analyst", "engineer", "privacy"])
def reader(
    request: pytest.FixtureRequest, connection: psycopg.Connection, superuser: psycopg.Connection, database: str,
    superuser_url: str,
) -> Iterator[psycopg.Connection]:  # fmt: skip
    """A session of somebody who logs in to write SQL."""
    skip_if_server_given()
    password = add_user(connection, USER, request.param)
    name = str(conninfo_to_dict(database)["dbname"])
    try:
        with psycopg.connect(url_of(superuser_url, name, USER, password), autocommit=True) as opened:
            yield opened
    finally:
        superuser.execute(f"DROP ROLE {USER}")


def noted(database: str) -> list[str]:
    name = str(conninfo_to_dict(database)["dbname"])
    text = StackPaths.current().postgres_log.read_text(errors="replace")
    return [line.split("AUDIT: ")[1] for line in text.splitlines() if f"{USER}@{name} LOG:  AUDIT: " in line]


def test_a_read_is_noted_without_its_text_and_whatever_its_end(
    reader: psycopg.Connection, connection: psycopg.Connection, database: str
) -> None:
    refine(connection, [cdr()])
    with reader.transaction(force_rollback=True):
        reader.execute("SELECT * FROM gold.cdr WHERE apn = 'a secret'")
    lines = noted(database)
    assert any(",READ,SELECT,VIEW,gold.cdr," in line for line in lines)
    assert all(line.endswith("<not logged>,<not logged>") for line in lines)
    before = len(lines)
    reader.execute("SELECT * FROM silver.dim_region")
    assert len(noted(database)) == before
    with pytest.raises(errors.InsufficientPrivilege):
        reader.execute("SET pgaudit.role = ''")
    with pytest.raises(errors.InsufficientPrivilege):
        reader.execute("SELECT identity_encrypted FROM vault.subscriber")


def test_the_work_of_loaders_is_not(reader: psycopg.Connection, connection: psycopg.Connection, database: str) -> None:
    refine(connection, [cdr()])
    name = str(conninfo_to_dict(database)["dbname"])
    text = StackPaths.current().postgres_log.read_text(errors="replace")
    assert f"{connection.info.user}@{name} LOG:  AUDIT" not in text
    assert noted(database) == []
