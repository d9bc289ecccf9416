"""How each hypertable is stored: when its chunks are compressed, and how.

Why: old chunks fill the disk with rows that hardly change any more. When to compress differs by class of data
and by operator, and an operator must be able to change it without a deploy, so it is data, and
a routine makes the server's own policies of it where the edition has them.
"""

from telestream.db.revision import run_sql

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
