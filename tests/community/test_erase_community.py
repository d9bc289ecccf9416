"""Erasing a person on the community edition: compressed chunks, and Gold in continuous aggregates."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from erasing import CUSTOMER, NUMBER, OTHER, SIM, dump, erase, gold, naming
from staging import cdr, change, event, refine, refine_customers, refine_events, rekey

from telestream.db import migrate, rollups

pytestmark = pytest.mark.community


def rows(**values: Any) -> list[dict[str, Any]]:
    times = {"answered_at": None, "ended_at": None, "plan_code": None}
    return [
        cdr(native_key=f"{n}-{values}", started_at=f"2026-03-0{1 + n % 3}T{n:02d}:10:00Z", **times, **values)
        for n in range(24)
    ]


@pytest.mark.parametrize("policy", ["unlink", "delete"])
def test_on_compressed_chunks(fresh_community_url: str, vault_key_file: str, policy: str) -> None:
    assert vault_key_file
    migrate.upgrade(fresh_community_url)
    with psycopg.connect(fresh_community_url, autocommit=True, prepare_threshold=None) as connection:
        refine(connection, rows(caller=NUMBER, imsi=SIM, extras='{"x": "07911 123456"}'))
        refine(connection, rows(caller=OTHER, imsi=None, extras='{"forwarded": "447911123456"}'))
        connection.execute("UPDATE silver.dim_service_plan SET is_placeholder = false")
        connection.execute(
            "INSERT INTO silver.dim_service_plan (plan_code, name) VALUES ('basic', 'Basic') ON CONFLICT DO NOTHING"
        )
        refine_customers(
            connection, [change(customer_id=CUSTOMER, msisdn=NUMBER), change(customer_id="CRM-000816", msisdn=OTHER)]
        )
        refine_events(
            connection,
            [event(subscriber=NUMBER, event_id=f"e{n}", event_at=f"2026-03-01T{n:02d}:00:00Z") for n in range(24)],
        )
        rekey(connection)
        connection.execute("SET ROLE telestream_owner")
        for fact in ("fact_cdr", "fact_network_event"):
            connection.execute(f"ALTER TABLE silver.{fact} SET (timescaledb.compress)")
            connection.execute(f"SELECT public.compress_chunk(c) FROM public.show_chunks('silver.{fact}') AS c")
        # Less than a chunk holds: an erasure sets it aside.
        connection.execute("SET timescaledb.max_tuples_decompressed_per_dml_transaction = 5")
        connection.execute("RESET ROLE")
        before = gold(connection)

        proof = erase(connection, NUMBER, policy)
        assert proof.record["found"] == 0
        assert naming(connection, CUSTOMER, SIM) == set()
        connection.execute("SET ROLE telestream_owner")
        connection.execute("CALL rollup.refresh_pending()")
        connection.execute("RESET ROLE")
        facts = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE customer_key <> 0), count(extras) FROM silver.fact_cdr"
        ).fetchone()
        if policy == "unlink":
            assert gold(connection) == before
            assert facts == (48, 24, 0)
        else:
            assert facts == (24, 24, 0)
            assert connection.execute("SELECT count(*) FROM silver.fact_network_event").fetchone() == (0,)
            assert connection.execute("SELECT sum(attempts) FROM gold.cell_traffic_1h").fetchone() == (24,)
            assert connection.execute("SELECT coalesce(sum(events), 0) FROM gold.network_1h").fetchone() == (0,)
        assert dump(connection)["silver.dim_customer"].count("CRM-000816") == 1
    assert rollups.check(fresh_community_url) == []
