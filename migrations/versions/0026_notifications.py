"""Notifications of alerts to people, and the freshness of customers.

Why: alerts went to Kafka and to pages that somebody has to watch. Each channel to people has a queue of its own,
filled in the transaction of the alert, so that an outage of one loses nothing and holds up no other.
"""

from telestream.db.revision import run_sql

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
