-- requires: rollup/_next_bucket.sql
-- Raises the horizon of a fact to p_to or, where that lies inside a bucket of a rollup over the fact, to the
-- bucket's end: a bucket lies on one side of it. Waits for the batches in flight, so that afterwards none
-- adds a row before it; refuses while a bucket before it waits for its refresh. Returns the horizon.
CREATE OR REPLACE FUNCTION ops.raise_horizon(p_dataset text, p_to timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- Batches that come meanwhile wait behind it.
SET lock_timeout = '15s'
AS $$
DECLARE
    v_zone text := (SELECT s.value FROM ops.setting AS s WHERE s.name = 'time_zone');
    v_kept_from timestamptz;
    v_marks bigint;
BEGIN
    SELECT max(
        CASE WHEN b.bucket = p_to THEN p_to ELSE rollup._next_bucket(b.bucket, b.grain, b.is_calendar) END
    )
    INTO v_kept_from
    FROM (
        SELECT
            d.grain, d.is_calendar,
            CASE
                WHEN d.is_calendar THEN public.time_bucket(d.grain, p_to, v_zone)
                ELSE public.time_bucket(d.grain, p_to)
            END AS bucket
        FROM rollup.definition AS d
        WHERE d.source = 'silver.fact_' || p_dataset
    ) AS b;
    IF v_kept_from IS NULL THEN
        RAISE EXCEPTION 'there is no fact %', p_dataset USING ERRCODE = 'TS008';
    END IF;
    IF v_kept_from > now() THEN
        RAISE EXCEPTION 'the horizon of % cannot rise into the future', p_dataset USING ERRCODE = 'TS011';
    END IF;
    -- It never sinks, so where it stands high enough no batch need be waited for.
    IF (SELECT h.kept_from FROM ops.horizon AS h WHERE h.dataset = p_dataset) < v_kept_from THEN
        PERFORM pg_advisory_xact_lock(7301008);
    ELSE
        RETURN (SELECT h.kept_from FROM ops.horizon AS h WHERE h.dataset = p_dataset);
    END IF;
    SELECT count(DISTINCT (p.rollup_name, p.bucket)) INTO v_marks
    FROM rollup.pending AS p
    INNER JOIN rollup.definition AS d ON p.rollup_name = d.rollup_name
    LEFT JOIN rollup.definition AS parent
        ON d.source = 'rollup.' || parent.rollup_name || '_v' || parent.version
    WHERE coalesce(parent.source, d.source) = 'silver.fact_' || p_dataset AND p.bucket < v_kept_from;
    IF v_marks > 0 THEN
        RAISE EXCEPTION '% buckets of Gold before % wait for their refresh', v_marks, v_kept_from
            USING ERRCODE = 'TS011', HINT = 'Run `telestream gold refresh`, then again.';
    END IF;
    UPDATE ops.horizon AS h
    SET kept_from = v_kept_from, raised_at = clock_timestamp()
    WHERE h.dataset = p_dataset AND h.kept_from < v_kept_from;
    RETURN (SELECT h.kept_from FROM ops.horizon AS h WHERE h.dataset = p_dataset);
END
$$;
COMMENT ON FUNCTION ops.raise_horizon(text, timestamptz) IS
'Makes Gold of a fact final before a time: older rows are refused from then on';
REVOKE ALL ON FUNCTION ops.raise_horizon(text, timestamptz) FROM PUBLIC;
