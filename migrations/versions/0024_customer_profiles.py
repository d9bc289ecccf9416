"""Profiles of customers: weeks, segments, behaviour, and the risk of churn.

Why: who is about to leave shows in how use changes from week to week, which no rollup holds: weeks are kept here as
Gold gives them, and segments, vectors and the model of churn stand on them. They are about persons: no reader has the
tables, vectors are shown to nobody, and what has no row in the vault any more has none here.
"""

from telestream.db.revision import run_sql

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
