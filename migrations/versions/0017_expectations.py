"""Expectations: what a dataset should be like as a whole, what was found, and incidents.

Why: a rule over records sees bad records and never a missing one. That a source fell silent, that half a day
is missing, that a feed lost its cells, or that the mix of plans moved, shows only against what was normal. An
expectation is a rule of `quality.rule` with parameters; what it measures is kept per bucket, so that a check
reads a bucket of Gold once and not the history again.
"""

from telestream.db.revision import run_sql

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
