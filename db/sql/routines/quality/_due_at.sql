-- Returns when a source was due last, at or before p_before: the local time p_due_at on one of p_weekdays
-- (null: every day) in a zone; without p_due_at it is always due. A local time that summer time skips is an
-- hour later.
CREATE OR REPLACE FUNCTION quality._due_at(
    p_due_at time, p_weekdays smallint[], p_zone text, p_before timestamptz
)
RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN p_due_at IS NULL THEN p_before
        ELSE (
            SELECT max(m.at)
            FROM generate_series(0, 8) AS n
            CROSS JOIN LATERAL (SELECT (p_before AT TIME ZONE p_zone)::date - n AS day) AS d
            CROSS JOIN LATERAL (SELECT (d.day + p_due_at) AT TIME ZONE p_zone AS at) AS m
            WHERE m.at <= p_before
                AND (p_weekdays IS NULL OR extract(ISODOW FROM d.day)::smallint = ANY (p_weekdays))
        )
    END
$$;
COMMENT ON FUNCTION quality._due_at(time, smallint[], text, timestamptz) IS 'When a source was due last';
REVOKE ALL ON FUNCTION quality._due_at(time, smallint[], text, timestamptz) FROM PUBLIC;
