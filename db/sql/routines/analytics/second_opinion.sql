-- requires: analytics/similar_cells.sql, analytics/_values.sql
-- Asks the ten cells most like that of an anomaly whether they showed the same in its worst window, each
-- against its own baseline. alone: fewer than half did, so the cell behaves like no cell of its kind;
-- shared: half or more; unknown: no fingerprint, or fewer than three of them could be judged. No row: no
-- such anomaly. It is worked out when asked, so that the detection does not wait for it.
CREATE OR REPLACE FUNCTION analytics.second_opinion(
    p_anomaly_id bigint, OUT o_opinion text, OUT o_peers integer, OUT o_alike integer
)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    SELECT
        CASE
            WHEN s.peers < 3 THEN 'unknown'
            WHEN 2 * s.alike >= s.peers THEN 'shared'
            ELSE 'alone'
        END,
        s.peers, s.alike
    FROM analytics.anomaly AS a
    INNER JOIN silver.dim_network_cell AS c ON a.cell_key = c.cell_key
    INNER JOIN analytics.kpi AS k ON a.kpi = k.kpi
    CROSS JOIN LATERAL (
        SELECT count(*)::integer AS peers, count(*) FILTER (WHERE j.z >= k.close_z)::integer AS alike
        FROM (
            SELECT
                CASE k.direction WHEN 'low' THEN -1 ELSE 1 END
                * (coalesce(v.value, CASE WHEN a.kpi = 'events' THEN 0 END) - b.median)
                / greatest(1.4826 * b.mad, k.absolute_floor, k.relative_floor * abs(b.median)) AS z
            FROM analytics.similar_cells(c.cell_id) AS p
            INNER JOIN analytics.baseline AS b
                ON p.cell_key = b.cell_key AND a.kpi = b.kpi AND b.hour_at = date_trunc('hour', a.peak_at, 'UTC')
            LEFT JOIN analytics._values(a.peak_at, a.peak_at + interval '5 minutes') AS v
                ON p.cell_key = v.cell_key AND a.kpi = v.kpi
        ) AS j
        WHERE j.z IS NOT NULL
    ) AS s
    WHERE a.anomaly_id = p_anomaly_id
$$;
COMMENT ON FUNCTION analytics.second_opinion(bigint) IS
'Whether the cells most like that of an anomaly showed the same: alone, shared or unknown';
REVOKE ALL ON FUNCTION analytics.second_opinion(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION analytics.second_opinion(bigint)
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
