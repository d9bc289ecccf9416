CREATE OR REPLACE VIEW gold.region_traffic_1d AS
SELECT
    t.bucket,
    r.region_code,
    t.record_type,
    t.attempts,
    t.answered,
    t.failed,
    t.dropped,
    t.busy,
    t.no_answer,
    t.seconds,
    t.bytes_up,
    t.bytes_down,
    t.charge_micro * 0.000001 AS charge,
    t.currency,
    t.region_key
FROM rollup.region_traffic_1d AS t
INNER JOIN silver.dim_region AS r ON t.region_key = r.region_key;
COMMENT ON VIEW gold.region_traffic_1d IS 'Traffic by region and record type, per 1 day';
COMMENT ON COLUMN gold.region_traffic_1d.bucket IS 'Start of the 1 day in the operator''s time zone';
COMMENT ON COLUMN gold.region_traffic_1d.region_code IS 'Region of the cells when the records were loaded';
COMMENT ON COLUMN gold.region_traffic_1d.record_type IS 'voice, sms, mms, data or other';
COMMENT ON COLUMN gold.region_traffic_1d.attempts IS 'Records: call attempts, messages or data sessions';
COMMENT ON COLUMN gold.region_traffic_1d.answered IS 'Answered calls';
COMMENT ON COLUMN gold.region_traffic_1d.failed IS 'Failed or congested attempts';
COMMENT ON COLUMN gold.region_traffic_1d.dropped IS 'Answered calls that were lost';
COMMENT ON COLUMN gold.region_traffic_1d.busy IS 'Attempts to a busy party';
COMMENT ON COLUMN gold.region_traffic_1d.no_answer IS 'Attempts nobody answered';
COMMENT ON COLUMN gold.region_traffic_1d.seconds IS
'Billed seconds, or session seconds where nothing is billed';
COMMENT ON COLUMN gold.region_traffic_1d.bytes_up IS 'Bytes from subscribers';
COMMENT ON COLUMN gold.region_traffic_1d.bytes_down IS 'Bytes to subscribers';
COMMENT ON COLUMN gold.region_traffic_1d.charge IS 'Sum of charges in currency';
COMMENT ON COLUMN gold.region_traffic_1d.currency IS 'ISO 4217 code; one row per currency';
COMMENT ON COLUMN gold.region_traffic_1d.region_key IS 'Key of silver.dim_region';
GRANT SELECT ON gold.region_traffic_1d
TO telestream_loader, telestream_api, telestream_analyst, telestream_privacy;
