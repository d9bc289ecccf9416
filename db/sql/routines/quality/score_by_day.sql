CREATE OR REPLACE VIEW quality.score_by_day AS
WITH batch AS (
    SELECT
        b.batch_id,
        b.dataset,
        b.rows_in,
        b.rows_quarantined,
        b.rows_duplicate,
        (b.finished_at AT TIME ZONE (
            SELECT s.value FROM ops.setting AS s
            WHERE s.name = 'time_zone'
        ))::date AS day
    FROM ops.batch AS b
    WHERE b.status = 'done' AND b.source_kind <> 'replay'
),

violation AS (
    SELECT
        b.dataset,
        b.day,
        sum(v.violations) FILTER (WHERE r.dimension = 'completeness') AS completeness,
        sum(v.violations) FILTER (WHERE r.dimension = 'validity') AS validity,
        sum(v.violations) FILTER (WHERE r.dimension = 'uniqueness') AS uniqueness,
        sum(v.violations) FILTER (WHERE r.dimension = 'timeliness') AS timeliness,
        sum(v.violations) FILTER (WHERE r.dimension = 'consistency') AS consistency
    FROM batch AS b
    INNER JOIN quality.rule_result AS v ON b.batch_id = v.batch_id
    INNER JOIN quality.rule AS r ON b.dataset = r.dataset AND v.rule = r.rule
    WHERE r.severity = 'error' OR r.rule = 'duplicate'
    GROUP BY b.dataset, b.day
),

total AS (
    SELECT
        b.dataset,
        b.day,
        sum(b.rows_in) AS rows_in,
        sum(b.rows_quarantined) AS rows_quarantined
    FROM batch AS b
    GROUP BY b.dataset, b.day
    HAVING sum(b.rows_in) > 0
)

SELECT
    t.dataset,
    t.day,
    t.rows_in::bigint AS rows_in,
    t.rows_quarantined::bigint AS rows_quarantined,
    round(100 * (1 - t.rows_quarantined / t.rows_in), 3) AS score,
    round(100 * (1 - coalesce(v.completeness, 0) / t.rows_in), 3) AS completeness,
    round(100 * (1 - coalesce(v.validity, 0) / t.rows_in), 3) AS validity,
    round(100 * (1 - coalesce(v.uniqueness, 0) / t.rows_in), 3) AS uniqueness,
    round(100 * (1 - coalesce(v.timeliness, 0) / t.rows_in), 3) AS timeliness,
    round(100 * (1 - coalesce(v.consistency, 0) / t.rows_in), 3) AS consistency
FROM total AS t
LEFT JOIN violation AS v ON t.dataset = v.dataset AND t.day = v.day;
COMMENT ON VIEW quality.score_by_day IS
'Quality per dataset and load day in per cent: records without error, in all and per dimension';
COMMENT ON COLUMN quality.score_by_day.dataset IS 'What the records are, e.g. cdr';
COMMENT ON COLUMN quality.score_by_day.day IS 'Day of loading in the operator''s time zone';
COMMENT ON COLUMN quality.score_by_day.rows_in IS 'Records that arrived';
COMMENT ON COLUMN quality.score_by_day.rows_quarantined IS 'Records refused';
COMMENT ON COLUMN quality.score_by_day.score IS 'Per cent of records that were not refused';
COMMENT ON COLUMN quality.score_by_day.completeness IS
'100 less the per cent of violations of completeness errors';
COMMENT ON COLUMN quality.score_by_day.validity IS '100 less the per cent of violations of validity errors';
COMMENT ON COLUMN quality.score_by_day.uniqueness IS '100 less the per cent of duplicates';
COMMENT ON COLUMN quality.score_by_day.timeliness IS
'100 less the per cent of violations of timeliness errors';
COMMENT ON COLUMN quality.score_by_day.consistency IS
'100 less the per cent of violations of consistency errors';
GRANT SELECT ON quality.score_by_day
TO telestream_loader, telestream_api, telestream_analyst, telestream_privacy;
