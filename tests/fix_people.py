"""Fixture that gives a test a database in which a person stands wherever one can stand."""

from __future__ import annotations

import json

import psycopg
import pytest
from erasing import CUSTOMER, DEVICE, NUMBER, OTHER, SECOND, SIM
from staging import cdr, change, event, refine, refine_customers, refine_events, rekey


@pytest.fixture
def peopled(connection: psycopg.Connection) -> psycopg.Connection:
    """A database in which the person stands wherever a person can stand."""
    refine(
        connection,
        [
            cdr(native_key="own", caller=NUMBER, called=OTHER, imsi=SIM, imei=DEVICE, extras=json.dumps({"name": "A"})),
            cdr(native_key="received", caller=OTHER, called=NUMBER, extras=json.dumps({"to": "07911 123 456"})),
            cdr(native_key="terminated", caller=OTHER, called=SECOND, direction="mt", imsi=SIM, plan_code=None),
            cdr(native_key="sim", caller=None, called=OTHER, imsi=SIM),
            cdr(native_key="national", caller="07911123456", called=OTHER, imsi=None),
            cdr(native_key="others", caller=OTHER, called="+447900000003", imsi="234150000000002"),
            cdr(native_key="refused", caller=NUMBER, duration_s=-1),
            cdr(native_key="refused2", caller=OTHER, called=NUMBER, duration_s=-1),
        ],
        promises=(),
    )
    connection.execute("UPDATE silver.dim_service_plan SET is_placeholder = false")
    refine_customers(
        connection,
        [
            change(customer_id=CUSTOMER, msisdn=NUMBER),
            change(customer_id=CUSTOMER, msisdn=SECOND, changed_at="2026-02-01T00:00:00Z"),
            change(customer_id="CRM-000816", msisdn=OTHER),
            change(customer_id=CUSTOMER, plan_code="nowhere", changed_at="2026-04-01T00:00:00Z"),
        ],
    )
    refine_events(connection, [event(subscriber=NUMBER), event(event_id="e2", subscriber=OTHER)])
    rekey(connection)
    (batch,) = connection.execute("SELECT max(batch_id) FROM ops.batch WHERE dataset = 'network_event'").fetchone()
    connection.execute(
        "INSERT INTO ops.dead_letter (batch_id, incarnation, topic, partition, kafka_offset, reason, detail, key, value)"
        " VALUES (%s, 'i', 't', 0, 1, 'garbage', 'quotes +447911123456', '07911123456', %s),"
        " (%s, 'i', 't', 0, 2, 'garbage', 'other', NULL, %s)",
        (batch, b"\x00\x00\x1a+447911123456\x05", batch, b"\x00\x1a+447900000002\x05"),
    )
    connection.execute(
        "INSERT INTO ops.source_file (dataset, content_hash, uri, size_bytes, modified_at, profile, profile_hash,"
        " segment_size, code_version) VALUES ('cdr', 'x', '/in/447911123456.csv', 1, now(), 'p', 'p', 1, 'test')"
    )
    connection.execute(
        "INSERT INTO ops.lineage_event (job, run_id, event_type, event)"
        """ VALUES ('load', gen_random_uuid(), 'START', '{"inputs": [{"name": "/in/447911123456.csv"}]}')"""
    )
    # A suspicion against each number that has called.
    connection.execute(
        "INSERT INTO analytics.fraud_case (rule, subscriber_id, severity, score, started_at, last_seen_at)"
        " SELECT (SELECT min(rule) FROM analytics.fraud_rule), f.caller_id, 'minor', 60, min(f.started_at),"
        " max(f.started_at) FROM silver.fact_cdr AS f WHERE f.caller_id <> 0 GROUP BY f.caller_id"
    )
    # What profiles have of them, and a risk of churn of each.
    connection.execute("SET ROLE telestream_owner")
    connection.execute("CALL rollup.refresh_pending()")
    connection.execute("SELECT analytics.build_customer_profiles()")
    connection.execute(
        "INSERT INTO analytics.customer_segment SELECT week, subscriber_id, 'loyal', 0, active_days, currency,"
        " charge_micro, 3, 3, 3 FROM analytics.customer_week ON CONFLICT DO NOTHING"
    )
    connection.execute(
        "WITH made AS (INSERT INTO analytics.churn_model (first_week, last_week, horizon_weeks, customers, churned,"
        " features, means, scales, coefficients, steps, held_customers, later_customers) SELECT '2026-01-05',"
        " '2026-01-05', 4, 200, 20, '{trend}', '{0}', '{1}', '{0,1}', 1, 0, 0 RETURNING version)"
        " INSERT INTO analytics.churn_score (week, subscriber_id, version, risk, contributions)"
        " SELECT s.week, s.subscriber_id, m.version, 0.5, '{0}' FROM analytics.customer_segment AS s, made AS m"
    )
    connection.execute("RESET ROLE")
    return connection
