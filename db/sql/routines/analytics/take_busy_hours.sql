-- Brings the busy hours of days from p_from on up to date with Gold, week by week: those whose Gold was
-- refreshed since. An hour is added up over kinds of records, and the fullest of a day is kept, whichever it
-- is: a day of 23 or 25 hours needs nothing else; an hour belongs to the day it begins in. Days and marks
-- before p_from wait a year, for a longer history to be asked for. Returns how many weeks were read.
CREATE OR REPLACE FUNCTION analytics.take_busy_hours(p_from date)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
-- A week of thousands of cells: its groups should fit in memory.
SET work_mem = '256MB'
AS $$
DECLARE
    v_zone text := (SELECT s.value FROM ops.setting AS s WHERE s.name = 'time_zone');
    v_weeks date[];
    v_week date;
    v_from timestamptz;
    v_to timestamptz;
BEGIN
    DELETE FROM analytics.stale_busy_week AS s WHERE s.week < p_from - 371;
    DELETE FROM analytics.busy_hour AS b WHERE b.day < p_from - 371;
    -- A mark that comes meanwhile is another transaction's and stays for the next run.
    WITH taken AS (DELETE FROM analytics.stale_busy_week AS s WHERE s.week > p_from - 7 RETURNING s.week)
    SELECT array_agg(DISTINCT t.week) INTO v_weeks FROM taken AS t;
    FOREACH v_week IN ARRAY coalesce(v_weeks, '{}') LOOP
        v_from := v_week::timestamp AT TIME ZONE v_zone;
        v_to := (v_week + 7)::timestamp AT TIME ZONE v_zone;
        DELETE FROM analytics.busy_hour AS b WHERE b.day >= v_week AND b.day < v_week + 7;
        INSERT INTO analytics.busy_hour (cell_key, day, erlangs, megabytes)
        SELECT
            h.cell_key, (h.bucket AT TIME ZONE v_zone)::date AS day,
            max(h.seconds / 3600.0)::double precision, max(h.bytes / 1e6)::double precision
        FROM (
            SELECT
                t.cell_key, t.bucket,
                sum(t.seconds) FILTER (WHERE t.record_type = 'voice') AS seconds,
                sum(t.bytes_up + t.bytes_down) FILTER (WHERE t.record_type <> 'voice') AS bytes
            FROM rollup.cell_traffic_1h AS t
            WHERE t.bucket >= v_from AND t.bucket < v_to AND t.cell_key <> 0
            GROUP BY t.cell_key, t.bucket
        ) AS h
        GROUP BY 1, 2;
    END LOOP;
    ANALYZE analytics.busy_hour;
    RETURN coalesce(cardinality(v_weeks), 0);
END
$$;
COMMENT ON FUNCTION analytics.take_busy_hours(date) IS 'Brings the busy hours of cells up to date with Gold';
REVOKE ALL ON FUNCTION analytics.take_busy_hours(date) FROM PUBLIC;
