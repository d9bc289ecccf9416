"""A person to erase, the search for them everywhere, and the erasure itself."""

from __future__ import annotations

import json
import re
from typing import Any

import psycopg

from telestream.db import erasure
from telestream.db.vault import lend_vault_key, vault_key

NUMBER = "+447911123456"
SECOND = "+447911123457"
OTHER = "+447900000002"
SIM = "234150000000777"
DEVICE = "356938035643809"
CUSTOMER = "CRM-000815"
REASON = "erasure request 17/2026"
DIGITS = re.compile(r"7[-. ()/]*9[-. ()/]*1[-. ()/]*1[-. ()/]*1[-. ()/]*2[-. ()/]*3[-. ()/]*4[-. ()/]*5[-. ()/]*[67]")


def dump(connection: psycopg.Connection) -> dict[str, str]:
    """Return all rows of all tables as text, chunks and partitions included; bytes as Latin-1."""
    connection.execute("RESET ROLE")
    names = connection.execute(
        "SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.relkind IN ('r', 'p', 'm') AND"
        " c.relnamespace::regnamespace::text IN ('bronze', 'silver', 'rollup', 'quality', 'vault', 'privacy', 'ops',"
        " 'analytics', 'api', 'audit', 'partman') ORDER BY 1"
    ).fetchall()
    connection.execute("SET bytea_output = 'escape'")
    return {
        name: "\n".join(text for (text,) in connection.execute(f"SELECT t::text FROM {name} AS t").fetchall())
        for (name,) in names
    }


def naming(connection: psycopg.Connection, *words: str) -> set[str]:
    """Return the tables in which a number of the person stands in any form, or one of the words."""
    return {
        name for name, text in dump(connection).items() if DIGITS.search(text) or any(word in text for word in words)
    }


def erase(connection: psycopg.Connection, subject: str, policy: str = "unlink", reason: str = REASON) -> erasure.Proof:
    connection.execute("SET ROLE telestream_privacy")
    lend_vault_key(connection, vault_key())
    try:
        number = erasure.request(connection, subject, reason, policy)
        return erasure.carry_out(connection, number, lambda: 0, wait_seconds=60, told=lambda *_: None)
    finally:
        connection.execute("RESET ROLE")


def gold(connection: psycopg.Connection) -> dict[str, list[str]]:
    """Return what Gold says, surrogates left out: they are nobody's."""
    views = ("cell_traffic_5m", "cell_traffic_1d", "revenue_daily", "region_traffic_1d", "network_5m", "network_1h")
    shown = {
        view: sorted(row[0] for row in connection.execute(f"SELECT v::text FROM gold.{view} AS v")) for view in views
    }
    shown["usage"] = sorted(
        row[0]
        for row in connection.execute(
            "SELECT (to_jsonb(v) - 'subscriber_id')::text FROM gold.fact_customer_usage_daily AS v"
        )
    )
    return shown


def refuse(
    connection: psycopg.Connection, raw: str, *, record: dict[str, Any] | None = None, dataset: str = "cdr"
) -> int:
    (batch,) = connection.execute("SELECT max(batch_id) FROM ops.batch WHERE dataset = %s", (dataset,)).fetchone()
    (found,) = connection.execute(
        "INSERT INTO quality.quarantine (dataset, batch_id, line, rules, reason, raw, record)"
        " VALUES (%s, %s, 9, '{unparsable_value}', %s, %s, %s) RETURNING quarantine_id",
        (dataset, batch, f"caller: cannot read '{raw[:20]}'", raw, json.dumps(record) if record else None),
    ).fetchone()
    return int(found)


def quarantined(connection: psycopg.Connection, number: int) -> tuple[str, str, dict[str, Any] | None]:
    row = connection.execute(
        "SELECT raw, reason, record FROM quality.quarantine WHERE quarantine_id = %s", (number,)
    ).fetchone()
    assert row is not None
    return row
