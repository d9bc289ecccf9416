"""Runs alembic from Python and tells whether a database is at the revision this code needs."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from telestream.db.connection import Connection, connect, translated
from telestream.errors import SchemaOutdatedError, UsageError
from telestream.settings import settings

# The repository: migrations are state of a deployment and are not shipped inside the package.
ROOT = Path(__file__).resolve().parents[1]


def config(url: str | None = None) -> Config:
    """Return alembic's configuration for the given database, else the one of the settings."""
    result = Config(toml_file=ROOT / "pyproject.toml")
    result.set_main_option("script_location", str(ROOT / "migrations"))
    if url is not None:
        result.cmd_opts = type("Options", (), {"x": [f"url={url}"]})()
    return result


def head() -> str:
    """Return the newest revision in the folder."""
    return ScriptDirectory.from_config(config()).get_current_head() or ""


def current(connection: Connection) -> str | None:
    """Return the revision the database is at, None if it was never migrated."""
    row = connection.execute("SELECT to_regclass('public.alembic_version') IS NOT NULL").fetchone()
    if row is None or not row[0]:
        return None
    row = connection.execute("SELECT version_num FROM public.alembic_version").fetchone()
    return None if row is None else str(row[0])


def upgrade(url: str | None = None, revision: str = "head") -> None:
    """Migrate up to `revision`; at head the routines are applied too."""
    with connect(url), translated(url):
        pass  # a login that fails is better told by us than by SQLAlchemy
    with translated(url):
        command.upgrade(config(url), revision)


def downgrade(url: str | None, revision: str) -> None:
    """Migrate down to `revision`."""
    with translated(url):
        command.downgrade(config(url), revision)


def require_head(connection: Connection) -> None:
    """Raise SchemaOutdatedError unless the database is at the newest revision."""
    have = current(connection)
    if have != head():
        raise _outdated(have)


def _outdated(have: str | None) -> SchemaOutdatedError:
    return SchemaOutdatedError(
        "the database has another revision than this version needs",
        detail=f"It is at {have or 'none'}, and {head()} is needed.",
        hint="Run `telestream db upgrade` (or `alembic upgrade head`), then this command again.",
    )


def serves(revision: str | None) -> bool:
    """Tell whether services of this version can work at a revision: at theirs, or at one of a newer version.

    A migration adds before it removes, so services of the version before go on until they are replaced. Revisions are
    numbered in order.
    """
    return revision is not None and revision >= head()


def require_served(connection: Connection) -> None:
    """Raise SchemaOutdatedError where the database is older than services of this version."""
    have = current(connection)
    if not serves(have):
        raise _outdated(have)


def require_time_zone(connection: Connection) -> None:
    """Raise UsageError unless this process and the database have the same operator time zone."""
    row = connection.execute("SELECT value FROM ops.setting WHERE name = 'time_zone'").fetchone()
    have = None if row is None else str(row[0])
    if have != settings().time_zone:
        raise UsageError(
            "this process has another operator time zone than the database",
            detail=f"TELESTREAM_TIME_ZONE is {settings().time_zone}, the days of Gold are those of {have}.",
            hint=f"Set TELESTREAM_TIME_ZONE={have}; the database's is fixed once it is migrated.",
        )
