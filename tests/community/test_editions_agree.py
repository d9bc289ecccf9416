"""Edition conformance: the same migrations and workload give the same Gold on community and Apache."""

from __future__ import annotations

import datetime
import re
from typing import Any

import psycopg
import pytest
from staging import cdr, change, event, refine, refine_customers, refine_events

from telestream.db import migrate
from telestream.grafana.macros import expand
from telestream.grafana.queries import boards

pytestmark = [pytest.mark.community, pytest.mark.slow]

VIEWS = (
    "cell_traffic_5m", "cell_traffic_1h", "cell_traffic_1d", "region_traffic_1h", "region_traffic_1d",
    "network_kpi_hourly", "network_kpi_daily", "top_customers('bytes', '2026-03-01', '2026-04-10', 200)",
    "fact_customer_usage_daily", "revenue_daily", "cdr", "network_5m", "network_1h",
    "customer", "customer_history",
)  # fmt: skip
# Keys are given in the order of arrival by sequences, which an aborted insert may advance.
SURROGATES = {"cell_key", "region_key", "plan_key", "subscriber_id", "caller_id", "called_id", "customer_key"}


def workload(part: int) -> list[dict[str, Any]]:
    """Return CDRs over three days, with duplicates, late rows and bad rows, the same for each call."""
    start = datetime.datetime(2026, 3, 28, 22, 0, tzinfo=datetime.UTC)
    rows = []
    for n in range(120):
        at = start + datetime.timedelta(minutes=n * 29 + part * 7) - datetime.timedelta(hours=30 * (n % 11 == 0))
        kind = ("voice", "data", "sms", "mms", "other")[n % 5]
        rows.append(
            cdr(
                native_key=f"{part}-{n}",
                record_type=kind,
                started_at=at.isoformat(),
                answered_at=None,
                ended_at=None,
                caller=f"+4479{n % 17:08d}",
                called=f"+4420{n % 7:08d}",
                cell_id=f"234-15-{n % 6}" if n % 13 else None,
                disposition=("answered", "busy", "failed", "dropped", "no_answer")[n % 5] if kind == "voice" else None,
                billed_s=n if n % 3 else None,
                bytes_up=n * 1000 if kind == "data" else None,
                charge_micro=n * 12_345,
                currency="GBP" if n % 9 else "EUR",
                plan_code=f"plan-{n % 4}" if n % 4 else None,
                leg=n % 2,
                **({"duration_s": -1} if n % 40 == 7 else {}),
            )
        )
    return rows + rows[:5]


def events(part: int) -> list[dict[str, Any]]:
    """Return network events over a day, with duplicates, late rows and bad rows, the same for each call."""
    start = datetime.datetime(2026, 3, 28, 22, 0, tzinfo=datetime.UTC)
    kinds = ("kpi_sample", "rrc_setup", "handover", "attach", "drop", "alarm")
    rows = []
    for n in range(120):
        at = start + datetime.timedelta(minutes=n * 11 + part * 3) - datetime.timedelta(hours=9 * (n % 10 == 0))
        rows.append(
            event(
                event_id=f"{part}-{n}",
                event_at=at.isoformat(),
                event_type=kinds[n % 6],
                outcome=("success", "failure", None)[n % 3],
                cell_id=f"234-15-{n % 6}" if n % 13 else None,
                technology=("4g", "5g", None)[n % 3],
                latency_ms=-1.0 if n % 40 == 7 else n * 3.7 if n % 4 else None,
                rsrp_dbm=-70 - n / 7 if n % 5 else None,
                is_late=n % 10 == 0,
            )
        )
    return rows + rows[:5]


def customers(part: int) -> list[dict[str, Any]]:
    """Return changes of customers, the later part the earlier ones, with a claim to a number that others have."""
    start = datetime.datetime(2026, 3, 27, tzinfo=datetime.UTC)
    rows = []
    for n in range(20):
        at = start + datetime.timedelta(hours=(n * 7) % 40 + 24 * (2 - part))
        rows.append(
            change(
                customer_id=f"C{n % 9}",
                changed_at=at.isoformat(),
                msisdn=f"+4479{(n % 9 + (n == 13)) % 17:08d}",
                plan_code=("plan-1", "plan-2", "lost")[n % 3],
                segment=f"s{n % 2}",
                is_deleted=n == 17,
            )
        )
    return rows + rows[:3]


def run(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Load in three parts, refreshing in between, and return every Gold view."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        counts = []
        connection.execute("SET ROLE telestream_owner")
        connection.execute(
            "INSERT INTO silver.dim_service_plan (plan_code, name) VALUES ('plan-1', 'a'), ('plan-2', 'b')"
        )
        connection.execute("RESET ROLE")
        for part in range(3):
            counts.append(refine(connection, workload(part))[1:])
            counts.append(refine_customers(connection, customers(part))[1:])
            if part != 1:
                connection.execute("CALL silver.rekey_pending()")
            counts.append(refine_events(connection, events(part))[1:])
            if part != 1:
                connection.execute("SET ROLE telestream_owner")
                connection.execute("CALL rollup.refresh_pending()")
                connection.execute("RESET ROLE")
        # The same records once more, and with a rule put right.
        counts.append(refine(connection, workload(1))[1:])
        counts.append(refine_events(connection, events(1))[1:])
        connection.execute("SET ROLE telestream_owner")
        connection.execute("UPDATE quality.rule SET is_enabled = false WHERE rule = 'negative_duration'")
        counts.extend(
            connection.execute("SELECT rows_in, rows_loaded, rows_duplicate FROM quality.replay()").fetchall()
        )
        connection.execute("CALL rollup.refresh_pending()")
        assert connection.execute("SELECT * FROM gold.check_rollups()").fetchall() == []
        result: dict[str, list[tuple[Any, ...]]] = {"counts": counts}
        connection.execute("SET timezone = 'UTC'")
        for view in VIEWS:
            cursor = connection.execute(f"SELECT * FROM gold.{view}")
            names = [column.name for column in cursor.description or ()]
            kept = [position for position, name in enumerate(names) if name not in SURROGATES]
            rows = [tuple(str(row[position]) for position in kept) for row in cursor.fetchall()]
            result[view] = sorted(rows)
            assert rows, view
        result |= panels(connection)
        return result


def panels(connection: psycopg.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Return what each query of the dashboards brings, of those that are not about when rows were loaded."""
    connection.execute("SET ROLE telestream_analyst")
    found = {}
    for board in boards():
        shown = board.range_to(datetime.datetime(2026, 3, 30, 6, tzinfo=datetime.UTC))
        values = board.values(shown, lambda sql: connection.execute(sql).fetchall())
        for query in board.sql():
            rows = connection.execute(expand(query.text, shown, values)).fetchall()
            if not re.search(r"ops\.|quality\.|now\(\)", query.text):
                found[f"{board.name}, {query.owner}, {query.text}"] = [tuple(map(str, row)) for row in rows]
    assert sum(bool(rows) for rows in found.values()) > 30
    return found


def test_every_gold_view_is_equal_row_by_row(fresh_community_url: str, database: str, vault_key_file: str) -> None:
    assert vault_key_file
    migrate.upgrade(fresh_community_url)
    community, apache = run(fresh_community_url), run(database)
    assert community["counts"] == apache["counts"]
    for view in VIEWS:
        assert community[view] == apache[view], view


def test_revisions_go_down_and_up_on_the_community_edition(fresh_community_url: str) -> None:
    migrate.upgrade(fresh_community_url)
    migrate.downgrade(fresh_community_url, "base")
    migrate.upgrade(fresh_community_url)
    with psycopg.connect(fresh_community_url, prepare_threshold=None) as connection:
        migrate.require_head(connection)
