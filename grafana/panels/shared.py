"""Variables and marks that several dashboards have, and the conditions that go with them."""

from __future__ import annotations

from telestream.grafana.panels.parts import annotation, choice, chosen, grain

REGION = choice(
    "region",
    "Region",
    "SELECT region_code AS __value, name AS __text FROM silver.dim_region WHERE region_key <> 0 ORDER BY name",
    "Regions of the network",
)
TECHNOLOGY = choice(
    "technology",
    "Technology",
    "SELECT DISTINCT technology FROM silver.dim_network_cell WHERE technology IS NOT NULL ORDER BY technology",
    "Radio technology of the cells",
)
CELL = choice(
    "cell",
    "Cell",
    f"""
    SELECT c.cell_id
    FROM silver.dim_network_cell AS c
    INNER JOIN silver.dim_region AS r ON c.region_key = r.region_key
    WHERE c.cell_key <> 0 AND {chosen("region", "r.region_code")} AND {chosen("technology", "c.technology")}
    ORDER BY c.cell_id
    """,
    "Cells of the regions and technologies chosen",
)
IN_REGION = chosen("region", "t.region_code")
OF_CELL = chosen("cell", "t.cell_id")
# Traffic knows no technology: that of its cell is meant.
OF_TECHNOLOGY = (
    "('*' IN ($technology)"
    " OR t.cell_key IN (SELECT c.cell_key FROM silver.dim_network_cell AS c WHERE c.technology IN ($technology)))"
)

TRAFFIC_GRAIN = grain("grain", {"5m": "3 hours", "1h": "14 days"}, "1d", of_cells="2 days")
# The same where it must be one that regions have as well.
TOTAL_GRAIN = grain("total_grain", {"1h": "14 days"}, "1d", shown=False)
# A sum per cell is as good of hours as of minutes, and of days once there are some.
CELL_GRAIN = grain("cell_grain", {"1h": "1 day"}, "1d", shown=False)
# Network events have no rollup by day.
NETWORK_GRAIN = grain("network_grain", {"5m": "3 hours"}, "1h", of_cells="2 days", shown=False)
REGION_GRAIN = grain("grain", {"1h": "7 days"}, "1d")

ANOMALIES = annotation(
    "Anomalies",
    "red",
    f"""
    SELECT
        t.started_at AS time,
        coalesce(t.ended_at, least(now(), $__timeTo()::timestamptz)) AS timeend,
        t.cell_id || ': ' || t.description AS text,
        t.severity || ',' || t.kpi AS tags
    FROM gold.anomaly AS t
    WHERE $__timeFilter(t.started_at) AND {IN_REGION} AND {OF_CELL}
    ORDER BY t.started_at DESC
    LIMIT 200
    """,
)
ALL_ANOMALIES = annotation(
    "Severe anomalies",
    "red",
    """
    SELECT t.started_at AS time, t.cell_id || ': ' || t.description AS text, t.severity || ',' || t.kpi AS tags
    FROM gold.anomaly AS t
    WHERE $__timeFilter(t.started_at) AND t.severity = 'critical'
    ORDER BY t.started_at DESC
    LIMIT 200
    """,
)
LOADS = annotation(
    "Loads",
    "blue",
    """
    SELECT
        min(l.finished_at) AS time,
        l.dataset || ': ' || sum(l.rows_loaded) || ' rows loaded, ' || sum(l.rows_quarantined) || ' refused' AS text,
        l.dataset AS tags
    FROM ops.load AS l
    WHERE l.dataset IN ('cdr', 'customer') AND $__timeFilter(l.finished_at) AND l.source_kind <> 'kafka'
    GROUP BY l.dataset, time_bucket('5 minutes', l.finished_at)
    ORDER BY 1 DESC
    LIMIT 200
    """,
)
