-- requires: ops/_lineage_base.sql, ops/_record_lineage.sql, ops/end_run.sql
-- Notes that a run has begun: the load of a file, a sync, a day of the archive. Of one subject there is one
-- at a time, which its caller holds a lock for; so one that has not ended is of a process that died, and is
-- aborted.
CREATE OR REPLACE FUNCTION ops.begin_run(
    p_subject text, p_job text, p_code_version text, p_inputs jsonb, p_outputs jsonb, p_from timestamptz,
    p_to timestamptz, p_parameters jsonb
)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_run_id uuid := gen_random_uuid();
    v_event jsonb;
BEGIN
    PERFORM ops.end_run(p_subject, 'ABORT', 'the process ended before the run did', NULL, NULL);
    v_event := ops._lineage_base(p_job, v_run_id, 'BATCH', p_code_version, NULL, p_from, p_to, p_parameters)
        || jsonb_build_object('inputs', p_inputs, 'outputs', p_outputs);
    INSERT INTO ops.lineage_run (subject, run_id, job, started_at, event)
    VALUES (p_subject, v_run_id, p_job, v_now, v_event);
    PERFORM ops._record_lineage(v_event, 'START', v_now);
END
$$;
COMMENT ON FUNCTION ops.begin_run(text, text, text, jsonb, jsonb, timestamptz, timestamptz, jsonb) IS
'Notes in the lineage that a run has begun';
REVOKE ALL ON FUNCTION ops.begin_run(
    text, text, text, jsonb, jsonb, timestamptz, timestamptz, jsonb
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.begin_run(
    text, text, text, jsonb, jsonb, timestamptz, timestamptz, jsonb
) TO telestream_loader;
