"""The customer dimension with history: what the CRM said and when, versions that follow, facts that point to them.

Why: who had which plan, region and segment when a call was made is a question about the past, and a CRM tells of
changes late, twice and out of order. All changes are kept, so that the history of a customer can be made anew from
them whatever the order in which they came; constraints hold it free of overlaps and gaps. Facts carry the key of
the version that was valid when they happened, because rollups cannot join it.
"""

from telestream.db.revision import run_sql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
