"""Rollups: each defined once, made as a continuous aggregate (community) or a hypertable (Apache).

Why: the editions differ only in how a rollup is stored and refreshed, so the SELECT is written once
per rollup in `0004_rollups/` and kept in `rollup.definition`, from which both are made.
"""

from pathlib import Path

from telestream.db.revision import run_sql, quote_literal
from telestream.settings import settings

revision = "0004"
down_revision = "0003"

FOLDER = Path(__file__).with_suffix("")

# name, source, grain, follows the operator's calendar, children to refresh with it
ROLLUPS = (
    ("cell_traffic_5m", "silver.fact_cdr", "started_at", "5 minutes", False),
    ("cell_traffic_1h", "rollup.cell_traffic_5m_v1", "bucket", "1 hour", False),
    ("cell_traffic_1d", "rollup.cell_traffic_5m_v1", "bucket", "1 day", True),
    ("customer_usage_1d", "silver.fact_cdr", "started_at", "1 day", True),
    ("revenue_1d", "silver.fact_cdr", "started_at", "1 day", True),
)


def upgrade() -> None:
    rows = []
    for position, (name, source, time_column, grain, is_calendar) in enumerate(ROLLUPS):
        select = (FOLDER / f"{name}_v1.sql").read_text().rstrip().rstrip(";")
        select = select.replace("{time_zone}", settings().time_zone)
        values = (name, source, time_column, grain, str(is_calendar).lower(), select)
        rows.append(f"({position}, 1, " + ", ".join(quote_literal(value) for value in values) + ")")
    run_sql(__file__, definitions=",\n".join(rows))


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
