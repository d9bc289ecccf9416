-- Returns a score of quality.score_by_day, in per cent, over what was loaded in [p_from, p_to), read by the
-- index on when batches finished. A load of old days says nothing about today's data: batches whose latest
-- event is more than a week older than p_from are left out.
CREATE OR REPLACE FUNCTION quality._score_between(
    p_dataset text, p_column text, p_from timestamptz, p_to timestamptz,
    OUT o_value double precision, OUT o_rows double precision
)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH batch AS (
        SELECT b.batch_id, b.rows_in, b.rows_quarantined
        FROM ops.batch AS b
        WHERE b.dataset = p_dataset AND b.finished_at >= p_from AND b.finished_at < p_to
            AND b.status = 'done' AND b.source_kind <> 'replay'
            AND coalesce(b.max_event_at, b.finished_at) >= p_from - interval '7 days'
    ),
    wrong AS (
        SELECT CASE
            WHEN p_column = 'score' THEN (SELECT sum(b.rows_quarantined) FROM batch AS b)
            ELSE (
                SELECT sum(v.violations)
                FROM batch AS b
                INNER JOIN quality.rule_result AS v ON b.batch_id = v.batch_id
                INNER JOIN quality.rule AS r ON v.rule = r.rule AND r.dataset = p_dataset
                WHERE r.dimension = p_column AND (r.severity = 'error' OR r.rule = 'duplicate')
            )
        END AS n
    )
    SELECT
        (100 * (1 - coalesce((SELECT w.n FROM wrong AS w), 0) / nullif(sum(b.rows_in), 0)))::double precision,
        coalesce(sum(b.rows_in), 0)::double precision
    FROM batch AS b
$$;
COMMENT ON FUNCTION quality._score_between(text, text, timestamptz, timestamptz) IS
'A quality score over what was loaded in a time';
REVOKE ALL ON FUNCTION quality._score_between(text, text, timestamptz, timestamptz) FROM PUBLIC;
