"""Retention of raw changes of customers.

Why: bronze.customer has numbers in clear as the other raw tables do, but no rule could name it, so its partitions
were never dropped. It follows what holds for raw CDRs until the operator says otherwise.
"""

from telestream.db.revision import run_sql

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
