-- requires: privacy/_scrub_bronze.sql, privacy/_scrub_quarantine.sql, privacy/_scrub_dead_letters.sql
-- requires: privacy/_unlink_cdrs.sql, privacy/_unlink_events.sql, privacy/_summed.sql
-- Takes a person out of all that some batches brought. Returns what was changed, by table.
CREATE OR REPLACE FUNCTION privacy._scrub_batches(p_plan jsonb, p_policy text, p_batches bigint[])
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_counts jsonb := privacy._scrub_bronze(p_plan, p_batches);
    v_events record;
BEGIN
    v_counts := privacy._summed(v_counts, privacy._scrub_quarantine(p_plan, p_batches, NULL, NULL));
    v_counts := privacy._summed(v_counts, privacy._scrub_dead_letters(p_plan, p_batches, NULL, NULL));
    FOR v_events IN
        SELECT
            b.dataset, array_agg(b.batch_id) AS batches, min(b.min_event_at) AS lo,
            max(b.max_event_at) + interval '1 microsecond' AS hi
        FROM ops.batch AS b
        WHERE b.batch_id = ANY (p_batches) AND b.rows_loaded > 0 AND b.dataset IN ('cdr', 'network_event')
        GROUP BY b.dataset
    LOOP
        IF v_events.dataset = 'cdr' THEN
            v_counts := privacy._summed(
                v_counts, privacy._unlink_cdrs(p_plan, p_policy, v_events.lo, v_events.hi, v_events.batches)
            );
        ELSE
            v_counts := privacy._summed(
                v_counts, privacy._unlink_events(p_plan, p_policy, v_events.lo, v_events.hi, v_events.batches)
            );
        END IF;
    END LOOP;
    RETURN v_counts;
END
$$;
COMMENT ON FUNCTION privacy._scrub_batches(jsonb, text, bigint[]) IS
'Takes a person out of what batches brought';
REVOKE ALL ON FUNCTION privacy._scrub_batches(jsonb, text, bigint[]) FROM PUBLIC;
