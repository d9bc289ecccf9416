"""Requests of erasure and their proofs.

Why: a person's right to be erased is carried out over many tables in many short transactions, so what has been
asked for, how far it is and what was found in the end must be a row: a crash goes on from it, and it stays as the
proof once nothing in it leads to the person any more.
"""

from telestream.db.revision import run_sql

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
