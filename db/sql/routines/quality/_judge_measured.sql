-- requires: quality/_measure.sql, quality/_judge_bucket.sql, quality/_bucket_end.sql
-- requires: quality/_weeks_before.sql
-- Measures and judges the latest closed buckets of an expectation, three days or 24 hours back, oldest
-- first, as far as they are not judged or were measured anew. Older ones are history: measured where they
-- are needed, never judged.
CREATE OR REPLACE FUNCTION quality._judge_measured(p_rule quality.expectation, p_zone text, p_now timestamptz)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_bucket record;
    v_past timestamptz[] := '{}';
    v_needs_past boolean := p_rule.statistic = 'psi' OR num_nonnulls(p_rule.below, p_rule.above) > 0;
    v_measured_at timestamptz;
    v_week timestamptz;
BEGIN
    FOR v_bucket IN
        SELECT b.from_at, quality._bucket_end(p_rule.grain, p_zone, b.from_at) AS to_at
        FROM generate_series(1, CASE p_rule.grain WHEN 'hour' THEN 24 ELSE 3 END) AS n
        CROSS JOIN LATERAL (
            SELECT CASE p_rule.grain
                WHEN 'hour' THEN date_trunc('hour', p_now - p_rule.grace, 'UTC') - n * interval '1 hour'
                ELSE (((p_now - p_rule.grace) AT TIME ZONE p_zone)::date - n)::timestamp AT TIME ZONE p_zone
            END AS from_at
        ) AS b
        ORDER BY b.from_at
    LOOP
        PERFORM quality._measure(p_rule, v_bucket.from_at, v_bucket.to_at);
        SELECT max(m.measured_at) INTO v_measured_at
        FROM quality.measurement AS m
        WHERE m.dataset = p_rule.dataset AND m.rule = p_rule.rule AND m.bucket = v_bucket.from_at;
        CONTINUE WHEN v_measured_at IS NULL OR EXISTS (
            SELECT FROM quality.expectation_result AS x
            WHERE x.dataset = p_rule.dataset AND x.rule = p_rule.rule AND x.bucket = v_bucket.from_at
                AND x.judged_at >= v_measured_at
        );
        IF v_needs_past THEN
            v_past := quality._weeks_before(p_rule.grain, p_zone, v_bucket.from_at, p_rule.weeks);
            FOREACH v_week IN ARRAY v_past LOOP
                PERFORM quality._measure(p_rule, v_week, quality._bucket_end(p_rule.grain, p_zone, v_week));
            END LOOP;
        END IF;
        PERFORM quality._judge_bucket(p_rule, v_bucket.from_at, v_bucket.to_at, v_past, p_now);
    END LOOP;
END
$$;
COMMENT ON FUNCTION quality._judge_measured(quality.expectation, text, timestamptz) IS
'Measures and judges the latest closed buckets of an expectation';
REVOKE ALL ON FUNCTION quality._judge_measured(quality.expectation, text, timestamptz) FROM PUBLIC;
