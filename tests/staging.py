"""Puts hand-written CDRs and network events into Bronze and refines them, for tests of the database alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from telestream.db.vault import lend_vault_key, vault_key

GOOD: dict[str, Any] = {
    "source_system": "msc-01", "native_key": "k1", "record_type": "voice", "direction": "mo",
    "caller": "+447900000001", "called": "+447900000002", "imsi": "234150000000001", "imei": "356938035643809",
    "started_at": "2026-03-01T09:15:00Z", "answered_at": "2026-03-01T09:15:05Z", "ended_at": "2026-03-01T09:16:05Z",
    "duration_s": 65, "billed_s": 60, "bytes_up": 0, "bytes_down": 0, "cell_id": "234-15-1", "region_code": "GB-LND",
    "technology": "4g", "plan_code": "basic", "charge_micro": 250_000, "currency": "GBP",
    "disposition": "answered", "cause": "16", "is_roaming": False, "apn": None,
}  # fmt: skip


EVENT: dict[str, Any] = {
    "event_id": "e1", "event_at": "2026-03-01T09:15:00Z", "source_system": "oss-01", "event_type": "kpi_sample",
    "outcome": None, "cell_id": "234-15-1", "technology": "4g", "severity": None, "subscriber": "+447900000001",
    "rsrp_dbm": -80.5, "rsrq_db": -10.0, "sinr_db": 12.0, "latency_ms": 25.0, "throughput_up_kbps": 900.0,
    "throughput_down_kbps": 9000.0, "packet_loss_pct": 0.1, "cause": None, "payload": '{"vendor": 1}',
    "is_late": False,
}  # fmt: skip


CHANGE: dict[str, Any] = {
    "source_system": "crm", "customer_id": "C1", "changed_at": "2026-01-01T00:00:00Z", "is_deleted": False,
    "msisdn": "+447900000001", "plan_code": "basic", "region_code": "GB-LND", "segment": "consumer",
    "status": "active", "birth_year": 1980,
}  # fmt: skip


def change(**changes: Any) -> dict[str, Any]:
    """Return a good change of a customer with some fields changed."""
    return CHANGE | changes


def event(**changes: Any) -> dict[str, Any]:
    """Return a good network event with some fields changed."""
    return EVENT | changes


def cdr(**changes: Any) -> dict[str, Any]:
    """Return a good CDR with some fields changed."""
    return GOOD | changes


def refine(
    connection: psycopg.Connection,
    rows: Sequence[dict[str, Any]],
    *,
    promises: Sequence[str] = ("e164",),
    rows_in: int | None = None,
    dataset: str = "cdr",
    role: str = "telestream_consumer",
) -> tuple[int, int, int, int]:
    """Load rows as one batch, as the consumer role does; returns batch id, loaded, duplicate, quarantined."""
    connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
    lend_vault_key(connection, vault_key())
    try:
        with connection.transaction():
            (batch_id,) = connection.execute("SELECT ops.open_batch(%s)", (dataset,)).fetchone()
            connection.execute(
                "INSERT INTO ops.batch (batch_id, dataset, source_kind, promises, rows_in, code_version)"
                " VALUES (%s, %s, 'kafka', %s, %s, 'test')",
                (batch_id, dataset, list(promises), len(rows) if rows_in is None else rows_in),
            )
            for line, row in enumerate(rows, 1):
                names = ["batch_id", "line", *row]
                connection.execute(
                    sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                        sql.Identifier("bronze", dataset),
                        sql.SQL(", ").join(map(sql.Identifier, names)),
                        sql.SQL(", ").join(sql.Placeholder() * len(names)),
                    ),
                    [batch_id, line, *row.values()],
                )
            procedure = sql.Identifier("silver", f"refine_{dataset}")
            connection.execute(sql.SQL("CALL {}(%s)").format(procedure), (batch_id,))
            counts = connection.execute(
                "SELECT batch_id, rows_loaded, rows_duplicate, rows_quarantined FROM ops.batch WHERE batch_id = %s",
                (batch_id,),
            ).fetchone()
    finally:
        connection.execute("RESET ROLE")
    return counts


def refine_events(connection: psycopg.Connection, rows: Sequence[dict[str, Any]]) -> tuple[int, int, int, int]:
    """Load network events as one batch."""
    return refine(connection, rows, promises=(), dataset="network_event")


def refine_customers(connection: psycopg.Connection, rows: Sequence[dict[str, Any]]) -> tuple[int, int, int, int]:
    """Load changes of customers as one batch, as the loader role does."""
    return refine(connection, rows, promises=(), dataset="customer", role="telestream_loader")


def rekey(connection: psycopg.Connection) -> None:
    """Carry what changed about customers to the facts, and bring Gold up to date."""
    connection.execute("CALL silver.rekey_pending()")
    connection.execute("SET ROLE telestream_owner")
    connection.execute("CALL rollup.refresh_pending()")
    connection.execute("RESET ROLE")
