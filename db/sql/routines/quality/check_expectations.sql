-- requires: quality/_judge_freshness.sql, quality/_judge_measured.sql, quality/_forget_touched.sql
-- Judges every enabled expectation, of one dataset or of all, as of p_now; opens and ends incidents, whose
-- alerts go to the outbox. One caller at a time; another returns at once. While a file of a dataset is being
-- loaded only the freshness of its sources is judged. An expectation that cannot run is noted and does not
-- stop the others. Returns what was judged in this call.
CREATE OR REPLACE FUNCTION quality.check_expectations(
    p_now timestamptz DEFAULT now(), p_dataset text DEFAULT NULL
)
RETURNS SETOF quality.expectation_result
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_started timestamptz := clock_timestamp();
    v_zone text := (SELECT s.value FROM ops.setting AS s WHERE s.name = 'time_zone');
    v_keep interval := (SELECT s.value::interval FROM ops.setting AS s WHERE s.name = 'quality_history');
    v_dataset text;
    v_rule quality.expectation;
    v_incident record;
BEGIN
    IF NOT pg_try_advisory_xact_lock(7301017) THEN
        RETURN;
    END IF;
    FOR v_incident IN
        SELECT i.incident_id
        FROM quality.incident AS i
        WHERE i.ended_at IS NULL AND NOT EXISTS (
            SELECT FROM quality.expectation AS e
            INNER JOIN quality.rule AS r ON e.dataset = r.dataset AND e.rule = r.rule
            WHERE e.dataset = i.dataset AND e.rule = i.rule AND r.is_enabled
        )
        ORDER BY i.incident_id
    LOOP
        UPDATE quality.incident AS i SET ended_at = p_now WHERE i.incident_id = v_incident.incident_id;
        PERFORM quality._alert(v_incident.incident_id, 'ended');
    END LOOP;
    FOR v_dataset IN
        SELECT DISTINCT e.dataset FROM quality.expectation AS e
        WHERE p_dataset IS NULL OR e.dataset = p_dataset
        ORDER BY e.dataset
    LOOP
        PERFORM quality._forget_touched(v_dataset);
        FOR v_rule IN
            SELECT e.*
            FROM quality.expectation AS e
            INNER JOIN quality.rule AS r ON e.dataset = r.dataset AND e.rule = r.rule
            WHERE e.dataset = v_dataset AND r.is_enabled
                AND (
                    e.kind = 'freshness' OR NOT EXISTS (
                        -- A load that died a day ago is no reason to wait any longer.
                        SELECT FROM ops.source_file AS f
                        WHERE f.dataset = v_dataset AND f.status = 'loading'
                            AND f.started_at > v_started - interval '1 day'
                    )
                )
            ORDER BY e.rule
        LOOP
            BEGIN
                IF v_rule.kind = 'freshness' THEN
                    PERFORM quality._judge_freshness(v_rule, v_zone, p_now);
                ELSE
                    PERFORM quality._judge_measured(v_rule, v_zone, p_now);
                END IF;
            EXCEPTION WHEN OTHERS THEN
                INSERT INTO quality.expectation_result AS x (dataset, rule, subject, bucket, outcome, details)
                VALUES (
                    v_dataset, v_rule.rule, '', date_trunc('hour', p_now, 'UTC'), 'error',
                    jsonb_build_object('reason', sqlerrm)
                )
                ON CONFLICT (dataset, rule, subject, bucket) DO UPDATE
                SET outcome = excluded.outcome, details = excluded.details, judged_at = excluded.judged_at;
            END;
        END LOOP;
    END LOOP;
    DELETE FROM quality.measurement AS m WHERE m.bucket < p_now - v_keep;
    DELETE FROM quality.expectation_result AS x WHERE x.bucket < p_now - v_keep;
    DELETE FROM quality.incident AS i WHERE i.ended_at < p_now - v_keep;
    RETURN QUERY
    SELECT x.*
    FROM quality.expectation_result AS x
    WHERE x.judged_at >= v_started
    ORDER BY x.dataset, x.rule, x.subject, x.bucket;
END
$$;
COMMENT ON FUNCTION quality.check_expectations(timestamptz, text) IS
'Judges the expectations, opens and ends incidents';
REVOKE ALL ON FUNCTION quality.check_expectations(timestamptz, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION quality.check_expectations(timestamptz, text)
TO telestream_loader, telestream_consumer;
