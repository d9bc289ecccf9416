"""The keys of the vault, and room for what a rotation makes under the next one.

Why: a wrong key file gave every person a new surrogate, unnoticed; a fingerprint of the key in force makes it an
error. And a key that may be known to somebody must be replaced without stopping loads and without new
surrogates, so tokens and identities under the next key wait beside the old ones until a switch.
"""

from telestream.db.revision import run_sql

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    run_sql(__file__)


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
