"""Foundation: roles, schemas, settings and the operator's time zone.

Why: every later object is owned by `telestream_owner` and granted to group roles that exist from the
start. Roles belong to the cluster, so a downgrade leaves them: another database may use them.
"""

from telestream.db.revision import run_sql
from telestream.settings import settings

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sql(__file__, time_zone=settings().time_zone)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
