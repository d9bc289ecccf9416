-- Keeps an event within the caller's transaction, and queues it where events are sent on.
CREATE OR REPLACE FUNCTION ops._record_lineage(p_event jsonb, p_type text, p_at timestamptz)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    WITH kept AS (
        INSERT INTO ops.lineage_event (job, run_id, event_type, event)
        SELECT
            p_event #>> '{job,name}', (p_event #>> '{run,runId}')::uuid, p_type,
            p_event || jsonb_build_object('eventType', p_type, 'eventTime', p_at)
        RETURNING event_id, recorded_at, run_id
    )
    INSERT INTO ops.lineage_outbox (event_id, recorded_at, run_id)
    SELECT k.event_id, k.recorded_at, k.run_id
    FROM kept AS k
    WHERE EXISTS (SELECT FROM ops.setting AS s WHERE s.name = 'lineage_send' AND s.value = 'on')
$$;
COMMENT ON FUNCTION ops._record_lineage(jsonb, text, timestamptz) IS
'Keeps a lineage event and queues it for sending';
REVOKE ALL ON FUNCTION ops._record_lineage(jsonb, text, timestamptz) FROM PUBLIC;
