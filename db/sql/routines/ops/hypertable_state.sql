-- Returns one row per hypertable for telestream doctor: what the catalogue says, no table is read. Bytes of
-- heap and indexes are those of uncompressed chunks. Rows are estimates: what analyze has found, and for
-- chunks it has not seen yet the bytes over the bytes per row of the others; where it has seen none, what
-- the batches have loaded. Unpacked bytes are what the compressed chunks took before. Recent are the chunks
-- of the last seven days of data.
CREATE OR REPLACE FUNCTION ops.hypertable_state()
RETURNS TABLE (
    table_name text, chunks bigint, compressed_chunks bigint, bytes bigint, compressed_bytes bigint,
    unpacked_bytes bigint, heap_bytes bigint, index_bytes bigint, indexes bigint, row_count bigint,
    recent_rows bigint, recent_bytes bigint, recent_from timestamptz, first_chunk_to timestamptz,
    last_chunk_to timestamptz, has_chunk_for_now boolean, chunks_never_analyzed bigint,
    compress_after interval, policy_compresses interval, chunks_to_compress bigint,
    oldest_to_compress timestamptz, max_index_ratio numeric
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    WITH store AS (
        SELECT
            h.hypertable_schema || '.' || regexp_replace(h.hypertable_name, '_v\d+$', '') AS table_name,
            h.hypertable_schema AS store_schema, h.hypertable_name AS store_name
        FROM timescaledb_information.hypertables AS h
        WHERE h.hypertable_schema IN ('silver', 'rollup')
        UNION ALL
        SELECT
            c.view_schema || '.' || regexp_replace(c.view_name, '_v\d+$', ''),
            c.materialization_hypertable_schema, c.materialization_hypertable_name
        FROM timescaledb_information.continuous_aggregates AS c
        WHERE c.view_schema = 'rollup'
    ),
    chunk AS MATERIALIZED (
        SELECT
            s.table_name, k.range_start, k.range_end, k.is_compressed, z.table_bytes, z.index_bytes, z.total_bytes,
            m.before_compression_table_bytes AS unpacked_bytes,
            coalesce(m.before_compression_table_bytes, z.table_bytes) AS row_space,
            CASE
                WHEN k.is_compressed THEN nullif(public.approximate_row_count(c.oid), 0)
                WHEN c.reltuples >= 0 AND c.relpages > 0
                    THEN c.reltuples / c.relpages * (z.table_bytes / current_setting('block_size')::bigint)
                WHEN z.table_bytes = 0 THEN 0
            END AS known_rows,
            c.reltuples < 0 AND NOT k.is_compressed AS is_unseen
        FROM store AS s
        CROSS JOIN LATERAL public.chunks_detailed_size(
            format('%I.%I', s.store_schema, s.store_name)::regclass
        ) AS z
        INNER JOIN timescaledb_information.chunks AS k
            ON z.chunk_schema = k.chunk_schema AND z.chunk_name = k.chunk_name
        INNER JOIN pg_class AS c ON format('%I.%I', z.chunk_schema, z.chunk_name)::regclass = c.oid
        LEFT JOIN LATERAL public.chunk_compression_stats(
            format('%I.%I', s.store_schema, s.store_name)::regclass
        ) AS m ON k.is_compressed AND z.chunk_schema = m.chunk_schema AND z.chunk_name = m.chunk_name
    ),
    density AS (
        SELECT
            s.table_name,
            coalesce(
                sum(k.row_space) FILTER (WHERE k.known_rows > 0)::float8 / nullif(sum(k.known_rows), 0),
                -- Asked where analyze has seen no chunk yet: else there may be many batches.
                sum(k.row_space)::float8 / nullif((
                    SELECT sum(b.rows_loaded) FROM ops.batch AS b
                    WHERE 'silver.fact_' || b.dataset = s.table_name
                ), 0)
            ) AS row_bytes
        FROM store AS s
        LEFT JOIN chunk AS k ON s.table_name = k.table_name
        GROUP BY s.table_name
    ),
    counted AS (
        SELECT
            k.*,
            coalesce(k.known_rows, k.row_space / d.row_bytes) AS row_count,
            k.range_end > max(k.range_end) OVER (PARTITION BY k.table_name) - interval '7 days' AS is_recent,
            NOT k.is_compressed AND k.range_end < now() - p.compress_after AS is_to_compress
        FROM chunk AS k
        INNER JOIN density AS d ON k.table_name = d.table_name
        LEFT JOIN ops.storage_policy AS p ON k.table_name = p.table_name
    )
    SELECT
        s.table_name,
        count(k.table_name),
        count(*) FILTER (WHERE k.is_compressed),
        coalesce(sum(k.total_bytes), 0)::bigint,
        coalesce(sum(k.total_bytes) FILTER (WHERE k.is_compressed), 0)::bigint,
        coalesce(sum(k.unpacked_bytes), 0)::bigint,
        coalesce(sum(k.table_bytes) FILTER (WHERE NOT k.is_compressed), 0)::bigint,
        coalesce(sum(k.index_bytes) FILTER (WHERE NOT k.is_compressed), 0)::bigint,
        (
            SELECT count(*) FROM pg_index AS i
            WHERE i.indrelid = format('%I.%I', s.store_schema, s.store_name)::regclass
        ),
        sum(k.row_count)::bigint,
        sum(k.row_count) FILTER (WHERE k.is_recent)::bigint,
        sum(k.total_bytes) FILTER (WHERE k.is_recent)::bigint,
        min(k.range_start) FILTER (WHERE k.is_recent),
        min(k.range_end),
        max(k.range_end),
        coalesce(bool_or(now() >= k.range_start AND now() < k.range_end), false),
        -- 8 MB: smaller ones the planner guesses well enough.
        count(*) FILTER (WHERE k.is_unseen AND k.table_bytes > 8388608 AND k.range_end < now() - interval '1 hour'),
        p.compress_after,
        (
            SELECT (j.config ->> 'compress_after')::interval FROM timescaledb_information.jobs AS j
            WHERE j.proc_name = 'policy_compression'
                AND j.hypertable_schema = s.store_schema AND j.hypertable_name = s.store_name
        ),
        count(*) FILTER (WHERE k.is_to_compress),
        min(k.range_end) FILTER (WHERE k.is_to_compress),
        coalesce(p.max_index_ratio, 1)
    FROM store AS s
    LEFT JOIN counted AS k ON s.table_name = k.table_name
    LEFT JOIN ops.storage_policy AS p ON s.table_name = p.table_name
    GROUP BY s.table_name, s.store_schema, s.store_name, p.compress_after, p.max_index_ratio
    ORDER BY s.table_name LIKE 'rollup.%', s.table_name
$$;
COMMENT ON FUNCTION ops.hypertable_state() IS
'Chunks, sizes and policies of each hypertable, for telestream doctor';
REVOKE ALL ON FUNCTION ops.hypertable_state() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.hypertable_state() TO telestream_engineer;
