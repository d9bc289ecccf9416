-- Returns the newest 5-minute window of network events per cell and technology, and of the whole network in a
-- row without cell; what a consumer puts into Redis after its commits.
CREATE OR REPLACE FUNCTION ops.hot_windows()
RETURNS TABLE (
    bucket timestamptz, cell_id text, technology text, events bigint, drops bigint, handover_failures bigint,
    latency_ms_mean double precision, rsrp_dbm_mean double precision,
    throughput_down_kbps_mean double precision
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    SELECT
        w.bucket, c.cell_id, w.technology,
        sum(w.events)::bigint, sum(w.drops)::bigint, sum(w.handover_failures)::bigint,
        (sum(w.latency_us_sum) / 1000.0 / nullif(sum(w.latency_samples), 0))::double precision,
        (sum(w.rsrp_centi_sum) / 100.0 / nullif(sum(w.rsrp_samples), 0))::double precision,
        (sum(w.throughput_down_kbps_sum) / nullif(sum(w.throughput_samples), 0))::double precision
    FROM rollup.network_5m AS w
    INNER JOIN silver.dim_network_cell AS c ON w.cell_key = c.cell_key
    WHERE w.bucket = (SELECT max(n.bucket) FROM rollup.network_5m AS n)
    GROUP BY GROUPING SETS ((w.bucket, c.cell_id, w.technology), (w.bucket))
$$;
COMMENT ON FUNCTION ops.hot_windows() IS 'The newest 5-minute window per cell, and of the whole network';
REVOKE ALL ON FUNCTION ops.hot_windows() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.hot_windows() TO telestream_consumer;
