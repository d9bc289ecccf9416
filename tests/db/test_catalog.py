"""The catalogue: every column is in it with a class, and what says something of a person has a rule."""

from __future__ import annotations

import psycopg
import pytest
from command import telestream
from staging import cdr, refine

# What the masked roles may see as it is: ids of those who work with the platform.
OPEN = {"none", "staff"}


def test_every_column_has_a_class(connection: psycopg.Connection) -> None:
    """A new column needs a row in ops.pii_class, in the revision that adds it."""
    assert (
        connection.execute(
            "SELECT dataset, column_name FROM ops.catalog WHERE pii_class = 'unclassified' ORDER BY 1, 2"
        ).fetchall()
        == []
    )


def test_every_class_is_of_a_column_that_exists(connection: psycopg.Connection) -> None:
    assert (
        connection.execute(
            "SELECT p.* FROM ops.pii_class AS p WHERE NOT EXISTS (SELECT FROM ops.catalog AS c"
            " WHERE c.dataset = p.schema_name || '.' || p.table_name AND c.column_name = p.column_name)"
        ).fetchall()
        == []
    )


def test_every_personal_column_has_a_rule_or_no_reader(connection: psycopg.Connection) -> None:
    """A rule for analysts in privacy.masking_rule, or a table that no masked role may read."""
    personal = connection.execute(
        "SELECT p.schema_name, p.table_name, p.column_name, EXISTS (SELECT FROM privacy.masking_rule AS r"
        " WHERE r.role = 'analyst' AND (r.schema_name, r.table_name, r.column_name)"
        " = (p.schema_name, p.table_name, p.column_name)) FROM ops.pii_class AS p WHERE p.pii_class <> ALL (%s)",
        (list(OPEN),),
    ).fetchall()
    assert len(personal) > 40
    layers = {"bronze", "silver", "quality"}
    unruled = {(schema, table, column) for schema, table, column, ruled in personal if schema in layers and not ruled}
    assert unruled == set()
    # Nobody but those below reads such a column at its source, whatever the rules say.
    for schema, table, column, _ in personal:
        readers = {
            role
            for (role,) in connection.execute(
                "SELECT r.role FROM unnest(ARRAY['loader', 'consumer', 'api', 'analyst', 'engineer', 'gateway']) AS r (role)"
                " WHERE has_column_privilege('telestream_' || r.role, %s, %s, 'SELECT')",
                (f"{schema}.{table}", column),
            ).fetchall()
        }
        allowed = {
            # Whoever reads the text of a refused record, and sends it again.
            ("quality", "quarantine"): {"loader", "consumer", "engineer"},
            ("ops", "dead_letter"): {"consumer"},
            # The API compares the hash of a key.
            ("api", "key"): {"gateway"},
        }.get((schema, table), set())
        assert readers <= allowed, (schema, table, column)


def test_a_column_that_is_added_is_missed(connection: psycopg.Connection) -> None:
    connection.execute("SET ROLE telestream_owner")
    connection.execute("ALTER TABLE silver.dim_region ADD COLUMN manager text")
    connection.execute("RESET ROLE")
    with pytest.raises(AssertionError, match="manager"):
        test_every_column_has_a_class(connection)


def test_sizes_rows_and_freshness_follow_a_load(connection: psycopg.Connection) -> None:
    refine(connection, [cdr(native_key=f"k{n}") for n in range(50)])
    connection.execute("SET ROLE telestream_owner")
    connection.execute("ANALYZE silver.fact_cdr")
    connection.execute("ANALYZE bronze.cdr")
    connection.execute("SET ROLE telestream_analyst")
    found = {
        dataset: (rows, size, fresh)
        for dataset, rows, size, fresh in connection.execute(
            "SELECT DISTINCT dataset, rows_estimate, bytes, last_change_at IS NOT NULL FROM ops.catalog"
        ).fetchall()
    }
    assert found["silver.fact_cdr"][0] == 50
    assert found["bronze.cdr"][0] == 50
    assert found["silver.fact_cdr"][1] > 10_000
    assert found["gold.cdr"] == (None, None, True)
    assert found["silver.fact_cdr"][2]
    assert not found["silver.fact_network_event"][2]
    classes = dict(
        connection.execute("SELECT column_name, pii_class FROM ops.catalog WHERE dataset = 'gold.cdr'").fetchall()
    )
    assert classes["subscriber_id"] == "pseudonym"
    assert classes["started_at"] == "none"


def test_the_command_filters(database: str) -> None:
    every = telestream("catalog", COLUMNS="300")
    assert every.returncode == 0, every.stderr
    assert "silver.dim_region" in every.stdout
    personal = telestream("catalog", "bronze.*", "--pii", COLUMNS="300")
    assert "imsi" in personal.stdout
    assert "identifier" in personal.stdout
    assert "is_roaming" not in personal.stdout
    assert "silver" not in personal.stdout
    assert "0 columns" in telestream("catalog", "nothing").stdout
