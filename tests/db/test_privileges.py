"""The privileges matrix: what each role can read, write and call, tried and not looked up."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors
from staging import cdr, refine

ROLES = ("loader", "consumer", "api", "analyst", "engineer", "gateway", "privacy")
# The gateway of the API reads data only as one of these.
EVERYONE = set(ROLES) - {"gateway"}
READERS = {"loader", "api", "analyst", "engineer", "privacy"}
READ = {
    "bronze.cdr": {"privacy"},
    "bronze.customer": {"privacy"},
    "silver.fact_cdr": {"privacy"},
    "silver.customer_change": {"privacy"},
    "silver.dim_customer": {"privacy"},
    "silver.customer_rekey": {"privacy"},
    "silver.dim_network_cell": EVERYONE,
    "silver.dim_service_plan": EVERYONE,
    "vault.subscriber": set[str](),
    "vault.rotated": set[str](),
    "vault.key": {"privacy"},
    "quality.quarantine": {"privacy"},
    "quality.quarantine_summary": READERS,
    "quality.score_by_day": READERS,
    "ops.batch": {"loader", "consumer", "api", "engineer", "privacy"},
    "bronze.network_event": {"privacy"},
    "silver.fact_network_event": {"privacy"},
    "ops.kafka_offset": {"loader", "consumer", "api", "engineer"},
    "ops.dead_letter": {"consumer", "privacy"},
    "ops.outbox": {"consumer", "api", "engineer"},
    "analytics.anomaly": {"consumer", "api", "analyst", "engineer"},
    "analytics.kpi": {"consumer", "api", "analyst", "engineer"},
    "ops.freshness": EVERYONE,
    "ops.sla": EVERYONE,
    "ops.load": EVERYONE,
    "ops.notification_channel": {"consumer", "api", "engineer"},
    "ops.notification": {"consumer", "api", "engineer"},
    "api.key": {"gateway"},
    "api.persisted_query": {"gateway"},
    "audit.access_log": {"privacy"},
    "audit.access_inbox": {"privacy"},
    "audit.chain_head": {"privacy"},
    "audit.anchor": {"privacy"},
    "privacy.masking_rule": {"privacy"},
    "privacy.mask_salt": set[str](),
    "ops.pii_class": {"privacy"},
    "ops.catalog": EVERYONE,
    "masked_analyst.bronze_cdr": {"analyst", "engineer"},
    "masked_analyst.bronze_customer": {"analyst", "engineer"},
    "masked_analyst.bronze_network_event": {"analyst", "engineer"},
    "masked_analyst.quality_quarantine": {"analyst", "engineer"},
    "masked_analyst.silver_customer_change": {"analyst", "engineer"},
    "masked_analyst.silver_customer_rekey": {"analyst", "engineer"},
    "masked_analyst.silver_dim_customer": {"analyst", "engineer"},
    "masked_analyst.silver_fact_cdr": {"analyst", "engineer"},
    "masked_analyst.silver_fact_network_event": {"analyst", "engineer"},
    "analytics.task": EVERYONE,
    "analytics.run": EVERYONE,
    "analytics.task_status": EVERYONE,
    "analytics.stale_week": set[str](),
    "analytics.cell_week": EVERYONE,
    "analytics.cell_fingerprint": EVERYONE,
    "analytics.cell_drift": EVERYONE,
    "gold.cell_fingerprint": EVERYONE,
    "gold.cell_drift": EVERYONE,
    "analytics.fraud_rule": {"api", "analyst", "engineer", "privacy"},
    "analytics.fraud_threshold": {"api", "analyst", "engineer", "privacy"},
    "analytics.fraud_case": set[str](),
    "analytics.fraud_evidence": set[str](),
    "analytics.fraud_first_seen": set[str](),
    "analytics.fraud_batch": set[str](),
    "analytics.fraud_progress": set[str](),
    "gold.fraud_case": {"api", "engineer", "privacy"},
    "gold.fraud_evidence": {"api", "engineer", "privacy"},
    "gold.fraud_daily": READERS,
    "analytics.stale_busy_week": set[str](),
    "analytics.busy_hour": EVERYONE,
    "analytics.stale_customer_week": set[str](),
    "analytics.customer_week": set[str](),
    "analytics.customer_profile": set[str](),
    "analytics.customer_segment": set[str](),
    "analytics.churn_model": set[str](),
    "analytics.churn_score": set[str](),
    "gold.customer_segment": READERS,
    "gold.churn_risk": READERS,
    "gold.churn_model": READERS,
    "gold.network_5m": EVERYONE,
    "gold.network_1h": EVERYONE,
    "gold.anomaly": EVERYONE,
    "gold.capacity_forecast": EVERYONE,
    "gold.capacity_risk": EVERYONE,
    "gold.forecast_quality": EVERYONE,
    "analytics.forecast": EVERYONE,
    "analytics.capacity_forecast": EVERYONE,
    "analytics.forecast_backtest": EVERYONE,
    "gold.cdr": READERS,
    "gold.customer": READERS,
    "gold.customer_history": READERS,
    "gold.cell_traffic_5m": READERS,
    "gold.cell_traffic_1h": READERS,
    "gold.cell_traffic_1d": READERS,
    "gold.region_traffic_1h": READERS,
    "gold.region_traffic_1d": READERS,
    "gold.network_kpi_hourly": READERS,
    "gold.network_kpi_daily": READERS,
    "gold.fact_customer_usage_daily": READERS,
    "gold.revenue_daily": READERS,
    "quality.expectation": EVERYONE,
    "quality.expectation_result": EVERYONE,
    "quality.expectation_status": EVERYONE,
    "quality.incident": EVERYONE,
    "quality.maintenance": EVERYONE,
    "quality.measurement": set[str](),
    "quality.check_state": set[str](),
    "ops.horizon": EVERYONE,
    "ops.retention_rule": EVERYONE,
    "ops.archive_day": EVERYONE,
    "ops.legal_hold": {"privacy"},
    "ops.storage_policy": EVERYONE,
    "privacy.erasure": set[str](),
    "ops.lineage_edge": EVERYONE,
    "ops.lineage_event": EVERYONE - {"analyst"},
    "ops.lineage_run": EVERYONE - {"analyst"},
    "ops.lineage_mark": EVERYONE - {"analyst"},
    "ops.lineage_outbox": EVERYONE - {"analyst"},
}
CALL = {
    "SELECT ops.open_batch('cdr')": {"loader", "consumer"},
    "SELECT ops.open_batch('network_event')": {"loader", "consumer"},
    "SELECT ops.claim_partitions('i', 't', ARRAY[0], ARRAY[0]::bigint[], 'me')": {"consumer"},
    "SELECT analytics.detect(now())": {"consumer"},
    "SELECT ops.hot_windows()": {"consumer"},
    "UPDATE ops.kafka_offset SET next_offset = 0": set[str](),
    "UPDATE ops.outbox SET payload = '{}'": set[str](),
    "UPDATE ops.outbox SET published_at = now()": {"consumer"},
    "DELETE FROM ops.dead_letter": set[str](),
    "UPDATE analytics.kpi SET open_z = 1": set[str](),
    "SELECT analytics._judge_window(now())": set[str](),
    "SELECT * FROM analytics.build_cell_fingerprints()": set[str](),
    "SELECT * FROM analytics.similar_cells('x')": EVERYONE,
    "SELECT * FROM analytics.second_opinion(1)": EVERYONE,
    "SELECT * FROM analytics.find_fraud()": set[str](),
    "SELECT analytics.forget(ARRAY[1]::bigint[])": set[str](),
    "UPDATE analytics.fraud_threshold SET value = value": set[str](),
    "SELECT * FROM gold.cells_near(51, 0, 10)": EVERYONE,
    "SELECT * FROM gold.cells_of_region('x')": EVERYONE,
    "SELECT * FROM gold.coverage_gap('x')": EVERYONE,
    "SELECT * FROM analytics.open_forecast(now(), 14, 'm')": set[str](),
    "SELECT analytics.close_forecast(1, 1)": set[str](),
    "DELETE FROM analytics.forecast": set[str](),
    "SELECT * FROM gold.check_rollups()": {"loader", "consumer", "api", "analyst", "engineer"},
    "SELECT * FROM gold.top_customers('bytes', '2026-03-01', '2026-03-02', 5)": READERS,
    "SELECT rollup.refresh_table('revenue_1d')": {"loader", "consumer"},
    "SELECT ops.open_batch('customer')": {"loader", "consumer"},
    "SELECT silver.apply_customer_changes(1)": set[str](),
    "SELECT * FROM silver.rekey_open()": {"loader"},
    "SELECT silver.rekey_slice(0, now())": {"loader"},
    "SELECT silver.rekey_close(0)": {"loader"},
    "INSERT INTO silver.dim_customer DEFAULT VALUES": set[str](),
    "DELETE FROM silver.customer_change": set[str](),
    "SELECT * FROM vault._pads()": set[str](),
    "SELECT vault.enrol(ARRAY['+44'])": set[str](),
    "SELECT * FROM vault._find(ARRAY['+44'])": set[str](),
    "SELECT set_config('telestream.vault_key', repeat('ab', 32), true), vault.check_key()": {
        "loader",
        "consumer",
        "privacy",
    },
    "SELECT vault.rotate_begin()": set[str](),
    "SELECT vault.rotate_fill(1)": set[str](),
    "SELECT vault.rotate_switch(1)": set[str](),
    "SELECT vault.rotate_move(1)": set[str](),
    "SELECT vault.rotate_end()": set[str](),
    "SELECT vault.rotate_abort()": set[str](),
    "SELECT * FROM ops.maintain()": set[str](),
    "SELECT * FROM ops.retention_plan()": set[str](),
    "SELECT * FROM ops.hypertable_state()": {"engineer"},
    "SELECT * FROM ops.hypertable_span('silver.fact_cdr')": {"engineer"},
    "SELECT * FROM ops.partition_state()": {"engineer"},
    "SELECT * FROM ops.retention_next()": {"engineer"},
    "SELECT * FROM ops.backlog()": {"engineer"},
    "SELECT * FROM ops.apply_storage()": set[str](),
    "UPDATE ops.storage_policy SET compress_after = NULL": set[str](),
    "SELECT ops.raise_horizon('cdr', '2026-01-01')": set[str](),
    "SELECT ops.drop_silver('cdr', '2026-01-01', '2026-01-02')": set[str](),
    "UPDATE ops.horizon SET kept_from = '-infinity'": set[str](),
    "UPDATE ops.retention_rule SET minimum = NULL": set[str](),
    "INSERT INTO ops.legal_hold (dataset, reason) VALUES ('cdr', 'x')": {"privacy"},
    "DELETE FROM ops.legal_hold": set[str](),
    "UPDATE ops.archive_day SET state = 'verified'": set[str](),
    "INSERT INTO quality.rule (dataset, rule, dimension, severity, message) VALUES ('cdr', 'x', 'validity', 'error', 'x')": set[
        str
    ](),
    "SELECT * FROM quality.check_expectations()": {"loader", "consumer"},
    "UPDATE quality.expectation SET at_least = 0": set[str](),
    "DELETE FROM quality.incident": set[str](),
    "DELETE FROM silver.fact_cdr": set[str](),
    "UPDATE bronze.cdr SET caller = 'x'": set[str](),
    "DELETE FROM quality.quarantine": set[str](),
    "SELECT raw FROM quality.quarantine": {"loader", "consumer", "engineer", "privacy"},
    "SELECT record FROM quality.quarantine": {"privacy"},
    "SELECT analytics.acknowledge(1, 'me', NULL)": {"api", "engineer"},
    "UPDATE analytics.anomaly SET acknowledged_at = now()": set[str](),
    "SELECT * FROM api.gold_version()": {"gateway"},
    "UPDATE api.key SET last_used_at = now()": {"gateway"},
    "UPDATE api.key SET revoked_at = NULL": set[str](),
    "INSERT INTO audit.access_inbox (at, principal, role, operation, field, variables_sha256, object_ids, rows_read,"
    " request_id) VALUES (now(), 'key:1', 'api', 'q', 'cdrs', '', '{}', 1, 'r')": {"gateway"},
    **{
        f"{verb} audit.{table}": set[str]()
        for table in ("access_log", "access_inbox", "anchor", "chain_head")
        for verb in ("DELETE FROM", "TRUNCATE")
    },
    "UPDATE audit.access_log SET principal = 'x'": set[str](),
    "UPDATE audit.access_inbox SET principal = 'x'": set[str](),
    "UPDATE audit.anchor SET position = 1": set[str](),
    "UPDATE audit.chain_head SET position = 1": set[str](),
    "INSERT INTO audit.access_log (position) VALUES (1)": set[str](),
    "SELECT audit.seal()": {"gateway", "privacy"},
    "SELECT * FROM audit.maintain()": set[str](),
    "SELECT subscriber_id, key_id, created_at FROM vault.subscriber": {"privacy"},
    "SELECT token FROM vault.subscriber": set[str](),
    "SELECT identity_encrypted FROM vault.subscriber": set[str](),
    "SELECT * FROM privacy.apply_masking()": set[str](),
    "UPDATE privacy.masking_rule SET mask = 'keep'": set[str](),
    "UPDATE ops.pii_class SET pii_class = 'none'": set[str](),
    "SELECT erasure_id, reason, policy, state, proof FROM privacy.erasure": {"privacy"},
    "SELECT plan_encrypted FROM privacy.erasure": set[str](),
    "SELECT subject_token FROM privacy.erasure": set[str](),
    "UPDATE privacy.erasure SET proof = '{}'": set[str](),
    "DELETE FROM privacy.erasure": set[str](),
    "SELECT * FROM vault.find(ARRAY['+44'])": set[str](),
    "SELECT * FROM vault._clear(ARRAY[1])": set[str](),
    "SELECT privacy._person('+447900000001')": set[str](),
    "SELECT privacy._search('{}', 'bronze.cdr', '{}', false)": set[str](),
    "SELECT privacy._unlink_cdrs('{}', 'delete', now(), now(), NULL)": set[str](),
    "SELECT ops.close_lineage()": {"loader", "consumer", "engineer"},
    "SELECT ops.queue_lineage(false)": {"consumer"},
    "SELECT ops.begin_load(1)": {"loader"},
    "SELECT ops.note_dimension('silver.dim_region', '/x', 1, 1, 'test')": {"loader"},
    "SELECT ops.end_load(1, 'COMPLETE', NULL)": {"loader"},
    "SELECT ops.end_run('x', 'COMPLETE', NULL, NULL, NULL)": {"loader"},
    "SELECT ops.maintain_lineage()": set[str](),
    "INSERT INTO ops.lineage_event (job) VALUES ('x')": set[str](),
    "DELETE FROM ops.lineage_event": set[str](),
    "DELETE FROM ops.lineage_outbox": {"consumer"},
    "DELETE FROM ops.notification": {"consumer"},
    "UPDATE ops.notification_channel SET is_enabled = true": {"consumer"},
}


def allowed(connection: psycopg.Connection, role: str, statement: str) -> bool:
    connection.execute(f"SET ROLE telestream_{role}")
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement)
    except errors.InsufficientPrivilege:
        return False
    finally:
        connection.execute("RESET ROLE")
    return True


@pytest.mark.parametrize("role", ROLES)
def test_reading(connection: psycopg.Connection, role: str) -> None:
    can = {name for name in READ if allowed(connection, role, f"SELECT * FROM {name} LIMIT 1")}
    assert can == {name for name, roles in READ.items() if role in roles}


@pytest.mark.parametrize("role", ROLES)
def test_calling_and_writing(connection: psycopg.Connection, role: str) -> None:
    can = {statement for statement in CALL if allowed(connection, role, statement)}
    assert can == {statement for statement, roles in CALL.items() if role in roles}


def test_every_gold_and_masked_view_is_in_the_matrix(connection: psycopg.Connection) -> None:
    rows = connection.execute(
        "SELECT relnamespace::regnamespace::text || '.' || relname FROM pg_class"
        " WHERE relnamespace::regnamespace::text ~ '^(gold|masked_)' AND relkind = 'v'"
    ).fetchall()
    assert {name for (name,) in rows} == {name for name in READ if name.startswith(("gold.", "masked_"))}


def test_the_gateway_reads_data_only_as_somebody(connection: psycopg.Connection, superuser: psycopg.Connection) -> None:
    superuser.execute("CREATE ROLE test_gateway_login LOGIN")
    try:
        superuser.execute("GRANT telestream_gateway TO test_gateway_login")
        superuser.execute("SET SESSION AUTHORIZATION test_gateway_login")
        with pytest.raises(errors.InsufficientPrivilege):
            superuser.execute("SELECT * FROM gold.cdr")
        for role in ("api", "analyst", "engineer", "privacy"):
            with superuser.transaction():
                superuser.execute(f"SET LOCAL ROLE telestream_{role}")
                superuser.execute("SELECT * FROM gold.cdr")
        for role in ("owner", "loader", "consumer"):
            with pytest.raises(errors.InsufficientPrivilege):
                superuser.execute(f"SET ROLE telestream_{role}")
    finally:
        superuser.execute("RESET SESSION AUTHORIZATION")
        superuser.execute("DROP ROLE test_gateway_login")


@pytest.mark.parametrize("role", sorted(set(ROLES) - {"privacy"}))
def test_readers_reach_no_chunk_behind_the_views(
    connection: psycopg.Connection, superuser: psycopg.Connection, role: str
) -> None:
    refine(connection, [cdr()])
    chunks = superuser.execute("SELECT c::text FROM public.show_chunks('silver.fact_cdr') AS c").fetchall()
    connection.execute("CALL rollup.refresh_pending()")
    chunks += superuser.execute("SELECT c::text FROM public.show_chunks('rollup.revenue_1d_v1') AS c").fetchall()
    chunks += superuser.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits"
        " WHERE inhparent IN ('bronze.cdr'::regclass, 'bronze.network_event'::regclass, 'audit.access_log'::regclass)"
    ).fetchall()
    assert len(chunks) > 12
    for (chunk,) in chunks:
        assert not allowed(connection, role, f"SELECT * FROM {chunk} LIMIT 1"), chunk


def test_nothing_an_analyst_reads_names_a_person_or_a_device(connection: psycopg.Connection) -> None:
    refine(connection, [cdr(extras='{"ip": "10.1.2.3", "url": "http://example.test/me"}')])
    connection.execute("CALL rollup.refresh_pending()")
    connection.execute("SET ROLE telestream_analyst")
    names = [
        name
        for (name,) in connection.execute(
            "SELECT c.oid::regclass::text FROM pg_class AS c"
            " WHERE c.relkind IN ('r', 'v', 'p', 'm')"
            " AND c.relnamespace::regnamespace::text"
            " IN ('bronze', 'silver', 'gold', 'rollup', 'quality', 'ops', 'vault', 'privacy', 'analytics', 'api', 'audit',"
            " 'masked_api', 'masked_analyst', 'masked_engineer')"
            " AND has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"
        ).fetchall()
    ]
    assert {"gold.cdr", "masked_analyst.bronze_cdr"} <= set(names)
    for name in names:
        text = str(connection.execute(f"SELECT to_jsonb(t) FROM {name} AS t LIMIT 2000").fetchall())
        for secret in (
            "447900000001",
            "447900000002",
            "234150000000001",
            "35693803",
            "10.1.2.3",
            "example.test",
        ):
            assert secret not in text, name
    connection.execute("RESET ROLE")


def test_a_foreign_temporary_table_is_not_trusted(connection: psycopg.Connection, vault_key_file: str) -> None:
    connection.execute("SET ROLE telestream_loader")
    connection.execute("CREATE TEMPORARY TABLE _identity (identity text, subscriber_id bigint)")
    connection.execute("SELECT set_config('telestream.vault_key', %s, false)", (vault_key_file,))
    with pytest.raises(psycopg.Error) as caught:
        connection.execute("SELECT silver.enrol_cdr(1, ARRAY['+44'], NULL, NULL, NULL)")
    assert caught.value.sqlstate == "TS006"


def test_every_object_a_reader_sees_has_a_comment(connection: psycopg.Connection) -> None:
    missing = connection.execute(
        """
        SELECT c.oid::regclass::text, a.attname
        FROM pg_class AS c
        INNER JOIN pg_attribute AS a ON c.oid = a.attrelid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace::regnamespace::text IN (
            'bronze', 'gold', 'silver', 'quality', 'ops', 'vault', 'analytics', 'api', 'audit', 'privacy',
            'masked_api', 'masked_analyst', 'masked_engineer'
        )
            AND c.relkind IN ('r', 'v', 'p') AND NOT c.relispartition
            AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)
        UNION ALL
        SELECT p.oid::regprocedure::text, ''
        FROM pg_proc AS p
        WHERE p.pronamespace::regnamespace::text IN (
            'bronze', 'gold', 'silver', 'rollup', 'quality', 'ops', 'vault', 'analytics', 'api', 'audit', 'privacy'
        )
            AND obj_description(p.oid, 'pg_proc') IS NULL
        """
    ).fetchall()
    assert missing == []
