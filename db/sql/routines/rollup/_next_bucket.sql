-- Returns the start of the bucket after the given one; calendar buckets follow the operator's time
-- zone, so a day may have 23 or 25 hours.
CREATE OR REPLACE FUNCTION rollup._next_bucket(p_bucket timestamptz, p_grain interval, p_is_calendar boolean)
RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN p_is_calendar
            THEN date_add(
                p_bucket, p_grain, (SELECT s.value FROM ops.setting AS s WHERE s.name = 'time_zone')
            )
        ELSE p_bucket + p_grain
    END
$$;
COMMENT ON FUNCTION rollup._next_bucket(timestamptz, interval, boolean) IS 'Start of the next bucket';
REVOKE ALL ON FUNCTION rollup._next_bucket(timestamptz, interval, boolean) FROM PUBLIC;
