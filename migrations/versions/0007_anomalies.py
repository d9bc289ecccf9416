"""Anomalies: KPIs and their thresholds as rows, baselines, and one open anomaly per cell and KPI.

Why: thresholds are changed by the people of network operations, without a deploy; the baseline an anomaly
was judged by is kept, so that it can be explained later.
"""

from telestream.db.revision import run_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
