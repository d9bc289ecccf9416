"""Forecasts of the busy hour of cells with their versions, how good each version was, and the capacity of cells.

Why: a cell that will be full in two weeks is to be known before its users know it. A forecast is judged only by what
came of it, so a night's forecast never replaces the one before, and each carries its own backtest.
"""

from telestream.db.revision import run_sql

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
