-- Returns the same hour or day of the past weeks, by the calendar of a zone, the latest first.
CREATE OR REPLACE FUNCTION quality._weeks_before(
    p_grain text, p_zone text, p_start timestamptz, p_weeks integer
)
RETURNS timestamptz[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(
        CASE p_grain
            WHEN 'hour' THEN ((p_start AT TIME ZONE p_zone) - n * interval '7 days') AT TIME ZONE p_zone
            ELSE ((p_start AT TIME ZONE p_zone)::date - 7 * n)::timestamp AT TIME ZONE p_zone
        END
        ORDER BY n
    )
    FROM generate_series(1, p_weeks) AS n
$$;
COMMENT ON FUNCTION quality._weeks_before(text, text, timestamptz, integer) IS
'The same hour or day of the past weeks';
REVOKE ALL ON FUNCTION quality._weeks_before(text, text, timestamptz, integer) FROM PUBLIC;
