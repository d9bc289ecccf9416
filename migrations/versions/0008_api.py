"""The GraphQL API: keys, persisted queries, who read what, and anomalies that people acknowledge.

Why: the API logs in as `telestream_gateway`, which has no right on data; each transaction takes the role of
the caller with SET LOCAL ROLE, so that PostgreSQL and not Python decides what may be read. Engineers are a
role of their own because the text of a refused record may name a person.

`audit.access_log` is a plain table for now: the privacy issue partitions it and chains its rows.
"""

from telestream.db.revision import run_sql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
