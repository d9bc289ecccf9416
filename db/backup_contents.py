"""Counts and sums up what lies in the tables and in Gold, so that two databases can be compared."""

from __future__ import annotations

from psycopg import sql

from telestream.db.backup_manifest import Contents
from telestream.db.connection import Connection

OWNER = "telestream_owner"
# Tables without their partitions and chunks, and the views of Gold that stand on rollups: others show the tables.
_RELATIONS = """
SELECT n.nspname, c.relname
FROM pg_class AS c
INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid
WHERE (
    c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND n.nspname IN (
        'bronze', 'silver', 'rollup', 'quality', 'vault', 'privacy', 'ops', 'analytics', 'api', 'audit'
    )
) OR (
    c.relkind = 'v' AND n.nspname = 'gold' AND EXISTS (
        SELECT FROM pg_rewrite AS r
        INNER JOIN pg_depend AS d ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
        INNER JOIN pg_class AS u ON d.refobjid = u.oid AND d.refclassid = 'pg_class'::regclass
        WHERE r.ev_class = c.oid AND u.relnamespace = 'rollup'::regnamespace
    )
)
ORDER BY 1, 2
"""
# What the text of a value depends on.
_TEXT = (
    "SET LOCAL timezone = 'UTC'", "SET LOCAL datestyle = 'ISO'", "SET LOCAL intervalstyle = 'postgres'",
    "SET LOCAL bytea_output = 'hex'", "SET LOCAL extra_float_digits = 1", "SET LOCAL jit = off",
)  # fmt: skip


def contents(connection: Connection) -> dict[str, Contents]:
    """Return rows and checksum of each table and of each Gold view that stands on a rollup.

    The sum does not depend on the order of rows. It finds loss, doubles and changes; against somebody who forges rows
    there are the hashes of the files.

    Args:
        connection: in a transaction, which ends the settings made here, and acting as the owner of the tables.
    """
    for statement in _TEXT:
        connection.execute(sql.SQL(statement))
    found = {}
    for schema, name in connection.execute(_RELATIONS).fetchall():
        row = connection.execute(
            sql.SQL(
                "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM {} AS t"
            ).format(sql.Identifier(schema, name))
        ).fetchone()
        assert row is not None  # an aggregate returns one row
        found[f"{schema}.{name}"] = Contents(*row)
    return found


def differences(was: dict[str, Contents], found: dict[str, Contents]) -> list[str]:
    """Return the names of what is not the same, or is on one side alone."""
    return sorted(name for name in was.keys() | found.keys() if was.get(name) != found.get(name))
