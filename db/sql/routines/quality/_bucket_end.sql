-- Returns the end of an hour (UTC) or of a day in a zone, which has 23 or 25 hours twice a year.
CREATE OR REPLACE FUNCTION quality._bucket_end(p_grain text, p_zone text, p_start timestamptz)
RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE p_grain
        WHEN 'hour' THEN p_start + interval '1 hour'
        ELSE ((p_start AT TIME ZONE p_zone)::date + 1)::timestamp AT TIME ZONE p_zone
    END
$$;
COMMENT ON FUNCTION quality._bucket_end(text, text, timestamptz) IS 'End of an hour or of a day in a zone';
REVOKE ALL ON FUNCTION quality._bucket_end(text, text, timestamptz) FROM PUBLIC;
