CREATE OR REPLACE VIEW gold.fact_customer_usage_daily AS
SELECT
    (u.bucket AT TIME ZONE (
        SELECT s.value FROM ops.setting AS s
        WHERE s.name = 'time_zone'
    ))::date AS day,
    u.subscriber_id,
    p.plan_code,
    u.record_type,
    u.events,
    u.seconds,
    u.bytes_up,
    u.bytes_down,
    u.charge_micro * 0.000001 AS charge,
    u.currency,
    u.bucket,
    u.plan_key
FROM rollup.customer_usage_1d AS u
INNER JOIN silver.dim_service_plan AS p ON u.plan_key = p.plan_key;
COMMENT ON VIEW gold.fact_customer_usage_daily IS
'Usage per subscriber surrogate, plan and record type, per day of the operator';
COMMENT ON COLUMN gold.fact_customer_usage_daily.day IS
'Day in the operator''s time zone; filter on bucket for speed';
COMMENT ON COLUMN gold.fact_customer_usage_daily.subscriber_id IS 'Surrogate of the subscriber; 0 is unknown';
COMMENT ON COLUMN gold.fact_customer_usage_daily.plan_code IS 'Service plan';
COMMENT ON COLUMN gold.fact_customer_usage_daily.record_type IS 'voice, sms, mms, data or other';
COMMENT ON COLUMN gold.fact_customer_usage_daily.events IS 'Records';
COMMENT ON COLUMN gold.fact_customer_usage_daily.seconds IS
'Billed seconds, or session seconds where nothing is billed';
COMMENT ON COLUMN gold.fact_customer_usage_daily.bytes_up IS 'Bytes from the subscriber';
COMMENT ON COLUMN gold.fact_customer_usage_daily.bytes_down IS 'Bytes to the subscriber';
COMMENT ON COLUMN gold.fact_customer_usage_daily.charge IS 'Sum of charges in currency';
COMMENT ON COLUMN gold.fact_customer_usage_daily.currency IS 'ISO 4217 code; one row per currency';
COMMENT ON COLUMN gold.fact_customer_usage_daily.bucket IS 'Start of the day as a point in time';
COMMENT ON COLUMN gold.fact_customer_usage_daily.plan_key IS 'Key of silver.dim_service_plan';
GRANT SELECT ON gold.fact_customer_usage_daily
TO telestream_loader, telestream_api, telestream_analyst, telestream_privacy;
