-- requires: gold/capacity_forecast.sql
-- The chance follows from the interval: its ends are quantiles of a distribution whose square root is normal,
-- see docs/forecast.md. A constant history has no spread, and exceeds or does not.
CREATE OR REPLACE VIEW gold.capacity_risk AS
SELECT
    q.day,
    q.cell_id,
    q.cell_name,
    q.region_code,
    q.capacity_erlangs,
    q.expected,
    q.upper_80,
    q.upper_95,
    round(100 * CASE
        WHEN q.spread > 0
            THEN 0.5 * erfc((sqrt(q.capacity_erlangs) - sqrt(q.expected)) / (q.spread * sqrt(2.0)))
        ELSE (q.expected > q.capacity_erlangs)::integer
    END::numeric, 1) AS probability_pct,
    q.expected > q.capacity_erlangs AS is_expected,
    min(q.day) OVER (PARTITION BY q.cell_key) AS first_day,
    q.made_at,
    q.cell_key,
    q.region_key
FROM (
    SELECT
        f.*,
        -- 1.959964: the 97.5 % quantile of the normal distribution.
        (sqrt(f.upper_95) - sqrt(f.expected)) / 1.959964 AS spread
    FROM gold.capacity_forecast AS f
    WHERE f.measure = 'erlangs' AND f.upper_95 > f.capacity_erlangs
) AS q;
COMMENT ON VIEW gold.capacity_risk IS
'Days on which the busy hour of a cell may exceed its capacity: the upper end of the 95 % interval does';
COMMENT ON COLUMN gold.capacity_risk.day IS 'Day in the operator''s time zone';
COMMENT ON COLUMN gold.capacity_risk.cell_id IS 'Cell as sources write it';
COMMENT ON COLUMN gold.capacity_risk.cell_name IS 'Cell for people';
COMMENT ON COLUMN gold.capacity_risk.region_code IS 'Region of the cell';
COMMENT ON COLUMN gold.capacity_risk.capacity_erlangs IS 'What the cell can carry';
COMMENT ON COLUMN gold.capacity_risk.expected IS 'Median forecast of the busy hour, Erlangs';
COMMENT ON COLUMN gold.capacity_risk.upper_80 IS 'Upper end of the 80 % prediction interval';
COMMENT ON COLUMN gold.capacity_risk.upper_95 IS 'Upper end of the 95 % prediction interval';
COMMENT ON COLUMN gold.capacity_risk.probability_pct IS
'Chance that the busy hour exceeds the capacity, per cent';
COMMENT ON COLUMN gold.capacity_risk.is_expected IS
'Whether the median forecast exceeds it: more likely than not';
COMMENT ON COLUMN gold.capacity_risk.first_day IS 'First such day of the cell';
COMMENT ON COLUMN gold.capacity_risk.made_at IS 'When the run of the forecast began';
COMMENT ON COLUMN gold.capacity_risk.cell_key IS 'Key of silver.dim_network_cell';
COMMENT ON COLUMN gold.capacity_risk.region_key IS 'Key of silver.dim_region';
GRANT SELECT ON gold.capacity_risk
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
