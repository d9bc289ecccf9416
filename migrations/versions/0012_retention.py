"""Retention, legal holds, the archive's ledger, and the horizon below which Gold is final.

Why: once a day has left Silver, its buckets cannot be computed anew: a late row would be all that is left of
them. So each fact has a horizon that rows and refreshes keep off, and it rises before anything is dropped.
How long to keep what becomes data: a minimum and a maximum per kind of record and jurisdiction, instead of one
setting for Bronze.
"""

from telestream.db.revision import run_sql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
