-- requires: quality/_due_at.sql, quality/_under_maintenance.sql, quality/_note_result.sql
-- Judges whether the sources of a freshness rule are on time: the newest record of each lies at most `every`
-- before the last due time that is `grace` ago. A source fails only after it has been on time once, or, if
-- the rule names it, once the rule is old enough: a load of old days never was on time and alerts nobody.
CREATE OR REPLACE FUNCTION quality._judge_freshness(
    p_rule quality.expectation, p_zone text, p_now timestamptz
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_zone text := coalesce(p_rule.time_zone, p_zone);
    v_due timestamptz := quality._due_at(p_rule.due_at, p_rule.weekdays, v_zone, p_now - p_rule.grace);
    -- A day before, by the calendar of the source.
    v_since timestamptz := ((v_due AT TIME ZONE v_zone) - p_rule.every) AT TIME ZONE v_zone;
    v_source record;
    v_outcome text;
BEGIN
    FOR v_source IN
        SELECT w.source, w.event_at
        FROM ops.watermark AS w
        WHERE p_rule.source IS NULL AND w.dataset = p_rule.dataset AND w.position IS NULL
            AND NOT EXISTS (
                SELECT FROM quality.expectation AS e
                INNER JOIN quality.rule AS r ON e.dataset = r.dataset AND e.rule = r.rule
                WHERE e.dataset = w.dataset AND e.kind = 'freshness' AND e.source = w.source AND r.is_enabled
            )
        UNION ALL
        SELECT p_rule.source, max(w.event_at)
        FROM ops.watermark AS w
        WHERE w.dataset = p_rule.dataset AND w.source = p_rule.source
        HAVING p_rule.source IS NOT NULL
        ORDER BY 1
    LOOP
        v_outcome := CASE
            WHEN quality._under_maintenance(p_rule.dataset, v_source.source, v_since, v_due) THEN 'maintenance'
            WHEN v_source.event_at >= v_since THEN 'passed'
            WHEN p_rule.source IS NOT NULL AND p_rule.created_at <= v_since THEN 'failed'
            WHEN EXISTS (
                SELECT FROM quality.expectation_result AS x
                WHERE x.dataset = p_rule.dataset AND x.rule = p_rule.rule AND x.subject = v_source.source
                    AND x.outcome = 'passed'
            ) THEN 'failed'
            ELSE 'no_history'
        END;
        PERFORM quality._note_result(
            (
                p_rule.dataset, p_rule.rule, v_source.source,
                CASE WHEN p_rule.due_at IS NULL THEN date_trunc('hour', p_now, 'UTC') ELSE v_due END,
                v_outcome,
                greatest(extract(EPOCH FROM v_due - coalesce(v_source.event_at, p_rule.created_at)), 0) / 3600,
                NULL, extract(EPOCH FROM v_due - v_since) / 3600,
                jsonb_strip_nulls(jsonb_build_object(
                    'newest', v_source.event_at,
                    'due', v_due,
                    'reason', CASE v_outcome WHEN 'no_history' THEN 'has not been on time yet' END
                )),
                clock_timestamp()
            )::quality.expectation_result,
            NULL, p_now
        );
    END LOOP;
END
$$;
COMMENT ON FUNCTION quality._judge_freshness(quality.expectation, text, timestamptz) IS
'Judges whether sources are on time';
REVOKE ALL ON FUNCTION quality._judge_freshness(quality.expectation, text, timestamptz) FROM PUBLIC;
