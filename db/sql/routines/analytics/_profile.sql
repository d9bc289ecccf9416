-- Makes the vector of a cell of its sums. Load: means per hour of the week; an hour that Gold has nothing
-- of gets what the same hour of the other days has, else what the cell has on average; each hour lends a
-- quarter to either neighbour; then the square roots of the shares, so that the noise of few records is
-- the same in every hour and the length is 1. Quality: square roots of shares, too; what is not known
-- counts as 0.2, which is usual. Null for a cell without any load.
CREATE OR REPLACE FUNCTION analytics._profile(
    p_load public.vector, p_hours public.vector, p_attempts bigint, p_failed bigint, p_answered bigint,
    p_dropped bigint, p_connections bigint, p_drops bigint, p_latency_us_sum bigint, p_latency_samples bigint
)
RETURNS public.vector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT public.vector_concat(
        public.l2_normalize(
            array_agg(sqrt((m.mean[(i + 166) % 168 + 1] + 2 * m.mean[i] + m.mean[i % 168 + 1]) / 4) ORDER BY i)
            ::public.vector
        ),
        ARRAY[
            CASE WHEN p_attempts > 0 THEN sqrt(least(1, p_failed::double precision / p_attempts)) ELSE 0.2 END,
            CASE WHEN p_answered > 0 THEN sqrt(least(1, p_dropped::double precision / p_answered)) ELSE 0.2 END,
            CASE WHEN p_connections > 0 THEN sqrt(least(1, p_drops::double precision / p_connections)) ELSE 0.2 END,
            coalesce(
                p_latency_us_sum::double precision
                / nullif(p_latency_us_sum + 100000 * p_latency_samples::double precision, 0), 0.2
            )
        ]::public.vector
    )
    FROM (
        SELECT array_agg(f.mean ORDER BY f.i) AS mean
        FROM (
            SELECT
                h.i, coalesce(h.mean, avg(h.mean) OVER (PARTITION BY h.i % 24), avg(h.mean) OVER ()) AS mean
            FROM (
                SELECT u.i, u.load::double precision / nullif(u.hours, 0) AS mean
                FROM unnest(p_load::real[], p_hours::real[]) WITH ORDINALITY AS u (load, hours, i)
            ) AS h
        ) AS f
    ) AS m
    CROSS JOIN generate_series(1, 168) AS i
    GROUP BY m.mean
    HAVING sum(m.mean[i]) > 0
$$;
COMMENT ON FUNCTION analytics._profile(
    public.vector, public.vector, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint
) IS
'The vector of a cell: how its load is spread over the week, and its quality';
REVOKE ALL ON FUNCTION analytics._profile(
    public.vector, public.vector, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint
) FROM PUBLIC;
