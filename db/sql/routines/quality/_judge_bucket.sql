-- requires: quality/_under_maintenance.sql, quality/_mix_change.sql, quality/_note_result.sql
-- Judges what was measured in one bucket against the same hour or day of past weeks and the fixed bounds,
-- for each subject. Past buckets without records, or under maintenance, are no history.
CREATE OR REPLACE FUNCTION quality._judge_bucket(
    p_rule quality.expectation, p_from timestamptz, p_to timestamptz, p_past timestamptz[], p_now timestamptz
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_row record;
    v_outcome text;
    v_reason text;
    v_is_volume boolean := p_rule.statistic = 'rows';
    v_is_share boolean := p_rule.statistic IN ('share', 'null_share', 'unknown_share');
    v_needs_past boolean := p_rule.statistic = 'psi' OR num_nonnulls(p_rule.below, p_rule.above) > 0;
BEGIN
    FOR v_row IN
        WITH past AS (
            SELECT
                m.subject, count(*) AS weeks, percentile_cont(0.5) WITHIN GROUP (ORDER BY m.value) AS median,
                percentile_cont(0.5) WITHIN GROUP (ORDER BY m.support) AS support
            FROM quality.measurement AS m
            WHERE m.dataset = p_rule.dataset AND m.rule = p_rule.rule AND m.bucket = ANY (p_past)
                AND m.support > 0
                AND NOT quality._under_maintenance(m.dataset, m.subject, m.bucket, m.bucket_end)
            GROUP BY m.subject
        ),
        mix AS (
            SELECT jsonb_object_agg(k.key, k.n) AS parts
            FROM (
                SELECT e.key, sum(e.value::double precision) AS n
                FROM quality.measurement AS m
                CROSS JOIN LATERAL jsonb_each_text(m.parts) AS e
                WHERE m.dataset = p_rule.dataset AND m.rule = p_rule.rule AND m.bucket = ANY (p_past)
                    AND NOT quality._under_maintenance(m.dataset, m.subject, m.bucket, m.bucket_end)
                GROUP BY e.key
            ) AS k
        ),
        present AS (
            SELECT m.subject, m.value, m.support, m.parts
            FROM quality.measurement AS m
            WHERE m.dataset = p_rule.dataset AND m.rule = p_rule.rule AND m.bucket = p_from
        )
        SELECT
            s.subject, coalesce(n.support, 0) AS support, coalesce(t.weeks, 0) AS weeks, t.median,
            CASE WHEN v_is_volume THEN t.support ELSE n.support END AS stands_on,
            CASE
                WHEN p_rule.statistic = 'psi' THEN c.o_index
                WHEN v_is_volume THEN coalesce(n.value, 0)
                ELSE n.value
            END AS observed,
            CASE WHEN p_rule.statistic = 'psi' THEN c.o_moved END AS moved,
            greatest(p_rule.at_least, CASE
                WHEN v_is_share THEN t.median - p_rule.below
                ELSE t.median - abs(t.median) * p_rule.below / 100
            END) AS at_least,
            least(p_rule.at_most, CASE
                WHEN v_is_share THEN t.median + p_rule.above
                ELSE t.median + abs(t.median) * p_rule.above / 100
            END) AS at_most
        FROM (SELECT t.subject FROM past AS t UNION SELECT n.subject FROM present AS n) AS s
        LEFT JOIN past AS t ON s.subject = t.subject
        LEFT JOIN present AS n ON s.subject = n.subject
        CROSS JOIN mix AS x
        LEFT JOIN LATERAL quality._mix_change(n.parts, x.parts) AS c
            ON n.parts IS NOT NULL AND x.parts IS NOT NULL
        WHERE p_rule.by_column IS NULL OR s.subject <> ''
        ORDER BY s.subject
    LOOP
        v_reason := CASE
            WHEN v_needs_past AND v_row.weeks < p_rule.min_weeks
                THEN format('%s of %s past weeks have records', v_row.weeks, p_rule.min_weeks)
            WHEN v_row.observed IS NULL THEN 'there are no records'
            WHEN v_row.stands_on < p_rule.min_support
                THEN format('stands on %s records, not on %s', v_row.stands_on, p_rule.min_support)
        END;
        v_outcome := CASE
            WHEN quality._under_maintenance(p_rule.dataset, v_row.subject, p_from, p_to) THEN 'maintenance'
            WHEN v_reason IS NOT NULL THEN 'no_history'
            WHEN v_row.observed < v_row.at_least OR v_row.observed > v_row.at_most THEN 'failed'
            ELSE 'passed'
        END;
        PERFORM quality._note_result(
            (
                p_rule.dataset, p_rule.rule, v_row.subject, p_from, v_outcome, v_row.observed, v_row.at_least,
                v_row.at_most,
                jsonb_strip_nulls(jsonb_build_object(
                    'weeks', v_row.weeks, 'median', v_row.median, 'support', v_row.support,
                    'moved', v_row.moved, 'reason', v_reason
                )),
                clock_timestamp()
            )::quality.expectation_result,
            v_row.median, p_now
        );
    END LOOP;
END
$$;
COMMENT ON FUNCTION quality._judge_bucket(
    quality.expectation, timestamptz, timestamptz, timestamptz[], timestamptz
) IS 'Judges what was measured in one bucket';
REVOKE ALL ON FUNCTION quality._judge_bucket(
    quality.expectation, timestamptz, timestamptz, timestamptz[], timestamptz
) FROM PUBLIC;
