"""Applies the routines under `db/sql/routines`, and the settings of pg_partman under `db/sql/partman`."""

from __future__ import annotations

import graphlib
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psycopg

from telestream.db.connection import Connection, as_telestream_error
from telestream.errors import TerminalError

FOLDER = Path(__file__).parent / "sql" / "routines"
PARTMAN = Path(__file__).parent / "sql" / "partman"
# Any constant of our own: two runs on one database take turns.
ADVISORY_LOCK = 7_301_002
_REQUIRES = re.compile(r"^-- requires: (.+)$", re.MULTILINE)

Outcome = Literal["APPLIED", "UNCHANGED"]


@dataclass(frozen=True)
class Routine:
    """One file: its path below the folder, its text and the hash of the text."""

    path: str
    sql: str
    sha256: str


def routines() -> list[Routine]:
    """Return the routine files in an order that creates what a file requires before it.

    A file names what it needs on a line `-- requires: schema/object.sql, …`; else by path. The settings of
    pg_partman come last.
    """
    files = {str(path.relative_to(FOLDER)): path.read_text() for path in sorted(FOLDER.rglob("*.sql"))}
    graph: dict[str, list[str]] = {}
    for name, sql in files.items():
        needed = [part.strip() for match in _REQUIRES.findall(sql) for part in match.split(",")]
        missing = [part for part in needed if part not in files]
        if missing:
            raise TerminalError(f"{name} requires {', '.join(missing)}, which does not exist")
        graph[name] = needed
    order = graphlib.TopologicalSorter(graph).static_order()
    settings = {f"../partman/{path.name}": path.read_text() for path in sorted(PARTMAN.glob("*.sql"))}
    files |= settings
    return [
        Routine(name, files[name], hashlib.sha256(files[name].encode()).hexdigest()) for name in [*order, *settings]
    ]


def apply(connection: Connection) -> Outcome:
    """Apply all routines in one transaction if any differs from what the database has.

    Compares hashes before it takes any lock. Must be called outside a transaction.

    Raises:
        TerminalError: a routine is refused; names the file.
    """
    wanted = {routine.path: routine.sha256 for routine in routines()}
    with connection.transaction():
        if dict(connection.execute("SELECT path, sha256 FROM ops.applied_routine").fetchall()) == wanted:
            return "UNCHANGED"
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (ADVISORY_LOCK,))
        connection.execute("SET LOCAL ROLE telestream_owner")
        connection.execute("SET LOCAL search_path = pg_catalog, pg_temp")
        have: dict[str, str] = dict(connection.execute("SELECT path, sha256 FROM ops.applied_routine").fetchall())
        if have == wanted:
            return "UNCHANGED"
        for routine in routines():
            try:
                connection.execute(routine.sql)
            except psycopg.Error as exc:
                error = as_telestream_error(exc)
                raise TerminalError(
                    f"db/sql/routines/{routine.path}: {exc.diag.message_primary or exc}",
                    detail=error.detail,
                    hint=exc.diag.message_hint,
                ) from exc
        # Views that are made of rules: they stand on the tables as they are now.
        connection.execute("SELECT * FROM privacy.apply_masking()")
        connection.execute("DELETE FROM ops.applied_routine")
        connection.execute(
            "INSERT INTO ops.applied_routine (path, sha256) SELECT * FROM unnest(%s::text[], %s::text[])",
            (list(wanted), list(wanted.values())),
        )
    return "APPLIED"


def drop_all(connection: Connection) -> None:
    """Drop all routines and their grants, so that a revision below head finds only state; `apply` brings them back."""
    connection.execute(_DROP_ALL)


# Views of schema rollup, the functions that they and its triggers stand on, and all that is neither view nor function
# belong to the revisions.
_DROP_ALL = """
DO $$
DECLARE
    v_object record;
BEGIN
    -- All names before the first drop: what CASCADE has dropped has none any more.
    FOR v_object IN SELECT pg_catalog.unnest(ARRAY(
        SELECT pg_catalog.format('DROP %s IF EXISTS %s CASCADE',
            CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, p.oid::regprocedure) AS sql
        FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace::regnamespace::text
            = ANY (ARRAY[
                'bronze', 'silver', 'rollup', 'gold', 'quality', 'vault', 'privacy', 'ops', 'analytics', 'api', 'audit'
            ])
            AND p.oid::regprocedure::text NOT IN ('rollup.materialised_to(text)', 'rollup.refuse_final_delete()')
        UNION ALL
        SELECT pg_catalog.format('DROP VIEW IF EXISTS %s CASCADE', c.oid::regclass)
        FROM pg_catalog.pg_class AS c
        WHERE c.relkind = 'v' AND c.relnamespace::regnamespace::text
            = ANY (ARRAY[
                'bronze', 'silver', 'gold', 'quality', 'vault', 'privacy', 'ops', 'analytics', 'api', 'audit',
                'masked_api', 'masked_analyst', 'masked_engineer'
            ])
    )) AS sql LOOP
        EXECUTE v_object.sql;
    END LOOP;
    FOR v_object IN
        SELECT pg_catalog.format(v.template, n.nspname, pg_catalog.string_agg(r.rolname, ', ')) AS sql
        FROM pg_catalog.pg_namespace AS n
        CROSS JOIN pg_catalog.pg_roles AS r
        CROSS JOIN (VALUES
            ('REVOKE ALL ON SCHEMA %I FROM %s'), ('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %s')
        ) AS v (template)
        WHERE n.nspname
            = ANY (ARRAY[
                'bronze', 'silver', 'rollup', 'gold', 'quality', 'vault', 'privacy', 'ops', 'analytics', 'api', 'audit',
                'masked_api', 'masked_analyst', 'masked_engineer'
            ])
            AND r.rolname = ANY (ARRAY[
                'telestream_loader', 'telestream_consumer', 'telestream_api',
                'telestream_analyst', 'telestream_privacy', 'telestream_engineer', 'telestream_gateway',
                'telestream_audited'
            ])
        GROUP BY n.nspname, v.template
    LOOP
        EXECUTE v_object.sql;
    END LOOP;
    IF pg_catalog.to_regclass('ops.applied_routine') IS NOT NULL THEN
        DELETE FROM ops.applied_routine;
    END IF;
END
$$
"""
