-- requires: ops/_record_lineage.sql, ops/_lineage_facet.sql
-- Notes that a run has ended: COMPLETE, FAIL or ABORT, why, and what it read and wrote if that is known
-- better than at its beginning. Does nothing where the run has ended before, so that each has one end.
CREATE OR REPLACE FUNCTION ops.end_run(
    p_subject text, p_type text, p_problem text, p_inputs jsonb, p_outputs jsonb
)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_event jsonb;
BEGIN
    DELETE FROM ops.lineage_run AS r WHERE r.subject = p_subject RETURNING r.event INTO v_event;
    IF v_event IS NULL THEN
        RETURN;
    END IF;
    IF p_problem IS NOT NULL THEN
        v_event := jsonb_set(v_event, '{run,facets,errorMessage}', ops._lineage_facet(
            'ErrorMessageRunFacet', '1-0-1',
            jsonb_build_object('message', p_problem, 'programmingLanguage', 'Python')
        ));
    END IF;
    PERFORM ops._record_lineage(
        v_event || jsonb_strip_nulls(jsonb_build_object('inputs', p_inputs, 'outputs', p_outputs)),
        p_type, clock_timestamp()
    );
END
$$;
COMMENT ON FUNCTION ops.end_run(text, text, text, jsonb, jsonb) IS
'Notes in the lineage that a run has ended';
REVOKE ALL ON FUNCTION ops.end_run(text, text, text, jsonb, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.end_run(text, text, text, jsonb, jsonb) TO telestream_loader;
