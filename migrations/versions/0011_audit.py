"""Who may see what of people, and the trail: a chained access log, rules of masking, classes of columns.

Why: `audit.access_log` was a plain table that its owner could rewrite unseen. Rows now wait in
`audit.access_inbox`, which is the table of before under a new name, so that a writer never waits for the chain
and no row of before is lost; a short transaction moves them, each with the hash of all before it, into a log that
nobody can change without a break that `telestream audit verify` names. `logged_at`, and not the time of the
access, is what the log is partitioned by: it grows with the position in the chain, so a dropped partition is
exactly the beginning of the chain.
"""

from telestream.db.revision import run_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_sql(__file__)
    run_sql(__file__.replace("0011_audit", "0011_classes"))


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
