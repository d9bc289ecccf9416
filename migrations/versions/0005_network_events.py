"""Network events from Kafka: offsets, dead letters, outbox, Bronze, the Silver hypertable and its rules.

Why: offsets lie in the database, in the same transaction as the rows they describe; the primary key of the
fact begins with the time, since events arrive in the order of time and its index then grows at one end.
"""

from telestream.db.revision import run_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
