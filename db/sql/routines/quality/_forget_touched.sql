-- Forgets what was measured in buckets that loads have touched since the last check, so that they are
-- measured anew. Looks a minute further back, for a batch that was closed before the last check and
-- committed after.
CREATE OR REPLACE FUNCTION quality._forget_touched(p_dataset text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    WITH touched AS MATERIALIZED (
        SELECT DISTINCT date_trunc('hour', b.min_event_at) AS lo, date_trunc('hour', b.max_event_at) AS hi
        FROM ops.batch AS b
        WHERE b.dataset = p_dataset AND b.rows_loaded > 0 AND b.finished_at >= (
            SELECT s.checked_to - interval '1 minute' FROM quality.check_state AS s WHERE s.dataset = p_dataset
        )
    )
    DELETE FROM quality.measurement AS m
    USING touched AS t
    WHERE m.dataset = p_dataset AND m.bucket <= t.hi + interval '1 hour' AND m.bucket_end > t.lo;
    INSERT INTO quality.check_state AS s (dataset, checked_to)
    VALUES (p_dataset, v_now)
    ON CONFLICT (dataset) DO UPDATE SET checked_to = excluded.checked_to;
END
$$;
COMMENT ON FUNCTION quality._forget_touched(text) IS
'Forgets what was measured in buckets that loads have touched';
REVOKE ALL ON FUNCTION quality._forget_touched(text) FROM PUBLIC;
