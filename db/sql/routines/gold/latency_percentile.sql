-- Returns a percentile of latencies from counts within the fixed bounds of the network rollups: linear
-- within the bounds that hold it, which end at the largest value. Mergeable, since counts add up.
CREATE OR REPLACE FUNCTION gold.latency_percentile(
    p_fraction double precision, p_counts bigint[], p_max double precision
)
RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT round(least(
        p_max,
        c.lo + (least(c.hi, p_max) - c.lo) * (p_fraction * c.total - c.below) / c.n
    )::numeric, 3)::double precision
    FROM (
        SELECT
            u.n, u.hi, u.position,
            coalesce(lag(u.hi) OVER (ORDER BY u.position), 0) AS lo,
            sum(u.n) OVER (ORDER BY u.position) - u.n AS below,
            sum(u.n) OVER () AS total
        FROM unnest(
            p_counts, ARRAY[5, 10, 15, 20, 30, 40, 60, 80, 120, 200, 500, 1000]::double precision[]
        ) WITH ORDINALITY AS u (n, hi, position)
    ) AS c
    WHERE c.n > 0 AND c.below + c.n >= p_fraction * c.total
    ORDER BY c.position
    LIMIT 1
$$;
COMMENT ON FUNCTION gold.latency_percentile(double precision, bigint[], double precision) IS
'Percentile of latencies from the counts of the network rollups, ms';
REVOKE ALL ON FUNCTION gold.latency_percentile(double precision, bigint[], double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gold.latency_percentile(double precision, bigint[], double precision)
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
