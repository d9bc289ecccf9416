-- The analyst's view of single CDRs: surrogates, no device, no cause text, no source fields.
CREATE OR REPLACE VIEW gold.cdr AS
SELECT
    f.cdr_id,
    f.started_at,
    f.answered_at,
    f.ended_at,
    f.source_system,
    f.record_type,
    f.direction,
    f.subscriber_id,
    f.caller_id,
    f.called_id,
    f.duration_s,
    f.billed_s,
    f.bytes_up,
    f.bytes_down,
    c.cell_id,
    r.region_code,
    f.technology,
    p.plan_code,
    f.charge_micro * 0.000001 AS charge,
    f.currency,
    f.disposition,
    f.is_roaming,
    f.apn,
    f.customer_key
FROM silver.fact_cdr AS f
INNER JOIN silver.dim_network_cell AS c ON f.cell_key = c.cell_key
INNER JOIN silver.dim_region AS r ON f.region_key = r.region_key
INNER JOIN silver.dim_service_plan AS p ON f.plan_key = p.plan_key;
COMMENT ON VIEW gold.cdr IS
'Single CDRs for analysts: people are surrogates, nothing that names a person or a device';
COMMENT ON COLUMN gold.cdr.cdr_id IS 'Id of the CDR';
COMMENT ON COLUMN gold.cdr.started_at IS 'Seizure, attach or send time; always filter on it';
COMMENT ON COLUMN gold.cdr.answered_at IS 'Answer time';
COMMENT ON COLUMN gold.cdr.ended_at IS 'Release time';
COMMENT ON COLUMN gold.cdr.source_system IS 'Switch or feed that wrote the CDR';
COMMENT ON COLUMN gold.cdr.record_type IS 'voice, sms, mms, data or other';
COMMENT ON COLUMN gold.cdr.direction IS 'mo, mt, forwarded, internal or transit';
COMMENT ON COLUMN gold.cdr.subscriber_id IS 'Surrogate of the served party; 0 is unknown';
COMMENT ON COLUMN gold.cdr.caller_id IS 'Surrogate of the caller; 0 is unknown';
COMMENT ON COLUMN gold.cdr.called_id IS 'Surrogate of the called party; 0 is unknown';
COMMENT ON COLUMN gold.cdr.duration_s IS 'Seconds from start to end';
COMMENT ON COLUMN gold.cdr.billed_s IS 'Seconds from answer to end';
COMMENT ON COLUMN gold.cdr.bytes_up IS 'Bytes from the subscriber';
COMMENT ON COLUMN gold.cdr.bytes_down IS 'Bytes to the subscriber';
COMMENT ON COLUMN gold.cdr.cell_id IS 'Cell at start';
COMMENT ON COLUMN gold.cdr.region_code IS 'Region of the cell when the CDR was loaded';
COMMENT ON COLUMN gold.cdr.technology IS '2g, 3g, 4g, 5g, fixed or ip';
COMMENT ON COLUMN gold.cdr.plan_code IS
'Service plan: of the CDR, else the one the customer had at started_at';
COMMENT ON COLUMN gold.cdr.charge IS 'Charge in currency';
COMMENT ON COLUMN gold.cdr.currency IS 'ISO 4217 code';
COMMENT ON COLUMN gold.cdr.disposition IS 'answered, no_answer, busy, failed, congestion or dropped';
COMMENT ON COLUMN gold.cdr.is_roaming IS 'True for a visitor or a subscriber abroad';
COMMENT ON COLUMN gold.cdr.apn IS 'Access point name of a data session';
COMMENT ON COLUMN gold.cdr.customer_key IS
'Version of the served customer at started_at, see gold.customer_history; 0 is unknown';
GRANT SELECT ON gold.cdr TO telestream_loader, telestream_api, telestream_analyst, telestream_privacy;
