-- requires: analytics/_values.sql, analytics/_alert.sql
-- Judges one closed 5-minute window against the baseline of its hour: opens, prolongs and ends anomalies, and
-- writes their alerts. A cell that reported nothing has the value 0 of every counting KPI that stands on its
-- own (events); ratios and means of nothing are not judged. Returns how many anomalies it opened.
CREATE OR REPLACE FUNCTION analytics._judge_window(p_window timestamptz)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_row record;
    v_anomaly_id bigint;
    v_opened bigint := 0;
    v_seen_to timestamptz := p_window + interval '5 minutes';
BEGIN
    FOR v_row IN
        WITH judged AS (
            SELECT
                b.cell_key, b.kpi, k.severity, k.direction, k.open_z, k.close_z, k.open_after, k.min_change,
                b.median, s.spread, b.support AS normal_support, k.min_support, o.anomaly_id,
                o.median AS open_median, o.mad AS open_spread
            FROM analytics.baseline AS b
            INNER JOIN analytics.kpi AS k ON b.kpi = k.kpi AND k.is_enabled
            LEFT JOIN analytics.anomaly AS o
                ON b.cell_key = o.cell_key AND b.kpi = o.kpi AND o.ended_at IS NULL
            CROSS JOIN LATERAL (
                SELECT greatest(1.4826 * b.mad, k.absolute_floor, k.relative_floor * abs(b.median)) AS spread
            ) AS s
            WHERE b.hour_at = date_trunc('hour', p_window, 'UTC')
        ),
        value AS MATERIALIZED (
            SELECT v.* FROM analytics._values(p_window - interval '55 minutes', v_seen_to) AS v
        ),
        scored AS (
            SELECT
                j.*, g.bucket, coalesce(v.value, CASE WHEN j.kpi = 'events' THEN 0 END) AS value,
                CASE j.direction WHEN 'low' THEN -1 ELSE 1 END
                * (coalesce(v.value, CASE WHEN j.kpi = 'events' THEN 0 END) - coalesce(j.open_median, j.median))
                / coalesce(j.open_spread, j.spread) AS z,
                CASE WHEN j.direction = 'low' AND j.kpi IN ('events', 'activity') THEN j.normal_support
                    ELSE v.support END AS support
            FROM judged AS j
            CROSS JOIN LATERAL generate_series(
                p_window - (j.open_after - 1) * interval '5 minutes', p_window, interval '5 minutes'
            ) AS g (bucket)
            LEFT JOIN value AS v ON g.bucket = v.bucket AND j.cell_key = v.cell_key AND j.kpi = v.kpi
        )
        SELECT
            s.cell_key, s.kpi, s.severity, s.direction, s.anomaly_id, s.median, s.spread, s.close_z,
            min(s.bucket) AS started_at,
            max(s.value) FILTER (WHERE s.bucket = p_window) AS value,
            max(s.z) FILTER (WHERE s.bucket = p_window) AS z,
            bool_and(coalesce(
                s.z >= s.open_z AND s.support >= s.min_support
                AND abs(s.value - s.median) >= s.min_change * abs(s.median), false
            )) AS is_bad
        FROM scored AS s
        GROUP BY s.cell_key, s.kpi, s.severity, s.direction, s.anomaly_id, s.median, s.spread, s.close_z
        HAVING s.anomaly_id IS NOT NULL OR bool_and(coalesce(s.z >= s.open_z, false))
        ORDER BY s.cell_key, s.kpi
    LOOP
        IF v_row.anomaly_id IS NULL AND v_row.is_bad THEN
            INSERT INTO analytics.anomaly (
                cell_key, kpi, direction, severity, started_at, peak_at, peak_value, peak_z, seen_to,
                median, mad, query, from_at, to_at
            )
            SELECT
                v_row.cell_key, v_row.kpi, v_row.direction, v_row.severity, v_row.started_at, p_window,
                v_row.value, v_row.z, v_seen_to, v_row.median, v_row.spread,
                format(
                    'SELECT * FROM gold.network_5m WHERE cell_id = %L AND bucket >= %L AND bucket < %L '
                    'ORDER BY bucket', c.cell_id, r.from_at, r.to_at
                ),
                r.from_at, r.to_at
            FROM silver.dim_network_cell AS c
            CROSS JOIN LATERAL (
                SELECT
                    v_row.started_at - interval '2 hours' AS from_at, v_seen_to + interval '30 minutes' AS to_at
            ) AS r
            WHERE c.cell_key = v_row.cell_key
            RETURNING anomaly_id INTO v_anomaly_id;
            PERFORM analytics._alert(v_anomaly_id, 'opened', p_window);
            v_opened := v_opened + 1;
        ELSIF v_row.anomaly_id IS NOT NULL AND coalesce(v_row.z < v_row.close_z, false) THEN
            UPDATE analytics.anomaly AS a
            SET ended_at = p_window, seen_to = v_seen_to
            WHERE a.anomaly_id = v_row.anomaly_id;
            PERFORM analytics._alert(v_row.anomaly_id, 'ended', p_window);
        ELSIF v_row.anomaly_id IS NOT NULL THEN
            UPDATE analytics.anomaly AS a
            SET
                seen_to = v_seen_to,
                to_at = v_seen_to + interval '30 minutes',
                query = format(
                    'SELECT * FROM gold.network_5m WHERE cell_id = %L AND bucket >= %L AND bucket < %L '
                    'ORDER BY bucket', c.cell_id, a.from_at, v_seen_to + interval '30 minutes'
                ),
                peak_at = CASE WHEN v_row.z > a.peak_z THEN p_window ELSE a.peak_at END,
                peak_value = CASE WHEN v_row.z > a.peak_z THEN v_row.value ELSE a.peak_value END,
                peak_z = CASE WHEN v_row.z > a.peak_z THEN v_row.z ELSE a.peak_z END
            FROM silver.dim_network_cell AS c
            WHERE a.anomaly_id = v_row.anomaly_id AND a.cell_key = c.cell_key;
        END IF;
    END LOOP;
    RETURN v_opened;
END
$$;
COMMENT ON FUNCTION analytics._judge_window(timestamptz) IS
'Judges one closed window: opens, prolongs and ends anomalies';
REVOKE ALL ON FUNCTION analytics._judge_window(timestamptz) FROM PUBLIC;
