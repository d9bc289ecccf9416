"""Rules against fraud, the cases they found, and what each case stands on.

Why: a SIM box or a stolen identity costs money by the hour, and whoever blocks a line must be able to say why. So a
case is a row with its evidence in numbers and words beside it, thresholds are rows that an operator changes without
a deploy, and what a run has taken up is written down, so that each run reads only what is new.
"""

from telestream.db.revision import run_sql

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
