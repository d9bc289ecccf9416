"""The trace of a batch.

Why: the refresh of Gold is another connection and often another process than the load. It goes on with the trace of a
batch only if the context of the trace stands with the batch.
"""

from telestream.db.revision import run_sql

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
