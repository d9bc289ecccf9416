"""Fingerprints of cells, the ledger of analytics runs, and an index of cells by place on the globe.

Why: which cells behave alike, and which no longer behave as they did, is asked of Gold again and again, and each
answer would add up weeks of it. So each week of a cell is kept as one vector, a fingerprint is a sum of a few of
them, and the refresh of Gold marks the weeks that it changed.
"""

from telestream.db.revision import run_sql

revision = "0018"
down_revision = "0012"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
