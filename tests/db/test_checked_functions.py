"""Every function and procedure of ours, checked by plpgsql_check: names, types, dynamic SQL."""

from __future__ import annotations

import psycopg
import pytest

SCHEMAS = (
    "bronze", "silver", "rollup", "gold", "quality", "vault", "privacy", "ops", "analytics", "api", "audit",
)  # fmt: skip
# Temporary tables that the function makes itself, or that its caller has made: they are not there when it is checked.
# A record filled by dynamic SQL: what it holds cannot be known before.
KNOWN_WHEN_RUN = ('relation "pg_temp.', 'relation "_', 'record "v_new" is not assigned yet')
# They put SQL together of conditions, expressions and definitions that are rows: of tables that the owner alone
# may write to, see test_privileges.py. All names and values go through format() with %I, %L or as parameters.
SQL_FROM_ROWS = {
    "analytics._fit_logistic(integer)",
    "analytics._kpi_guard()",
    "analytics._values(timestamp with time zone,timestamp with time zone,timestamp with time zone[])",
    "gold.check_rollups(timestamp with time zone,timestamp with time zone)",
    "gold.top_customers(text,timestamp with time zone,timestamp with time zone,integer)",
    "ops.day_checksum(text,date)",
    "privacy._search(jsonb,text,bigint[],boolean)",
    "privacy.apply_masking()",
    "quality._apply_rules(bigint)",
    "quality._rule_guard()",
    "rollup.refresh_table(text)",
}


@pytest.fixture
def checker(superuser: psycopg.Connection) -> psycopg.Connection:
    try:
        superuser.execute("CREATE EXTENSION plpgsql_check SCHEMA public")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("the server has no plpgsql_check")
    return superuser


def functions(connection: psycopg.Connection) -> list[tuple[int, str, str | None, str | None, str | None]]:
    """Return oid and name of each function in plpgsql; of a trigger's also its table and its tables of rows.

    A trigger that only the other edition has is checked as if it were one of the list of marks.
    """
    return connection.execute(
        "SELECT p.oid::int, p.oid::regprocedure::text, coalesce(t.tgrelid::regclass::text,"
        " CASE WHEN p.prorettype = 'trigger'::regtype THEN 'rollup.pending' END), t.tgoldtable::text, t.tgnewtable::text"
        " FROM pg_proc AS p"
        " INNER JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname = 'plpgsql'"
        " LEFT JOIN LATERAL (SELECT tgrelid, tgoldtable, tgnewtable FROM pg_trigger WHERE tgfoid = p.oid ORDER BY tgrelid LIMIT 1) AS t"
        " ON true WHERE p.pronamespace::regnamespace::text = ANY (%s) ORDER BY 2",
        (list(SCHEMAS),),
    ).fetchall()


def findings(
    connection: psycopg.Connection, oid: int, table: str | None, old: str | None = None, new: str | None = None
) -> list[str]:
    rows = connection.execute(
        "SELECT level, coalesce(lineno, 0), message FROM public.plpgsql_check_function_tb(%s::oid::regprocedure,"
        " coalesce(to_regclass(%s)::oid, 0)::regclass, oldtable => %s, newtable => %s, fatal_errors => false, performance_warnings => false,"
        " extra_warnings => false, security_warnings => true)",
        (oid, table, old, new),
    ).fetchall()
    return [f"{level} in line {line}: {message}" for level, line, message in rows]


def test_every_function_is_checked_and_clean(checker: psycopg.Connection) -> None:
    checker.execute("SET ROLE telestream_owner")
    checker.execute("SET search_path = pg_catalog, pg_temp")
    found = {name: findings(checker, oid, *of) for oid, name, *of in functions(checker)}
    assert len(found) > 35
    errors = {
        name: wrong
        for name, texts in found.items()
        if (
            wrong := [
                text for text in texts if text.startswith("error") and not any(map(text.__contains__, KNOWN_WHEN_RUN))
            ]
        )
    }
    assert errors == {}
    assert {
        name for name, texts in found.items() if any(text.startswith("security") for text in texts)
    } == SQL_FROM_ROWS


def test_the_check_finds_what_is_wrong(checker: psycopg.Connection) -> None:
    checker.execute(
        "CREATE FUNCTION ops.wrong(p_name text) RETURNS bigint LANGUAGE plpgsql AS"
        " $$ BEGIN EXECUTE 'SELECT ' || p_name; RETURN (SELECT s.nothing FROM ops.setting AS s); END $$"
    )
    (oid,) = checker.execute("SELECT 'ops.wrong(text)'::regprocedure::int").fetchone() or (0,)
    text = " ".join(findings(checker, oid, None))
    assert "nothing does not exist" in text
    assert "not sanitized" in text
