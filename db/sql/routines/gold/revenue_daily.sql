CREATE OR REPLACE VIEW gold.revenue_daily AS
SELECT
    (v.bucket AT TIME ZONE (
        SELECT s.value FROM ops.setting AS s
        WHERE s.name = 'time_zone'
    ))::date AS day,
    r.region_code,
    p.plan_code,
    v.record_type,
    v.events,
    v.charge_micro * 0.000001 AS revenue,
    v.currency,
    v.bucket,
    v.region_key,
    v.plan_key
FROM rollup.revenue_1d AS v
INNER JOIN silver.dim_region AS r ON v.region_key = r.region_key
INNER JOIN silver.dim_service_plan AS p ON v.plan_key = p.plan_key;
COMMENT ON VIEW gold.revenue_daily IS 'Revenue by region, plan and record type, per day of the operator';
COMMENT ON COLUMN gold.revenue_daily.day IS 'Day in the operator''s time zone; filter on bucket for speed';
COMMENT ON COLUMN gold.revenue_daily.region_code IS 'Region of the cell when the records were loaded';
COMMENT ON COLUMN gold.revenue_daily.plan_code IS 'Service plan';
COMMENT ON COLUMN gold.revenue_daily.record_type IS 'voice, sms, mms, data or other';
COMMENT ON COLUMN gold.revenue_daily.events IS 'Records';
COMMENT ON COLUMN gold.revenue_daily.revenue IS 'Sum of charges in currency';
COMMENT ON COLUMN gold.revenue_daily.currency IS 'ISO 4217 code; one row per currency';
COMMENT ON COLUMN gold.revenue_daily.bucket IS 'Start of the day as a point in time';
COMMENT ON COLUMN gold.revenue_daily.region_key IS 'Key of silver.dim_region';
COMMENT ON COLUMN gold.revenue_daily.plan_key IS 'Key of silver.dim_service_plan';
GRANT SELECT ON gold.revenue_daily
TO telestream_loader, telestream_api, telestream_analyst, telestream_privacy;
