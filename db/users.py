"""Makes login users that hold one of the group roles."""

from __future__ import annotations

import secrets

from psycopg import sql

from telestream.db.connection import Connection
from telestream.errors import UsageError

GROUPS = ("loader", "consumer", "api", "analyst", "engineer", "privacy", "gateway", "owner")


def add_user(connection: Connection, name: str, group: str, password: str | None = None) -> str:
    """Create a login user in a group role, or give an existing one a new password, and return the password.

    Raises:
        UsageError: there is no such group.
    """
    if group not in GROUPS:
        raise UsageError(f"there is no role {group!r}", hint=f"Choose one of: {', '.join(GROUPS)}.")
    secret = password or secrets.token_urlsafe(18)
    user, role = sql.Identifier(name), sql.Identifier(f"telestream_{group}")
    with connection.transaction():
        exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
        verb = sql.SQL("ALTER" if exists else "CREATE")
        connection.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, user, sql.Literal(secret)))
        connection.execute(sql.SQL("GRANT {} TO {}").format(role, user))
        if group in {"analyst", "api", "engineer", "gateway"}:
            # Role settings are not inherited through membership: keep chunk exclusion for this login too.
            connection.execute(sql.SQL("ALTER ROLE {} SET plan_cache_mode = force_custom_plan").format(user))
        if group in {"analyst", "engineer", "privacy"} and _pgaudit_is_there(connection):
            # People who write SQL themselves: what they read of persons goes to the server's log.
            connection.execute(sql.SQL("ALTER ROLE {} SET pgaudit.role = telestream_audited").format(user))
    return secret


def _pgaudit_is_there(connection: Connection) -> bool:
    """Say whether the server has loaded pgaudit and this login may ask it to note reads."""
    row = connection.execute(
        "SELECT current_setting('pgaudit.role', true) IS NOT NULL AND has_parameter_privilege('pgaudit.role', 'SET')"
    ).fetchone()
    return row is not None and bool(row[0])
