-- requires: ops/_record_lineage.sql
-- Keeps both events of a run that is known only now that it is done: its beginning, which says no more than
-- when, and its end.
CREATE OR REPLACE FUNCTION ops._record_done(p_event jsonb, p_started_at timestamptz, p_ended_at timestamptz)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM ops._record_lineage(p_event || '{"inputs": [], "outputs": []}', 'START', p_started_at);
    PERFORM ops._record_lineage(p_event, 'COMPLETE', p_ended_at);
END
$$;
COMMENT ON FUNCTION ops._record_done(jsonb, timestamptz, timestamptz) IS
'Keeps beginning and end of a run that is done';
REVOKE ALL ON FUNCTION ops._record_done(jsonb, timestamptz, timestamptz) FROM PUBLIC;
