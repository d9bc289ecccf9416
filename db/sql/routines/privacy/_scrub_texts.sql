-- requires: privacy/_targets.sql
-- Takes a person's numbers out of the texts that people and file systems write: alerts, notes, names of
-- files.
CREATE OR REPLACE FUNCTION privacy._scrub_texts(p_plan jsonb)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_pattern text := (
        -- Whose number it is now they do not say, so a shared one is left to who has it.
        SELECT string_agg(t.pattern, '|') FROM privacy._targets(p_plan) AS t WHERE t.spans = '{(,)}'
    );
    v_outbox bigint;
    v_files bigint;
    v_marks bigint;
    v_notes bigint;
    v_holds bigint;
    v_lineage bigint;
    v_runs bigint;
BEGIN
    UPDATE ops.outbox AS o SET payload = regexp_replace(o.payload::text, v_pattern, 'erased', 'g')::jsonb
    WHERE o.payload::text ~ v_pattern;
    GET DIAGNOSTICS v_outbox = ROW_COUNT;
    UPDATE ops.source_file AS f
    SET
        uri = regexp_replace(f.uri, v_pattern, 'erased', 'g'),
        reason = regexp_replace(f.reason, v_pattern, 'erased', 'g')
    WHERE concat_ws(' ', f.uri, f.reason) ~ v_pattern;
    GET DIAGNOSTICS v_files = ROW_COUNT;
    UPDATE ops.watermark AS w SET position = regexp_replace(w.position, v_pattern, 'erased', 'g')
    WHERE w.position ~ v_pattern;
    GET DIAGNOSTICS v_marks = ROW_COUNT;
    UPDATE analytics.anomaly AS a SET acknowledge_note = regexp_replace(a.acknowledge_note, v_pattern, 'erased', 'g')
    WHERE a.acknowledge_note ~ v_pattern;
    GET DIAGNOSTICS v_notes = ROW_COUNT;
    UPDATE ops.legal_hold AS h SET reason = regexp_replace(h.reason, v_pattern, 'erased', 'g')
    WHERE h.reason ~ v_pattern;
    GET DIAGNOSTICS v_holds = ROW_COUNT;
    -- A lineage event names files; so may what a server said about one.
    UPDATE ops.lineage_event AS e SET event = regexp_replace(e.event::text, v_pattern, 'erased', 'g')::jsonb
    WHERE e.event::text ~ v_pattern;
    GET DIAGNOSTICS v_lineage = ROW_COUNT;
    UPDATE ops.lineage_run AS r SET event = regexp_replace(r.event::text, v_pattern, 'erased', 'g')::jsonb
    WHERE r.event::text ~ v_pattern;
    GET DIAGNOSTICS v_runs = ROW_COUNT;
    UPDATE ops.lineage_outbox AS o SET problem = regexp_replace(o.problem, v_pattern, 'erased', 'g')
    WHERE o.problem ~ v_pattern;
    RETURN jsonb_build_object(
        'ops.outbox', v_outbox, 'ops.source_file', v_files, 'ops.watermark', v_marks, 'analytics.anomaly', v_notes,
        'ops.legal_hold', v_holds, 'ops.lineage_event', v_lineage, 'ops.lineage_run', v_runs
    );
END
$$;
COMMENT ON FUNCTION privacy._scrub_texts(jsonb) IS 'Takes a person out of notes and names of files';
REVOKE ALL ON FUNCTION privacy._scrub_texts(jsonb) FROM PUBLIC;
