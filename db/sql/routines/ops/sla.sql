-- requires: quality/expectation_status.sql
CREATE OR REPLACE VIEW ops.sla AS
WITH judged AS (
    SELECT
        s.*,
        (x.details ->> 'due')::timestamptz AS due_at
    FROM quality.expectation_status AS s
    INNER JOIN quality.expectation_result AS x
        ON s.dataset = x.dataset AND s.rule = x.rule AND s.subject = x.subject AND s.bucket = x.bucket
    WHERE s.kind = 'freshness'
)

SELECT
    j.dataset,
    j.subject AS source,
    j.due_at,
    j.due_at - make_interval(secs => j.at_most * 3600) AS expected_event_at,
    w.event_at AS last_event_at,
    w.updated_at AS last_arrival_at,
    j.outcome = 'failed' AS is_breached,
    CASE WHEN j.outcome = 'failed' THEN j.failing_since END AS breached_since,
    j.outcome,
    j.rule,
    j.judged_at
FROM judged AS j
LEFT JOIN ops.watermark AS w ON j.dataset = w.dataset AND j.subject = w.source;
COMMENT ON VIEW ops.sla IS
'What each source had to deliver by when, what it has, and whether that breaches the agreement';
COMMENT ON COLUMN ops.sla.dataset IS 'cdr, network_event or customer';
COMMENT ON COLUMN ops.sla.source IS 'Source system';
COMMENT ON COLUMN ops.sla.due_at IS 'When it was due last';
COMMENT ON COLUMN ops.sla.expected_event_at IS 'By then its newest record had to be at least of this time';
COMMENT ON COLUMN ops.sla.last_event_at IS 'Time of its newest record';
COMMENT ON COLUMN ops.sla.last_arrival_at IS 'When it delivered something newer last';
COMMENT ON COLUMN ops.sla.is_breached IS 'Whether its newest record was older when it was judged last';
COMMENT ON COLUMN ops.sla.breached_since IS 'Start of the first hour, or due time, that was missed';
COMMENT ON COLUMN ops.sla.outcome IS
'passed, failed, no_history: never on time yet, maintenance: planned, error: not judged';
COMMENT ON COLUMN ops.sla.rule IS 'Rule that says so, see quality.expectation';
COMMENT ON COLUMN ops.sla.judged_at IS 'When it was judged';
GRANT SELECT ON ops.sla
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
