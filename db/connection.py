"""Opens connections to the system of record and turns their failures into our errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict

from telestream.db.sqlstate import SqlState
from telestream.errors import DatabaseUnavailableError, TelestreamError, TerminalError, TransientError
from telestream.settings import settings
from telestream.stack import state as stack_state

Connection = psycopg.Connection[tuple[Any, ...]]


def database_url() -> str:
    """Return the URL of the database: the setting's, else the embedded stack's.

    Raises:
        TerminalError: neither is there.
    """
    if settings().database_url:
        return settings().database_url
    state = stack_state.load()
    if state is None:
        raise TerminalError(
            "no database is configured",
            detail="TELESTREAM_DATABASE_URL is not set and the embedded stack has never been started.",
            hint="Run `telestream stack up`, or set TELESTREAM_DATABASE_URL.",
        )
    return state.database_url


def sqlalchemy_url(url: str) -> str:
    """Return the URL with the psycopg 3 driver that SQLAlchemy needs named."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in {"postgresql", "postgres"} else url


def connect(url: str | None = None, *, role: str | None = None, autocommit: bool = False) -> Connection:
    """Open a connection, acting as `role` if one is given.

    Raises:
        DatabaseUnavailableError: the server does not answer.
        TerminalError: it answers and refuses: wrong password, no such database, no such role.
    """
    target = url or database_url()
    with translated(target):
        connection = psycopg.connect(
            target,
            autocommit=autocommit,
            connect_timeout=10,
            # A network that drops packets silently is noticed within half a minute, not in hours.
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=4,
            tcp_user_timeout=30_000,
            application_name="telestream",
            prepare_threshold=None,
        )
        if role is not None:
            connection.execute(psycopg.sql.SQL("SET ROLE {}").format(psycopg.sql.Identifier(role)))
            connection.execute("SET plan_cache_mode = force_custom_plan")
            if not autocommit:
                connection.commit()
    return connection


@contextlib.contextmanager
def translated(url: str | None = None) -> Iterator[None]:
    """Raise our error for every psycopg error inside the block."""
    try:
        yield
    except psycopg.Error as exc:
        raise as_telestream_error(exc, url) from exc


def _place(url: str | None) -> str:
    """Say which server, without its password."""
    try:
        parts = conninfo_to_dict(url or database_url())
    except (psycopg.Error, TelestreamError):
        return "the database"
    return (
        f"{parts.get('host') or 'local socket'}:{parts.get('port') or 5432}, "
        f"database {parts.get('dbname')}, user {parts.get('user')}"
    )


def as_telestream_error(exc: psycopg.Error, url: str | None = None) -> TelestreamError:
    """Return the error that says what an SQLSTATE means for the caller and what to do about it."""
    message = (exc.diag.message_primary or str(exc)).strip().splitlines()
    fact = message[0] if message else type(exc).__name__
    detail, hint = exc.diag.message_detail, exc.diag.message_hint
    match exc:
        case pg.InvalidPassword() | pg.InvalidAuthorizationSpecification():
            return TerminalError(
                "the database refused the login",
                detail=f"{_place(url)}: {fact}.",
                hint="Check user and password in TELESTREAM_DATABASE_URL.",
            )
        case pg.InvalidCatalogName():
            return TerminalError(
                "the database does not exist",
                detail=f"{_place(url)}.",
                hint="Create it, or correct TELESTREAM_DATABASE_URL.",
            )
        case pg.DiskFull():
            return TransientError(
                "the database's disk is full",
                detail="What was committed stays; the batch in flight was rolled back.",
                hint="Free space on the database's volume, then run the same command again: it goes on where it was.",
            )
        case pg.TransactionTimeout() | pg.IdleInTransactionSessionTimeout():
            return TransientError(
                "the database ended a transaction that took too long",
                detail="The connection was closed with it, and nothing of it was kept.",
                hint="Run the same command again; if it happens again, see what the database waits for.",
            )
        case pg.DeadlockDetected() | pg.SerializationFailure() | pg.LockNotAvailable():
            return TransientError(fact, detail=detail, hint="Run the same command again.")
        case pg.UndefinedTable() | pg.UndefinedFunction() | pg.InvalidSchemaName() | pg.UndefinedColumn():
            return TerminalError(
                "the database lacks an object this version needs",
                detail=f"{fact}.",
                hint="Run `telestream db upgrade` (or `alembic upgrade head`).",
            )
        case pg.InsufficientPrivilege():
            return TerminalError(
                "the database user may not do this",
                detail=f"{fact}.",
                hint="Grant the right role with `telestream db user add`, see the roles in docs/architecture.md.",
            )
        case psycopg.OperationalError() if "password authentication failed" in str(exc):
            return TerminalError(
                "the database refused the login",
                detail=f"{_place(url)}.",
                hint="Check user and password in TELESTREAM_DATABASE_URL.",
            )
        case psycopg.OperationalError() if "does not exist" in str(exc) and exc.sqlstate is None:
            return TerminalError(
                "the database refused the connection",
                detail=f"{_place(url)}: it, or the user, does not exist.",
                hint="Correct TELESTREAM_DATABASE_URL.",
            )
        case psycopg.OperationalError() if "certificate" in str(exc) and exc.sqlstate is None:
            return TerminalError(
                "the database's certificate is not accepted",
                detail=f"{_place(url)}.",
                hint="Check sslmode and sslrootcert in TELESTREAM_DATABASE_URL, and for whom the certificate is made.",
            )
        case psycopg.OperationalError() if "does not support SSL" in str(exc):
            return TerminalError(
                "the database does not offer TLS",
                detail=f"{_place(url)}.",
                hint="Set ssl = on on the server, or another sslmode in TELESTREAM_DATABASE_URL.",
            )
        case psycopg.OperationalError() | psycopg.InterfaceError() | pg.AdminShutdown() | pg.CrashShutdown():
            return DatabaseUnavailableError(
                "the database does not answer",
                detail=f"{_place(url)}.",
                hint="Start it (`telestream stack up` for the embedded one) and run the same command again: "
                "committed work is kept.",
            )
    if exc.sqlstate == SqlState.VAULT_KEY_NOT_IN_FORCE:
        return TransientError(fact, detail=detail, hint=hint)
    if exc.sqlstate in set(SqlState):
        return TerminalError(fact, detail=detail, hint=hint)
    return TerminalError(f"the database refused: {fact}", detail=detail, hint=hint)
