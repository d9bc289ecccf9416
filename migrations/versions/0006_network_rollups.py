"""Rollups of network events: 5-minute windows that the refine itself keeps, hours built on them.

Why: at 10,000 events a second a 5-minute window has three million events. Computing it anew when it closes
takes seconds; adding each batch's share costs a microsecond an event and makes the open window current at
every commit. So `network_5m` is a hypertable on both editions (`is_merged`), computed anew only where
something was marked; `network_1h` is made from it like any other rollup.
"""

from pathlib import Path

from telestream.db.revision import run_sql

revision = "0006"
down_revision = "0005"

FOLDER = Path(__file__).with_suffix("")


def upgrade() -> None:
    run_sql(__file__, **{path.stem: path.read_text().rstrip() for path in FOLDER.glob("*.sql")})


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
