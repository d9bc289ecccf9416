"""Prepares a database with what needs superuser rights: roles, extensions and the rights to use them."""

from __future__ import annotations

import psycopg
from psycopg import sql

from telestream.errors import DatabaseUnavailableError

PARTMAN_SCHEMA = "partman"
GROUP_ROLES = (
    "telestream_owner",
    "telestream_loader",
    "telestream_consumer",
    "telestream_api",
    "telestream_analyst",
    "telestream_privacy",
    "telestream_engineer",
    "telestream_gateway",
)
_EXTENSIONS = ("timescaledb", "vector", "pgcrypto", "pg_stat_statements", "cube", "earthdistance")


def create_admin_role(superuser_url: str, role: str, password: str) -> None:
    """Create the login role that owns our databases, or give it this password where it exists."""
    with _connect(superuser_url) as connection:
        name = sql.Identifier(role)
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
            connection.execute(sql.SQL("CREATE ROLE {}").format(name))
        connection.execute(sql.SQL("ALTER ROLE {} LOGIN CREATEROLE PASSWORD {}").format(name, sql.Literal(password)))
        # Without it a role that creates roles cannot give them objects nor act as them (PostgreSQL 16).
        connection.execute(sql.SQL("ALTER ROLE {} SET createrole_self_grant = 'set, inherit'").format(name))


def _lend_group_roles(connection: psycopg.Connection, owner: str) -> None:
    """Let the owner grant and act as our group roles where another database of the server has made them."""
    for (role,) in connection.execute(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", [list(GROUP_ROLES)]
    ).fetchall():
        connection.execute(
            sql.SQL("GRANT {} TO {} WITH ADMIN TRUE, INHERIT TRUE, SET TRUE").format(
                sql.Identifier(role), sql.Identifier(owner)
            )
        )


def prepare_database(superuser_url: str, name: str, owner: str) -> None:
    """Create the database where it is missing, with its extensions, and let its owner use them.

    pg_cron can live in one database of a server only; elsewhere it is left out.

    Raises:
        DatabaseUnavailableError: the server does not answer or refuses the superuser.
    """
    with _connect(superuser_url) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner))
            )
        _lend_group_roles(connection, owner)
    with _connect(superuser_url, dbname=name) as connection, connection.transaction():
        connection.execute("SET LOCAL client_min_messages = warning")
        for extension in _EXTENSIONS:
            connection.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(sql.Identifier(extension)))
        _create_partman(connection, owner)
        cron_database = connection.execute("SELECT current_setting('cron.database_name', true)").fetchone()
        if cron_database == (name,):
            connection.execute("CREATE EXTENSION IF NOT EXISTS pg_cron")
            _grant(connection, owner, "USAGE ON SCHEMA cron")
            _grant(connection, owner, "SELECT, DELETE ON cron.job_run_details")


def _create_partman(connection: psycopg.Connection, owner: str) -> None:
    schema = PARTMAN_SCHEMA
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    connection.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS pg_partman SCHEMA {}").format(sql.Identifier(schema)))
    _grant(connection, owner, f"ALL ON SCHEMA {schema}")
    for kind in ("TABLES", "SEQUENCES", "FUNCTIONS", "PROCEDURES"):
        _grant(connection, owner, f"ALL ON ALL {kind} IN SCHEMA {schema}")


def _grant(connection: psycopg.Connection, owner: str, what: str) -> None:
    # The text is one of the constants above. The first migration hands the right on to telestream_owner.
    statement = sql.SQL("GRANT {} TO {} WITH GRANT OPTION")
    connection.execute(statement.format(sql.SQL(what), sql.Identifier(owner)))


def _connect(url: str, **options: str) -> psycopg.Connection:
    try:
        return psycopg.connect(url, autocommit=True, connect_timeout=10, **options)  # type: ignore[arg-type]
    except psycopg.OperationalError as exc:
        raise DatabaseUnavailableError("the database server does not answer", detail=str(exc).strip()) from exc
