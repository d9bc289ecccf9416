-- Marks the buckets of every rollup built on p_rollup that overlap [p_lo, p_hi).
CREATE OR REPLACE FUNCTION rollup._touch_children(p_rollup text, p_lo timestamptz, p_hi timestamptz)
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
                    d.grain, g.at, (SELECT s.value FROM ops.setting AS s WHERE s.name = 'time_zone')
                )
            ELSE public.time_bucket(d.grain, g.at)
        END,
        0
    FROM rollup.definition AS parent
    INNER JOIN rollup.definition AS d ON d.source = 'rollup.' || parent.rollup_name || '_v' || parent.version
    CROSS JOIN LATERAL generate_series(p_lo, p_hi - parent.grain, parent.grain) AS g (at)
    WHERE parent.rollup_name = p_rollup
    ON CONFLICT (rollup_name, bucket, batch_id) DO NOTHING
$$;
COMMENT ON FUNCTION rollup._touch_children(text, timestamptz, timestamptz) IS
'Marks what depends on a refreshed range';
REVOKE ALL ON FUNCTION rollup._touch_children(text, timestamptz, timestamptz) FROM PUBLIC;
