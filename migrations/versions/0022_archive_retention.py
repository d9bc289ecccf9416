"""Retention of archived days.

Why: a maximum that a law sets holds for every copy. What had left Silver was kept in the archive for good. The
archive has classes of its own, since an operator may keep history there that Silver no longer has.
"""

from telestream.db.revision import run_sql

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
