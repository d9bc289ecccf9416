-- Writes the alert of an incident that opened or ended to the outbox, in the transaction of the incident.
-- Its id follows from incident and status. The incident stands as a negative anomaly_id: readers that group
-- alerts by it keep both ends together, and no anomaly has one.
CREATE OR REPLACE FUNCTION quality._alert(p_incident_id bigint, p_status text)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO ops.outbox (alert_id, topic, key, payload)
    SELECT
        a.alert_id, 'alerts', (-i.incident_id)::text,
        jsonb_build_object(
            'alert_id', a.alert_id,
            'anomaly_id', -i.incident_id,
            'kind', 'quality',
            'dataset', i.dataset,
            'subject', nullif(i.subject, ''),
            'status', p_status,
            'severity', i.severity,
            'kpi', i.rule,
            'cell_id', '',
            'started_at', i.started_at,
            'window_start', i.failed_at,
            'ended_at', i.ended_at,
            'value', i.observed,
            'baseline', i.normal,
            'z_score', 0,
            'message', i.message,
            'query', format(
                'SELECT * FROM quality.expectation_result WHERE dataset = %L AND rule = %L AND subject = %L '
                'ORDER BY bucket DESC LIMIT 60', i.dataset, i.rule, i.subject
            ),
            'from_at', i.started_at - interval '7 days',
            'to_at', i.failed_at + interval '1 day',
            'raised_at', clock_timestamp()
        )
    FROM quality.incident AS i
    CROSS JOIN LATERAL (
        SELECT md5(
            'quality/' || i.incident_id || '/' || extract(EPOCH FROM i.started_at) || '/' || p_status
        )::uuid AS alert_id
    ) AS a
    WHERE i.incident_id = p_incident_id
$$;
COMMENT ON FUNCTION quality._alert(bigint, text) IS 'Writes the alert of an incident to the outbox';
REVOKE ALL ON FUNCTION quality._alert(bigint, text) FROM PUBLIC;
