CREATE OR REPLACE VIEW gold.fraud_case AS
SELECT
    c.case_id,
    c.rule,
    r.description,
    c.subscriber_id,
    c.severity,
    c.score,
    c.started_at,
    c.last_seen_at,
    c.closed_at,
    c.closed_at IS NULL AS is_open,
    c.opened_at,
    c.updated_at
FROM analytics.fraud_case AS c
INNER JOIN analytics.fraud_rule AS r ON c.rule = r.rule
WHERE c.merged_into IS NULL;
COMMENT ON VIEW gold.fraud_case IS
'Suspected fraud, a case per rule, number and episode; a suspicion, not a finding. '
'Not for analysts: they have gold.fraud_daily';
COMMENT ON COLUMN gold.fraud_case.case_id IS 'Key; stays the same while the case grows';
COMMENT ON COLUMN gold.fraud_case.rule IS 'Rule that found it';
COMMENT ON COLUMN gold.fraud_case.description IS 'What the rule looks for';
COMMENT ON COLUMN gold.fraud_case.subscriber_id IS 'Surrogate of the number; may be one of another network';
COMMENT ON COLUMN gold.fraud_case.severity IS 'minor, major or critical';
COMMENT ON COLUMN gold.fraud_case.score IS '50 is at the threshold, 100 twice beyond it or more';
COMMENT ON COLUMN gold.fraud_case.started_at IS 'First record of it';
COMMENT ON COLUMN gold.fraud_case.last_seen_at IS 'Last record of it';
COMMENT ON COLUMN gold.fraud_case.closed_at IS 'When it had been quiet for long enough; null while open';
COMMENT ON COLUMN gold.fraud_case.is_open IS 'True until it closes';
COMMENT ON COLUMN gold.fraud_case.opened_at IS 'When a run first found it';
COMMENT ON COLUMN gold.fraud_case.updated_at IS 'When a run last changed it';
GRANT SELECT ON gold.fraud_case TO telestream_api, telestream_engineer, telestream_privacy;
