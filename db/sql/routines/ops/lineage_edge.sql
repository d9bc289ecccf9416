-- What is made of what, from how it is defined: refines, rollups, and the views of Gold by what they read. A
-- rollup stands under the name of its storage; the view over it that both editions have is not told of.
CREATE OR REPLACE VIEW ops.lineage_edge AS
WITH made AS (
    SELECT
        d.rollup_name,
        d.source,
        format('rollup.%s_v%s', d.rollup_name, d.version) AS store,
        CASE
            WHEN d.is_merged THEN 'refine.' || substr(d.source, length('silver.fact_') + 1)
            ELSE 'refresh.' || d.rollup_name
        END AS job
    FROM rollup.definition AS d
)

SELECT
    r.source,
    r.target,
    r.job
FROM (
    VALUES
    ('bronze.cdr', 'silver.fact_cdr', 'refine.cdr'),
    ('silver.dim_customer', 'silver.fact_cdr', 'refine.cdr'),
    ('bronze.network_event', 'silver.fact_network_event', 'refine.network_event'),
    ('bronze.customer', 'silver.customer_change', 'refine.customer'),
    ('silver.customer_change', 'silver.dim_customer', 'refine.customer'),
    ('bronze.cdr', 'quality.quarantine', 'refine.cdr'),
    ('bronze.network_event', 'quality.quarantine', 'refine.network_event'),
    ('bronze.customer', 'quality.quarantine', 'refine.customer')
) AS r (source, target, job)
UNION ALL
SELECT
    m.source,
    m.store AS target,
    m.job
FROM made AS m
UNION ALL
SELECT
    m.store AS source,
    'gold.top_customers' AS target,
    NULL::text AS job
FROM made AS m
WHERE m.rollup_name = 'customer_total_1d'
UNION ALL
SELECT
    coalesce(m.store, a.source) AS source,
    a.target,
    NULL::text AS job
FROM (
    VALUES
    ('network_5m', 'analytics.anomaly'),
    ('cell_traffic_1h', 'analytics.cell_fingerprint'),
    ('network_1h', 'analytics.cell_fingerprint'),
    ('cell_traffic_1h', 'analytics.cell_drift'),
    ('network_1h', 'analytics.cell_drift'),
    ('silver.fact_cdr', 'analytics.fraud_case'),
    ('customer_usage_1d', 'analytics.fraud_case'),
    ('silver.fact_cdr', 'analytics.fraud_evidence'),
    ('customer_usage_1d', 'analytics.fraud_evidence'),
    ('customer_usage_1d', 'analytics.customer_profile'),
    ('customer_usage_1d', 'analytics.customer_segment'),
    ('customer_usage_1d', 'analytics.churn_model'),
    ('customer_usage_1d', 'analytics.churn_score'),
    ('cell_traffic_1h', 'analytics.capacity_forecast'),
    ('cell_traffic_1h', 'analytics.forecast_backtest')
) AS a (source, target)
LEFT JOIN made AS m ON a.source = m.rollup_name
UNION ALL
SELECT DISTINCT
    coalesce(m.store, s.relnamespace::regnamespace || '.' || s.relname) AS source,
    v.relnamespace::regnamespace || '.' || v.relname AS target,
    NULL::text AS job
FROM pg_class AS v
INNER JOIN pg_rewrite AS w ON v.oid = w.ev_class
INNER JOIN pg_depend AS d
    ON w.oid = d.objid AND d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
INNER JOIN pg_class AS s ON d.refobjid = s.oid AND v.oid <> s.oid AND s.relkind IN ('r', 'p', 'v', 'm')
LEFT JOIN made AS m ON s.relnamespace = 'rollup'::regnamespace AND s.relname = m.rollup_name
WHERE
    v.relkind = 'v' AND v.relnamespace = 'gold'::regnamespace
    AND s.relnamespace::regnamespace::text IN ('silver', 'rollup', 'gold', 'analytics');
COMMENT ON VIEW ops.lineage_edge IS 'What is made of what, from how it is defined';
COMMENT ON COLUMN ops.lineage_edge.source IS 'Table or view that is read';
COMMENT ON COLUMN ops.lineage_edge.target IS 'Table or view made of it';
COMMENT ON COLUMN ops.lineage_edge.job IS
'Job of the lineage events that writes it; null: a view, or work without events';
GRANT SELECT ON ops.lineage_edge
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
