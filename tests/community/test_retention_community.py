"""On the community edition Gold stays as it was when days leave Silver, compressed chunks included."""

from __future__ import annotations

import datetime
from typing import Any

import psycopg
import pytest
from staging import cdr, event, refine, refine_events

from telestream.db import migrate

pytestmark = pytest.mark.community

DAYS = [datetime.date(2026, 3, 28) + datetime.timedelta(days=n) for n in range(4)]
VIEWS = (
    "cell_traffic_5m", "cell_traffic_1h", "cell_traffic_1d", "fact_customer_usage_daily", "revenue_daily",
    "network_5m", "network_1h",
)  # fmt: skip


def gold(connection: psycopg.Connection) -> dict[str, list[str]]:
    return {
        view: sorted(text for (text,) in connection.execute(f"SELECT v::text FROM gold.{view} AS v").fetchall())
        for view in VIEWS
    }


def drop(connection: psycopg.Connection, dataset: str, lo: datetime.date) -> int:
    connection.execute("SELECT ops.raise_horizon(%s, %s::date + 1)", (dataset, lo))
    row = connection.execute("SELECT ops.drop_silver(%s, %s::date, %s::date + 1)", (dataset, lo, lo)).fetchone()
    return int(row[0]) if row else 0


def rows(day: datetime.date, **changes: Any) -> list[dict[str, Any]]:
    return [
        cdr(
            native_key=f"{day}-{n}-{changes}",
            started_at=f"{day}T{n:02d}:10:00Z",
            answered_at=None,
            ended_at=None,
            cell_id=f"234-15-{n % 3}",
            **changes,
        )
        for n in range(24)
    ]


def test_gold_is_the_same_after_days_have_left(fresh_community_url: str, vault_key_file: str) -> None:
    assert vault_key_file
    migrate.upgrade(fresh_community_url)
    with psycopg.connect(fresh_community_url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("SET timezone = 'UTC'")
        for day in DAYS:
            refine(connection, rows(day))
            refine_events(
                connection, [event(event_id=f"{day}-{n}", event_at=f"{day}T{n:02d}:10:00Z") for n in range(24)]
            )
        connection.execute("SET ROLE telestream_owner")
        connection.execute("CALL rollup.refresh_pending()")
        connection.execute(
            "ALTER TABLE silver.fact_cdr SET (timescaledb.compress, timescaledb.compress_orderby = 'started_at')"
        )
        connection.execute(
            "SELECT compress_chunk(c) FROM show_chunks('silver.fact_cdr', older_than => '2026-03-30'::timestamptz) AS c"
        )
        before = gold(connection)
        whole = connection.execute("SELECT hypertable_size('silver.fact_cdr')").fetchone()
        # Two compressed days and one that is not.
        freed = sum(drop(connection, "cdr", day) for day in DAYS[:3])
        left = connection.execute("SELECT hypertable_size('silver.fact_cdr')").fetchone()
        assert freed > 0
        assert whole is not None
        assert left is not None
        assert whole[0] - left[0] == freed
        for day in DAYS[:3]:
            assert drop(connection, "network_event", day) > 0
        assert connection.execute("SELECT count(*) FROM silver.fact_cdr").fetchone() == (24,)
        assert gold(connection) == before
        assert connection.execute("SELECT * FROM gold.check_rollups()").fetchall() == []
        connection.execute("RESET ROLE")

        # Late rows are refused, a replay refuses them again, and a refresh of what came with them harms nothing.
        late = rows(DAYS[1], bytes_up=5) + rows(DAYS[3], bytes_up=5)
        assert refine(connection, late)[1:] == (24, 0, 24)
        connection.execute("SELECT * FROM quality.replay()")
        connection.execute("SET ROLE telestream_owner")
        connection.execute("CALL rollup.refresh_pending()")
        connection.execute("CALL rollup.refresh_pending()")
        after = gold(connection)
        first_kept = str(DAYS[3])
        for view in VIEWS:
            old = [text for text in before[view] if text[2:12] < first_kept and text[1:11] < first_kept]
            assert old, view
            assert set(old) <= set(after[view]), view
        total = connection.execute("SELECT sum(attempts) FROM gold.cell_traffic_1d").fetchone()
        assert total == (24 * 4 + 24,)
        assert connection.execute("SELECT * FROM gold.check_rollups()").fetchall() == []

        # With the rule switched off, the database raises.
        connection.execute("UPDATE quality.rule SET is_enabled = false WHERE rule = 'before_horizon'")
        connection.execute("RESET ROLE")
        with pytest.raises(psycopg.Error) as caught:
            refine(connection, rows(DAYS[1], bytes_up=6))
        assert caught.value.sqlstate == "TS011"
        connection.execute("SET ROLE telestream_owner")
        assert gold(connection) == after
        # So it does when somebody passes our routines by.
        for rollup in ("cell_traffic_5m", "customer_usage_1d", "revenue_1d"):
            with pytest.raises(psycopg.Error) as caught:
                connection.execute(f"CALL refresh_continuous_aggregate('rollup.{rollup}_v1', NULL, NULL)")
            assert caught.value.sqlstate == "TS011"
        assert gold(connection) == after
