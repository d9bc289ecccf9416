"""What is known of a person, as JSON lines: for an access request, read with bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg

from telestream.db.connection import Connection

_ROWS_AT_A_TIME = 2_000
_ALWAYS = "{(,)}"
_NOTHING = "(?=a)b"
# Of the other party of a call nothing is given: no number, no surrogate, no customer. Times, places, amounts are the
# person's own.
_PARTS: dict[str, str] = {
    "customer_changes": """
        SELECT c.customer_id, c.changed_at, c.source_system, p.plan_code, r.region_code, c.birth_year, c.segment,
            c.status
        FROM silver.customer_change AS c
        INNER JOIN silver.dim_service_plan AS p ON c.plan_key = p.plan_key
        INNER JOIN silver.dim_region AS r ON c.region_key = r.region_key
        WHERE c.customer_id = ANY (%(customers)s) ORDER BY c.changed_at""",
    "customer_versions": """
        SELECT d.customer_id, d.valid_from, d.next_from AS valid_to, d.is_current, p.plan_code, r.region_code,
            d.birth_year, d.segment, d.status, d.source_system
        FROM silver.dim_customer AS d
        INNER JOIN silver.dim_service_plan AS p ON d.plan_key = p.plan_key
        INNER JOIN silver.dim_region AS r ON d.region_key = r.region_key
        WHERE d.customer_id = ANY (%(customers)s) AND d.customer_key <> 0 ORDER BY d.valid_from""",
    "cdrs": """
        SELECT f.cdr_id, f.started_at, f.answered_at, f.ended_at, f.source_system, f.record_type, f.direction,
            CASE WHEN {caller} THEN 'caller' WHEN {called} THEN 'called' ELSE 'served' END AS side,
            c.cell_id, c.name AS cell_name, r.region_code, f.technology, f.tac, f.apn, f.is_roaming, f.disposition,
            {served} AS is_served,
            CASE WHEN {served} THEN f.duration_s END AS duration_s,
            CASE WHEN {served} THEN f.billed_s END AS billed_s,
            CASE WHEN {served} THEN f.bytes_up END AS bytes_up,
            CASE WHEN {served} THEN f.bytes_down END AS bytes_down,
            CASE WHEN {served} THEN f.charge_micro END AS charge_micro,
            CASE WHEN {served} THEN f.currency END AS currency,
            CASE WHEN {served} THEN p.plan_code END AS plan_code
        FROM silver.fact_cdr AS f
        INNER JOIN silver.dim_network_cell AS c ON f.cell_key = c.cell_key
        INNER JOIN silver.dim_region AS r ON f.region_key = r.region_key
        INNER JOIN silver.dim_service_plan AS p ON f.plan_key = p.plan_key
        WHERE {caller} OR {called} OR {served}""",
    "network_events": """
        SELECT f.event_at, f.event_id, f.source_system, f.event_type, f.outcome, f.technology, f.severity,
            c.cell_id, c.name AS cell_name, f.rsrp_dbm, f.rsrq_db, f.sinr_db, f.latency_ms, f.throughput_up_kbps,
            f.throughput_down_kbps, f.packet_loss_pct, f.cause, f.payload
        FROM silver.fact_network_event AS f
        INNER JOIN silver.dim_network_cell AS c ON f.cell_key = c.cell_key
        WHERE {event}""",
    "usage_by_day": """
        SELECT u.* FROM gold.fact_customer_usage_daily AS u WHERE u.subscriber_id = ANY (%(ids)s)""",
    "fraud_cases": """
        SELECT c.case_id, c.rule, c.description, c.severity, c.score, c.started_at, c.last_seen_at, c.closed_at
        FROM gold.fraud_case AS c WHERE c.subscriber_id = ANY (%(own)s) ORDER BY c.case_id""",
    "segments": """
        SELECT s.* FROM gold.customer_segment AS s WHERE s.subscriber_id = ANY (%(own)s) ORDER BY s.week""",
    "churn_risks": """
        SELECT c.* FROM gold.churn_risk AS c WHERE c.subscriber_id = ANY (%(own)s) ORDER BY c.week""",
    "raw_customer_changes": """
        SELECT b.* FROM bronze.customer AS b WHERE b.customer_id = ANY (%(customers)s)""",
    "raw_cdrs": """
        SELECT b.batch_id, b.line, b.source_system, b.native_key, b.record_type, b.direction,
            CASE WHEN b.caller = ANY (%(forms)s) THEN b.caller END AS caller,
            CASE WHEN b.called = ANY (%(forms)s) THEN b.called END AS called,
            CASE WHEN {raw_served} THEN b.imsi END AS imsi, CASE WHEN {raw_served} THEN b.imei END AS imei,
            b.started_at, b.answered_at, b.ended_at,
            CASE WHEN {raw_served} THEN b.duration_s END AS duration_s,
            CASE WHEN {raw_served} THEN b.cell_id END AS cell_id,
            CASE WHEN {raw_served} THEN b.bytes_up END AS bytes_up,
            CASE WHEN {raw_served} THEN b.bytes_down END AS bytes_down,
            CASE WHEN {raw_served} THEN b.charge_micro END AS charge_micro,
            CASE WHEN {raw_served} THEN b.currency END AS currency, b.disposition
        FROM bronze.cdr AS b
        WHERE b.caller = ANY (%(forms)s) OR b.called = ANY (%(forms)s) OR {raw_served}""",
    "raw_network_events": """
        SELECT b.* FROM bronze.network_event AS b WHERE b.subscriber = ANY (%(forms)s)""",
    "refused_records": """
        SELECT q.quarantine_id, q.dataset, q.batch_id, q.line, q.rules, q.quarantined_at, q.replayed_at,
            CASE WHEN {refused_own} THEN q.record - ARRAY['caller', 'called', 'extras'] END AS record,
            q.record IS NULL AS is_unreadable
        FROM quality.quarantine AS q
        WHERE concat_ws(' ', q.raw, q.record) ~ %(pattern)s OR {refused_own}""",
    "undecodable_messages": """
        SELECT d.dead_letter_id, d.topic, d.partition, d.kafka_offset, d.reason, d.received_at
        FROM ops.dead_letter AS d
        WHERE concat_ws(' ', privacy._bytes_text(d.key), privacy._bytes_text(d.value),
            d.detail) ~ %(pattern)s""",
    "reads": """
        SELECT l.at, l.role, l.operation, l.field, l.rows_read
        FROM audit.access_log AS l
        WHERE l.field IN ('customer', 'topCustomers', 'fraudCases', 'vault.subscriber', 'privacy')
            AND l.object_ids && %(names)s
        ORDER BY l.position""",
}  # fmt: skip
_CONDITIONS = {
    # A number that others had as well is the person's for the times alone in which it led to them.
    "caller": "(f.caller_id = ANY (%(own)s) OR EXISTS (SELECT FROM unnest(%(shared)s::bigint[],"
    " %(spans)s::tstzmultirange[]) AS s (id, span) WHERE s.id = f.caller_id AND s.span @> f.started_at))",
    "called": "(f.called_id = ANY (%(own)s) OR EXISTS (SELECT FROM unnest(%(shared)s::bigint[],"
    " %(spans)s::tstzmultirange[]) AS s (id, span) WHERE s.id = f.called_id AND s.span @> f.started_at))",
    "served": "(f.subscriber_id = ANY (%(own)s) OR EXISTS (SELECT FROM unnest(%(shared)s::bigint[],"
    " %(spans)s::tstzmultirange[]) AS s (id, span) WHERE s.id = f.subscriber_id AND s.span @> f.started_at))",
    "event": "(f.subscriber_id = ANY (%(own)s) OR EXISTS (SELECT FROM unnest(%(shared)s::bigint[],"
    " %(spans)s::tstzmultirange[]) AS s (id, span) WHERE s.id = f.subscriber_id AND s.span @> f.event_at))",
    "raw_served": "(CASE WHEN b.direction = 'mt' THEN b.called ELSE b.caller END = ANY (%(forms)s)"
    " OR b.imsi = ANY (%(sims)s) OR b.imei = ANY (%(devices)s))",
    "refused_own": "(coalesce(CASE WHEN q.record ->> 'direction' = 'mt' THEN q.record ->> 'called' ELSE"
    " coalesce(q.record ->> 'caller', q.record ->> 'subscriber', q.record ->> 'msisdn') END, '') = ANY (%(forms)s)"
    " OR q.record ->> 'customer_id' = ANY (%(customers)s))",
}  # fmt: skip


def request(connection: Connection, subject: str, reason: str) -> dict[str, Any]:
    """Write down who asks for what, then return what belongs to the person, see privacy._person().

    Args:
        connection: autocommit, as the privacy officer, with the vault key.
        subject: the person.
        reason: why; kept in the access log.

    Raises:
        psycopg.Error: TS032 no usable reason, TS037 nothing is known of the subject.
    """
    row = connection.execute("SELECT privacy.request_export(%s, %s)", (subject, reason)).fetchone()
    person = connection.execute("SELECT privacy.exported_person(%s, %s)", (row[0] if row else 0, subject)).fetchone()
    assert person is not None  # a function returns one row
    return dict(person[0])


def lines(connection: Connection, person: dict[str, Any]) -> Iterator[str]:
    """Yield a JSON document line by line: one list per part, all as of one moment."""
    own, shared = person["certain"], person["shared"]
    identities: list[str] = person["identities"]
    values = {
        "customers": person["customers"],
        "own": own,
        "shared": [one["id"] for one in shared],
        "spans": [one["spans"] for one in shared],
        # Days of Gold are not cut: of a number that others had too they would tell about those.
        "ids": own,
        "names": [str(one) for one in own],
        # A national form may be a number of another country: it is erased, and not given away.
        "forms": [form for form in person["forms"] if _certain(form, identities)],
        "sims": [one.removeprefix("imsi:") for one in identities if one.startswith("imsi:")],
        "devices": [one.removeprefix("imei:") for one in identities if one.startswith("imei:")],
        "pattern": "|".join(one["pattern"] for one in person["targets"] if one["spans"] == _ALWAYS) or _NOTHING,
    }  # fmt: skip
    yield "{"
    yield f' "subject": {json.dumps(person["subject"])},'
    yield f' "customers": {json.dumps(person["customers"])},'
    yield f' "identities": {json.dumps(identities)},'
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.execute("SET LOCAL timezone = 'UTC'")
        for number, (name, query) in enumerate(_PARTS.items()):
            statement = f"SELECT to_jsonb(x.*)::text FROM ({query.format_map(_CONDITIONS)}) AS x"
            yield f' "{name}": ['
            with psycopg.ServerCursor(connection, f"export_{number}") as cursor:
                cursor.itersize = _ROWS_AT_A_TIME
                cursor.execute(statement, values)
                before: str | None = None
                for (text,) in cursor:
                    if before is not None:
                        yield f"  {before},"
                    before = text
                if before is not None:
                    yield f"  {before}"
            yield " ]," if number < len(_PARTS) - 1 else " ]"
    yield "}"


def _certain(form: str, identities: list[str]) -> bool:
    """Say whether a form names the country too."""
    return any(
        one.startswith("+") and form.lstrip("+").removeprefix("011").removeprefix("00") == one[1:] for one in identities
    )
