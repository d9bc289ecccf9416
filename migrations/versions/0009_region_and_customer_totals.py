"""Rollups for what dashboards ask most: traffic of regions by hour and day, and totals of customers by day.

Why: a series of a region or of the network had to add up all cells, 116,000 rows for a day of hours, and a
ranking of customers all customers, 220,000 rows a day. With 10 million CDRs that took 50 to 1,500 ms.
`region_traffic_1h` has 2,000 rows a day, `region_traffic_1d` 90. `customer_total_1d` has a row per customer, and
an index per ranking that gives the first of a day at once; a routine puts days together.

Rows that are there are marked, so that the next refresh fills all three; until then they are computed when read.
"""

from pathlib import Path

from telestream.db.revision import run_sql

revision = "0009"
down_revision = "0008"

FOLDER = Path(__file__).with_suffix("")


def upgrade() -> None:
    run_sql(__file__, **{path.stem: path.read_text().rstrip() for path in FOLDER.glob("*.sql")})


def downgrade() -> None:
    run_sql(__file__, suffix=".down.sql")
