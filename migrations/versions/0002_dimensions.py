"""Dimensions and the vault: cells, regions, plans, days, and who is behind a surrogate.

Why: facts carry the dimension keys themselves, because a continuous aggregate does not see a change
in a joined table. Key 0 is the unknown member, so keys are never null.
"""

from telestream.db.revision import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
