CREATE OR REPLACE VIEW quality.expectation_status AS
WITH latest AS (
    SELECT DISTINCT ON (v.dataset, v.rule, v.subject) v.*
    FROM quality.expectation_result AS v
    ORDER BY v.dataset ASC, v.rule ASC, v.subject ASC, v.bucket DESC
)

SELECT
    x.dataset,
    x.rule,
    x.subject,
    e.kind,
    r.dimension,
    r.severity,
    r.message,
    x.bucket,
    x.outcome,
    x.observed,
    x.at_least,
    x.at_most,
    x.details ->> 'reason' AS reason,
    i.incident_id,
    i.started_at AS failing_since,
    x.judged_at
FROM quality.expectation AS e
INNER JOIN quality.rule AS r ON e.dataset = r.dataset AND e.rule = r.rule
INNER JOIN latest AS x ON e.dataset = x.dataset AND e.rule = x.rule
LEFT JOIN quality.incident AS i
    ON x.dataset = i.dataset AND x.rule = i.rule AND x.subject = i.subject AND i.ended_at IS NULL
WHERE r.is_enabled;
COMMENT ON VIEW quality.expectation_status IS
'The latest result of every expectation that is enabled, and since when it fails';
COMMENT ON COLUMN quality.expectation_status.dataset IS 'Dataset, e.g. cdr';
COMMENT ON COLUMN quality.expectation_status.rule IS 'Rule, see quality.expectation';
COMMENT ON COLUMN quality.expectation_status.subject IS
'Source, or value of by_column; empty: all of the dataset';
COMMENT ON COLUMN quality.expectation_status.kind IS
'freshness, volume, referential, distribution or score';
COMMENT ON COLUMN quality.expectation_status.dimension IS 'Dimension of quality of the rule';
COMMENT ON COLUMN quality.expectation_status.severity IS 'error or warning';
COMMENT ON COLUMN quality.expectation_status.message IS 'What the rule is about, for people';
COMMENT ON COLUMN quality.expectation_status.bucket IS 'Start of the hour or day that was judged last';
COMMENT ON COLUMN quality.expectation_status.outcome IS 'passed, failed, no_history, maintenance or error';
COMMENT ON COLUMN quality.expectation_status.observed IS 'What was found';
COMMENT ON COLUMN quality.expectation_status.at_least IS 'Least value that passes; null: any';
COMMENT ON COLUMN quality.expectation_status.at_most IS 'Greatest value that passes; null: any';
COMMENT ON COLUMN quality.expectation_status.reason IS 'Why it was not judged';
COMMENT ON COLUMN quality.expectation_status.incident_id IS 'The open incident; null: none';
COMMENT ON COLUMN quality.expectation_status.failing_since IS
'Start of the first bucket of the open incident';
COMMENT ON COLUMN quality.expectation_status.judged_at IS 'When it was judged';
GRANT SELECT ON quality.expectation_status
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
