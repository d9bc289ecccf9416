-- Marks the buckets of Gold that facts were taken from or that name another surrogate now, so that the next
-- refresh computes them anew. Buckets before the horizon are final and stay.
CREATE OR REPLACE FUNCTION privacy._mark_gold(p_dataset text, p_buckets timestamptz[], p_is_of_people boolean)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    -- Under an id of its own: a refresh under way takes off only the marks that it has seen.
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
        m.batch_id
    FROM unnest(p_buckets) AS u (bucket)
    CROSS JOIN rollup.definition AS d
    CROSS JOIN (SELECT nextval(pg_get_serial_sequence('ops.batch', 'batch_id')) AS batch_id) AS m
    WHERE d.source = 'silver.fact_' || p_dataset
        AND (NOT p_is_of_people OR d.select_sql ~ '\msubscriber_id\M')
        AND u.bucket >= (SELECT h.kept_from FROM ops.horizon AS h WHERE h.dataset = p_dataset)
$$;
COMMENT ON FUNCTION privacy._mark_gold(text, timestamptz[], boolean) IS
'Marks what of Gold an erasure touches';
REVOKE ALL ON FUNCTION privacy._mark_gold(text, timestamptz[], boolean) FROM PUBLIC;
