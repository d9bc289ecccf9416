"""Lineage: OpenLineage events, written with the rows they describe, and what of them waits to be sent.

Why: who asks where a number comes from needs an answer that cannot be wrong after a crash, so an event commits with
its rows or not at all. Streams and refreshes are noted by slim rows in `ops.lineage_mark`, and become events a minute
at a time: one per window, not one per batch. What is to be sent waits in a table of its own, which is empty where
nobody is sent anything.
"""

from telestream.db.revision import run_sql

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
