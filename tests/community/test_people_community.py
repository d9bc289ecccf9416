"""The trail, the vault and the masks on the community edition: the same rows, and the same refusals."""

from __future__ import annotations

import psycopg
import pytest
from access_log import sealed_in_the_past, write
from psycopg import errors
from staging import cdr, refine

from telestream.db import migrate
from telestream.db.access_chain import verify
from telestream.db.vault import lend_vault_key

pytestmark = [pytest.mark.community, pytest.mark.slow]

# Object class → the roles of readers and writers that may see rows of it.
CLASSES = {
    "bronze.cdr": {"privacy"},
    "silver.fact_cdr": {"privacy"},
    "vault.subscriber": set[str](),
    "quality.quarantine": {"privacy"},
    "audit.access_log": {"privacy"},
    "audit.access_inbox": {"privacy"},
    "privacy.mask_salt": set[str](),
    "masked_analyst.silver_fact_cdr": {"analyst", "engineer"},
    "masked_analyst.bronze_cdr": {"analyst", "engineer"},
    "gold.cdr": {"loader", "api", "analyst", "engineer", "privacy"},
    "ops.catalog": {"loader", "consumer", "api", "analyst", "engineer", "privacy"},
}
ROLES = ("loader", "consumer", "api", "analyst", "engineer", "gateway", "privacy")


def can(connection: psycopg.Connection, role: str, relation: str) -> bool:
    connection.execute(f"SET ROLE telestream_{role}")
    try:
        connection.execute(f"SELECT * FROM {relation} LIMIT 1")
    except errors.InsufficientPrivilege:
        return False
    finally:
        connection.execute("RESET ROLE")
    return True


def test_people_on_the_community_edition(fresh_community_url: str, vault_key_file: str) -> None:
    migrate.upgrade(fresh_community_url)
    with psycopg.connect(fresh_community_url, autocommit=True, prepare_threshold=None) as connection:
        refine(connection, [cdr(caller="+447911234123")])
        connection.execute("SET ROLE telestream_owner")
        connection.execute("CALL rollup.refresh_pending()")
        connection.execute("ALTER TABLE silver.fact_cdr SET (timescaledb.compress)")
        connection.execute("SELECT public.compress_chunk(c) FROM public.show_chunks('silver.fact_cdr') AS c")
        connection.execute("RESET ROLE")

        found = {name: {role for role in ROLES if can(connection, role, name)} for name in CLASSES}
        assert found == CLASSES
        chunks = connection.execute(
            "SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.relnamespace = '_timescaledb_internal'::regnamespace"
            " AND c.relkind = 'r' AND c.relname ~ '(_hyper|compress)_.*chunk'"
        ).fetchall()
        assert len(chunks) >= 3
        for (chunk,) in chunks:
            assert not any(can(connection, role, chunk) for role in ROLES if role != "privacy"), chunk

        connection.execute("SET ROLE telestream_analyst")
        assert connection.execute("SELECT caller FROM masked_analyst.bronze_cdr").fetchall() == [("+4479*****123",)]
        assert connection.execute("SELECT extras FROM masked_analyst.silver_fact_cdr").fetchall() == [(None,)]
        rows = connection.execute(
            "SELECT count(*) FILTER (WHERE pii_class = 'unclassified'), max(bytes) FILTER (WHERE dataset = 'silver.fact_cdr')"
            " FROM ops.catalog"
        ).fetchone()
        assert rows is not None
        assert rows[0] == 0
        assert rows[1] > 0

        connection.execute("SET ROLE telestream_privacy")
        lend_vault_key(connection, vault_key_file)
        (subscriber,) = connection.execute("SELECT caller_id FROM silver.fact_cdr").fetchone() or (0,)
        shown = connection.execute("CALL vault.reveal(%s, 'court order 17', NULL)", (subscriber,)).fetchone()
        assert shown == ("+447911234123",)
        connection.execute("RESET ROLE")

        assert connection.execute("SELECT audit.seal()").fetchone() == (1,)
        connection.execute("SET ROLE telestream_owner")
        for statement in ("DELETE FROM audit.access_log", "TRUNCATE audit.access_log"):
            with pytest.raises(psycopg.Error) as caught:
                connection.execute(statement)
            assert caught.value.sqlstate == "TS030"
        connection.execute("RESET ROLE")
        assert verify(connection).rows == 1


def test_the_chain_and_its_retention_on_the_community_edition(fresh_community_url: str) -> None:
    migrate.upgrade(fresh_community_url)
    as_superuser = psycopg.conninfo.make_conninfo(fresh_community_url, user="postgres")
    with psycopg.connect(as_superuser, autocommit=True, prepare_threshold=None) as superuser:
        sealed_in_the_past(superuser, 30, 4)
        write(superuser, 6)
        superuser.execute("SELECT audit.seal()")
        assert verify(superuser).rows == 10
        superuser.execute("SELECT * FROM ops.maintain()")
        superuser.execute("SELECT audit.seal()")
        found = verify(superuser)
        assert (found.rows, found.dropped, found.broken) == (7, 4, None)
        superuser.execute("SET session_replication_role = replica")
        superuser.execute("UPDATE audit.access_log SET role = 'nobody' WHERE position = 8")
        superuser.execute("RESET session_replication_role")
        assert "position 8 " in str(verify(superuser).broken)
