-- Writes the alert of an anomaly that opened or ended to the outbox, in the transaction of the anomaly. Its
-- id follows from anomaly and status, so that it is the same however often it is sent.
CREATE OR REPLACE FUNCTION analytics._alert(p_anomaly_id bigint, p_status text, p_window timestamptz)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO ops.outbox (alert_id, topic, key, payload)
    SELECT
        i.alert_id, 'alerts', a.anomaly_id::text,
        jsonb_build_object(
            'alert_id', i.alert_id,
            'anomaly_id', a.anomaly_id,
            'status', p_status,
            'severity', a.severity,
            'kpi', a.kpi,
            'cell_id', c.cell_id,
            'technology', c.technology,
            'started_at', a.started_at,
            'window_start', p_window,
            'ended_at', a.ended_at,
            'value', a.peak_value,
            'baseline', a.median,
            'z_score', a.peak_z,
            'message', format(
                '%s in cell %s: %s is %s, normal is %s', k.description, c.cell_id, a.kpi,
                round(a.peak_value::numeric, 2), round(a.median::numeric, 2)
            ),
            'query', a.query,
            'from_at', a.from_at,
            'to_at', a.to_at,
            'raised_at', clock_timestamp()
        )
    FROM analytics.anomaly AS a
    INNER JOIN analytics.kpi AS k ON a.kpi = k.kpi
    INNER JOIN silver.dim_network_cell AS c ON a.cell_key = c.cell_key
    CROSS JOIN LATERAL (
        SELECT md5(a.anomaly_id || '/' || extract(EPOCH FROM a.started_at) || '/' || p_status)::uuid AS alert_id
    ) AS i
    WHERE a.anomaly_id = p_anomaly_id
$$;
COMMENT ON FUNCTION analytics._alert(bigint, text, timestamptz) IS 'Writes an alert to the outbox';
REVOKE ALL ON FUNCTION analytics._alert(bigint, text, timestamptz) FROM PUBLIC;
