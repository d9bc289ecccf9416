"""Busy hours of cells by day.

Why: each night the capacity forecast added up all hours of sixteen weeks anew, to keep the fullest of each day: with
5,000 cells that took longer than to forecast. A day is added up once, and again when its Gold has changed.
"""

from telestream.db.revision import run_sql

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
