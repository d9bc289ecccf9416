CREATE OR REPLACE VIEW quality.quarantine_summary AS
SELECT
    q.dataset,
    q.rules[1] AS rule,
    r.dimension,
    count(*) AS records,
    count(*) FILTER (WHERE q.replayed_at IS NULL) AS open_records,
    r.message
FROM quality.quarantine AS q
LEFT JOIN quality.rule AS r ON q.dataset = r.dataset AND r.rule = q.rules[1]
GROUP BY q.dataset, q.rules[1], r.dimension, r.message;
COMMENT ON VIEW quality.quarantine_summary IS
'Quarantined records by the first rule they violate; holds no personal data';
COMMENT ON COLUMN quality.quarantine_summary.dataset IS 'What the records should have been';
COMMENT ON COLUMN quality.quarantine_summary.rule IS 'First violated rule';
COMMENT ON COLUMN quality.quarantine_summary.dimension IS 'Dimension of quality of the rule';
COMMENT ON COLUMN quality.quarantine_summary.records IS 'Records refused';
COMMENT ON COLUMN quality.quarantine_summary.open_records IS 'Of these, not yet replayed';
COMMENT ON COLUMN quality.quarantine_summary.message IS 'What is wrong';
GRANT SELECT ON quality.quarantine_summary
TO telestream_loader, telestream_api, telestream_analyst, telestream_privacy;
