-- requires: rollup/_kept_from.sql, rollup/_next_bucket.sql
-- Stops a refresh that would compute a bucket before the horizon anew: its facts may have left Silver, and
-- what is left of them would take the place of the whole.
CREATE OR REPLACE FUNCTION rollup._refuse_final(p_rollup text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_kept_from timestamptz := rollup._kept_from(p_rollup);
    v_bucket timestamptz;
BEGIN
    SELECT min(p.bucket) INTO v_bucket
    FROM rollup.pending AS p
    INNER JOIN rollup.definition AS d ON p.rollup_name = d.rollup_name
    WHERE p.rollup_name = p_rollup AND p.bucket < v_kept_from
        AND rollup._next_bucket(p.bucket, d.grain, d.is_calendar) <= v_kept_from;
    IF v_bucket IS NOT NULL THEN
        RAISE EXCEPTION 'rollup % is final before %', p_rollup, v_kept_from
            USING ERRCODE = 'TS011',
            DETAIL = format('The bucket of %s is marked, but its facts may have left Silver.', v_bucket),
            HINT = 'Delete the mark from rollup.pending; nothing of it can be computed anew.';
    END IF;
END
$$;
COMMENT ON FUNCTION rollup._refuse_final(text) IS 'Stops a refresh of buckets before the horizon';
REVOKE ALL ON FUNCTION rollup._refuse_final(text) FROM PUBLIC;
