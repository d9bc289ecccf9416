-- Returns a text per part of Gold that differs as soon as what readers see has changed; the keys of cached
-- responses hold it. What Gold shows is decided by which batches are committed and which buckets are still to
-- be refreshed, so the version is made of these two and needs no counter that writers would queue for.
CREATE OR REPLACE FUNCTION api.gold_version()
RETURNS TABLE (tag text, version text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    WITH batch AS (
        SELECT
            -- Batches finished long before are all committed: the last hour tells of every change.
            count(*) FILTER (WHERE b.dataset <> 'network_event') AS cdrs,
            max(b.batch_id) FILTER (WHERE b.dataset <> 'network_event') AS last_cdr,
            count(*) FILTER (WHERE b.dataset = 'network_event') AS events,
            max(b.batch_id) FILTER (WHERE b.dataset = 'network_event') AS last_event
        FROM ops.batch AS b
        WHERE b.dataset IN ('cdr', 'customer', 'network_event') AND b.status = 'done'
            AND b.finished_at > clock_timestamp() - interval '1 hour'
    ),
    pending AS (
        SELECT
            coalesce(bit_xor(h.mark) FILTER (WHERE h.rollup_name NOT LIKE 'network%'), 0) AS cdrs,
            coalesce(bit_xor(h.mark) FILTER (WHERE h.rollup_name LIKE 'network%'), 0) AS events
        FROM (
            SELECT
                p.rollup_name,
                hashtextextended(p.rollup_name || extract(EPOCH FROM p.bucket) || '/' || p.batch_id, 0) AS mark
            FROM rollup.pending AS p
        ) AS h
    )
    SELECT 'traffic', concat_ws('.', b.cdrs, b.last_cdr, p.cdrs) FROM batch AS b CROSS JOIN pending AS p
    UNION ALL
    SELECT 'network', concat_ws('.', b.events, b.last_event, p.events) FROM batch AS b CROSS JOIN pending AS p
    UNION ALL
    SELECT 'quality', concat_ws('.', b.cdrs, b.last_cdr, b.events, b.last_event) FROM batch AS b
    UNION ALL
    SELECT 'anomaly', concat_ws(
        '.', extract(EPOCH FROM d.evaluated_to),
        (SELECT extract(EPOCH FROM max(a.acknowledged_at)) FROM analytics.anomaly AS a)
    ) FROM analytics.detection AS d
    UNION ALL
    SELECT 'network_map', concat_ws(
        '.', (SELECT count(*) FROM silver.dim_network_cell), (SELECT count(*) FROM silver.dim_region),
        (SELECT count(*) FROM silver.dim_service_plan),
        -- What is expected of a cell is shown with it.
        (SELECT max(f.forecast_id) FROM analytics.forecast AS f WHERE f.finished_at IS NOT NULL)
    )
$$;
COMMENT ON FUNCTION api.gold_version() IS
'A text per part of Gold that differs once what readers see has changed';
REVOKE ALL ON FUNCTION api.gold_version() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION api.gold_version() TO telestream_gateway;
