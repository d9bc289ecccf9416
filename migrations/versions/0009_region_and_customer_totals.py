"""Rollups for what dashboards ask most: traffic of regions by the hour, and totals of customers by the day.

Why: a series of a region or of the network had to add up all cells, 116,000 rows a day and 5 ms of database time per
10,000 of them; a ranking of customers had to add up all customers, 220,000 rows a day. With 10 million CDRs that took
50 to 1,500 ms. `region_traffic_1h` has 2,000 rows a day. `customer_total_1d` has a row per customer, and an index per
ranking that gives the first of a day at once; `gold.top_customers` puts days together.

Rows that are there are marked, so that the next refresh fills both; until then they are computed when read.
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
