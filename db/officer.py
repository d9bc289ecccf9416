"""Acts as the privacy officer, or says what is missing."""

from __future__ import annotations

import psycopg
from psycopg import errors

from telestream.db.connection import Connection, database_url
from telestream.errors import TerminalError


def act_as_officer(connection: Connection) -> None:
    """Take the role of the privacy officer for this session.

    Raises:
        TerminalError: the login does not hold it.
    """
    try:
        connection.execute("SET ROLE telestream_privacy")
    except errors.InsufficientPrivilege as exc:
        user = psycopg.conninfo.conninfo_to_dict(database_url()).get("user")
        raise TerminalError(
            "only the privacy officer may see who a person is",
            detail=f"The login {user} does not hold telestream_privacy.",
            hint="Ask for a login of `telestream db user add NAME --role privacy`.",
        ) from exc
