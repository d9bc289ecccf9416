-- Marks, for every rollup over p_source, the buckets that hold the given 5-minute buckets of its facts. Of a
-- merged rollup nothing needs to be computed anew, so what is built on it is marked instead.
CREATE OR REPLACE FUNCTION rollup._mark(p_source text, p_buckets timestamptz[], p_batch_id bigint)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO rollup.pending (rollup_name, bucket, batch_id)
    SELECT DISTINCT
        d.rollup_name,
        CASE
            WHEN d.is_calendar
                THEN public.time_bucket(
                    d.grain, u.bucket, (SELECT z.value FROM ops.setting AS z WHERE z.name = 'time_zone')
                )
            ELSE public.time_bucket(d.grain, u.bucket)
        END,
        p_batch_id
    FROM unnest(p_buckets) AS u (bucket)
    CROSS JOIN rollup.definition AS d
    WHERE (d.source = p_source AND NOT d.is_merged)
        OR EXISTS (
            SELECT FROM rollup.definition AS m
            WHERE m.source = p_source AND m.is_merged
                AND d.source = 'rollup.' || m.rollup_name || '_v' || m.version
        )
$$;
COMMENT ON FUNCTION rollup._mark(text, timestamptz[], bigint) IS
'Marks the buckets that a batch touched, for the next refresh';
REVOKE ALL ON FUNCTION rollup._mark(text, timestamptz[], bigint) FROM PUBLIC;
