"""CDRs: bookkeeping of batches, Bronze under pg_partman, the Silver hypertable, quality tables.

Why: the batch is the unit of commit, so it carries the reconciliation as a CHECK; Bronze is
partitioned by batch because retention is then a partition drop and frees its disk at once.
"""

from telestream.db.revision import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
