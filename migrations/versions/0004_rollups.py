"""Rollups: each defined once, made as a continuous aggregate (community) or a hypertable (Apache).

Why: the editions differ only in how a rollup is stored and refreshed, so the SELECT is written once
per rollup in `0004_rollups/` and kept in `rollup.definition`, from which both are made.
"""

from pathlib import Path

from telestream.db.revision import run_sql
from telestream.settings import settings

revision = "0004"
down_revision = "0003"

FOLDER = Path(__file__).with_suffix("")


def upgrade() -> None:
    selects = {path.stem: path.read_text().rstrip() for path in FOLDER.glob("*.sql")}
    # The time zone comes last: it is a placeholder within the selects.
    run_sql(__file__, **selects, time_zone=settings().time_zone)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
