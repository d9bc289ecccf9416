-- Returns what is dropped of a fact at once: the smallest ranges of whole UTC days that hold whole chunks,
-- since the archive is kept by day. p_dataset is cdr or network_event; bytes include indexes.
CREATE OR REPLACE FUNCTION ops._silver_units(p_dataset text)
RETURNS TABLE (lo timestamptz, hi timestamptz, chunks bigint, bytes bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT min(i.lo), max(i.hi), count(*), sum(i.bytes)::bigint
    FROM (
        SELECT s.*, count(*) FILTER (WHERE s.is_first) OVER (ORDER BY s.lo, s.hi) AS island
        FROM (
            SELECT
                c.lo, c.hi, c.bytes,
                c.lo >= coalesce(
                    max(c.hi) OVER (ORDER BY c.lo, c.hi ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
                    '-infinity'
                ) AS is_first
            FROM (
                SELECT
                    public.time_bucket('1 day', k.range_start) AS lo,
                    public.time_bucket('1 day', k.range_end - interval '1 microsecond') + interval '1 day' AS hi,
                    z.total_bytes AS bytes
                FROM timescaledb_information.chunks AS k
                INNER JOIN public.chunks_detailed_size(('silver.fact_' || p_dataset)::regclass) AS z
                    ON k.chunk_schema = z.chunk_schema AND k.chunk_name = z.chunk_name
                WHERE k.hypertable_schema = 'silver' AND k.hypertable_name = 'fact_' || p_dataset
            ) AS c
        ) AS s
    ) AS i
    GROUP BY i.island
    ORDER BY 1
$$;
COMMENT ON FUNCTION ops._silver_units(text) IS 'Ranges of whole days and whole chunks of a fact';
REVOKE ALL ON FUNCTION ops._silver_units(text) FROM PUBLIC;
