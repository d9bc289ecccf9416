"""Tells which TimescaleDB edition a database runs."""

from __future__ import annotations

from typing import Literal

from telestream.db.connection import Connection

Edition = Literal["community", "apache"]


def edition(connection: Connection) -> Edition:
    """Return the edition: community has continuous aggregates and jobs, apache has neither."""
    row = connection.execute("SELECT current_setting('timescaledb.license')").fetchone()
    return "community" if row is not None and row[0] == "timescale" else "apache"
