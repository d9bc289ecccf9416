-- requires: rollup/_next_bucket.sql
-- Returns the touched buckets of a rollup with touching buckets joined into ranges [lo, hi).
CREATE OR REPLACE FUNCTION rollup._pending_ranges(p_rollup text)
RETURNS TABLE (lo timestamptz, hi timestamptz)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT min(m.lo), max(m.hi)
    FROM (
        SELECT b.lo, b.hi, count(*) FILTER (WHERE b.is_first) OVER (ORDER BY b.lo) AS island
        FROM (
            SELECT p.lo, p.hi, p.lo IS DISTINCT FROM lag(p.hi) OVER (ORDER BY p.lo) AS is_first
            FROM (
                SELECT DISTINCT q.bucket AS lo, rollup._next_bucket(q.bucket, d.grain, d.is_calendar) AS hi
                FROM rollup.pending AS q
                INNER JOIN rollup.definition AS d ON q.rollup_name = d.rollup_name
                WHERE q.rollup_name = p_rollup
            ) AS p
        ) AS b
    ) AS m
    GROUP BY m.island
    ORDER BY 1
$$;
COMMENT ON FUNCTION rollup._pending_ranges(text) IS 'Touched buckets of a rollup as ranges';
REVOKE ALL ON FUNCTION rollup._pending_ranges(text) FROM PUBLIC;
