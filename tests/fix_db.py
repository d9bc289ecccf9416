"""Fixtures that give each test a migrated database of its own, copied from a template."""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from telestream.db import migrate
from telestream.settings import settings
from telestream.stack.database import create_admin_role, prepare_database

ADMIN = "telestream_test_admin"
PASSWORD = secrets.token_urlsafe(12)
_numbers = itertools.count(1)
_PREFIX = f"ts_test_{os.getpid()}"


def url_of(superuser_url: str, database: str, user: str = ADMIN, password: str = PASSWORD) -> str:
    """Return the URL of a test database for a user."""
    parts = conninfo_to_dict(superuser_url)
    return f"postgresql://{user}:{password}@{parts['host']}:{parts.get('port', 5432)}/{database}"


def _admin(superuser_url: str) -> psycopg.Connection:
    return psycopg.connect(superuser_url, autocommit=True)


def drop_database(superuser_url: str, name: str) -> None:
    """Drop a test database, whoever is connected to it."""
    with _admin(superuser_url) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def vault_key_file() -> str:
    """A vault key where the settings look for it."""
    path = settings().vault_key_path
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(secrets.token_hex(32))
        path.chmod(0o600)
    return path.read_text().strip()


@pytest.fixture
def own_vault_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A vault key of this test's own where the settings look for it, in a folder of its own."""
    path = tmp_path / "keys" / "vault.key"
    path.parent.mkdir()
    path.touch(mode=0o600)
    path.write_text(secrets.token_hex(32) + "\n")
    with monkeypatch.context() as patched:
        patched.setenv("TELESTREAM_VAULT_KEY_FILE", str(path))
        settings.cache_clear()
        yield path
    settings.cache_clear()


@pytest.fixture(scope="session")
def admin_role(superuser_url: str) -> str:
    """The login role that owns the test databases."""
    create_admin_role(superuser_url, ADMIN, PASSWORD)
    return ADMIN


@pytest.fixture(scope="session")
def template_database(superuser_url: str, admin_role: str) -> Iterator[str]:
    """A database at head that tests are copied from."""
    name = f"{_PREFIX}_template"
    drop_database(superuser_url, name)
    prepare_database(superuser_url, name, admin_role)
    migrate.upgrade(url_of(superuser_url, name))
    with _admin(superuser_url) as connection:
        # A template must have no connection, TimescaleDB's scheduler included.
        connection.execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
    yield name
    drop_database(superuser_url, name)


@pytest.fixture
def empty_database(superuser_url: str, admin_role: str) -> Iterator[str]:
    """URL of a prepared database without any revision."""
    name = f"{_PREFIX}_{next(_numbers)}"
    prepare_database(superuser_url, name, admin_role)
    yield url_of(superuser_url, name)
    drop_database(superuser_url, name)


@contextmanager
def copied_database(superuser_url: str, template: str) -> Iterator[str]:
    """Give a database at head, for the role that owns it; the settings' database for as long."""
    name = f"{_PREFIX}_{next(_numbers)}"
    with _admin(superuser_url) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
                sql.Identifier(name), sql.Identifier(template), sql.Identifier(ADMIN)
            )
        )
    url = url_of(superuser_url, name)
    os.environ["TELESTREAM_DATABASE_URL"] = url
    settings.cache_clear()
    try:
        yield url
    finally:
        del os.environ["TELESTREAM_DATABASE_URL"]
        settings.cache_clear()
        drop_database(superuser_url, name)


@pytest.fixture
def database(superuser_url: str, template_database: str, vault_key_file: str) -> Iterator[str]:
    """URL of a database at head, for the role that owns it; the settings' database for this test."""
    with copied_database(superuser_url, template_database) as url:
        yield url


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    """An autocommit connection to the test's database as its owner."""
    with psycopg.connect(database, autocommit=True) as opened:
        yield opened


@pytest.fixture
def superuser(superuser_url: str, database: str) -> Iterator[psycopg.Connection]:
    """An autocommit superuser connection to the test's database."""
    name = conninfo_to_dict(database)["dbname"]
    with psycopg.connect(make_conninfo(superuser_url, dbname=name), autocommit=True) as opened:
        yield opened
