CREATE OR REPLACE VIEW gold.fraud_evidence AS
SELECT
    e.case_id,
    e.position,
    e.measure,
    e.seen,
    e.threshold,
    e.peer,
    e.explanation,
    e.from_at,
    e.to_at
FROM analytics.fraud_evidence AS e;
COMMENT ON VIEW gold.fraud_evidence IS 'What each case of gold.fraud_case stands on: its worst window';
COMMENT ON COLUMN gold.fraud_evidence.case_id IS 'Case';
COMMENT ON COLUMN gold.fraud_evidence.position IS 'The most telling comes first';
COMMENT ON COLUMN gold.fraud_evidence.measure IS 'What was measured';
COMMENT ON COLUMN gold.fraud_evidence.seen IS 'What was seen';
COMMENT ON COLUMN gold.fraud_evidence.threshold IS 'What it was held against; null: it only informs';
COMMENT ON COLUMN gold.fraud_evidence.peer IS 'What is usual for others, or for itself; null: not known';
COMMENT ON COLUMN gold.fraud_evidence.explanation IS 'The same in words; names nobody';
COMMENT ON COLUMN gold.fraud_evidence.from_at IS 'Start of the window';
COMMENT ON COLUMN gold.fraud_evidence.to_at IS 'End of the window, exclusive';
GRANT SELECT ON gold.fraud_evidence TO telestream_api, telestream_engineer, telestream_privacy;
