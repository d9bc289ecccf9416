"""Expectations are judged on the community edition as on the other one: from Gold, from Silver, with their alerts."""

from __future__ import annotations

from datetime import date, timedelta

import psycopg
import pytest
from days import instant, load_day, prepare, refresh

from telestream.db import migrate

pytestmark = pytest.mark.community

TUESDAY = date(2026, 6, 2)


def test_a_thin_day_and_lost_cells_are_found(fresh_community_url: str) -> None:
    migrate.upgrade(fresh_community_url)
    with psycopg.connect(fresh_community_url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("SET timezone = 'UTC'")
        prepare(connection)
        connection.execute("UPDATE quality.expectation SET min_support = 10 WHERE min_support > 0")
        for week in (3, 2, 1):
            load_day(connection, TUESDAY - timedelta(weeks=week), 60)
        load_day(connection, TUESDAY, 20, cell="cell-4")
        refresh(connection)
        found = connection.execute(
            "SELECT rule, outcome FROM quality.check_expectations(%s) WHERE bucket = %s AND dataset = 'cdr'"
            " ORDER BY rule",
            (instant(TUESDAY + timedelta(days=1), 7), instant(TUESDAY)),
        ).fetchall()
        assert found == [
            ("daily_score", "no_history"),
            ("plan_mix", "passed"),
            ("record_type_mix", "passed"),
            ("rows_per_day", "failed"),
            ("unknown_cells", "failed"),
            ("unknown_customers", "passed"),
            ("unknown_plans", "passed"),
        ]
        alerts = connection.execute(
            "SELECT payload ->> 'kpi', payload ->> 'status' FROM ops.outbox ORDER BY outbox_id"
        ).fetchall()
        assert alerts == [("rows_per_day", "opened"), ("unknown_cells", "opened")]
