-- requires: ops/_note_batches.sql, ops/close_lineage.sql, ops/lineage_place.sql
-- Notes the lineage of a batch in its own transaction. Of a stream only a mark: its events come a minute at a
-- time, else there were more of them than anyone reads. Who loads names what it reads in the session setting
-- telestream.lineage_source: a URI, or of a stream the namespace; and in telestream.lineage_subject its run.
CREATE OR REPLACE FUNCTION ops._note_batch(p_batch_id bigint, p_staged bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_batch record;
    v_named text := nullif(current_setting('telestream.lineage_source', true), '');
    v_source jsonb;
    v_parent jsonb;
BEGIN
    SELECT b.dataset, b.source_kind, b.file_id, b.started_at INTO v_batch
    FROM ops.batch AS b
    WHERE b.batch_id = p_batch_id;
    IF v_batch.source_kind = 'kafka' THEN
        SELECT jsonb_build_object(
            'namespace', coalesce(v_named, 'kafka://' || split_part(k.incarnation, '/', 1)), 'name', k.topic
        ) INTO v_source
        FROM ops.kafka_slice AS k
        WHERE k.batch_id = p_batch_id
        LIMIT 1;
        INSERT INTO ops.lineage_mark (kind, subject, source, batch_id, rows, started_at)
        VALUES ('batch', v_batch.dataset, v_source, p_batch_id, p_staged, v_batch.started_at);
        IF (
            SELECT m.noted_at < date_trunc('minute', clock_timestamp())
            FROM ops.lineage_mark AS m
            ORDER BY m.mark_id
            LIMIT 1
        ) THEN
            PERFORM ops.close_lineage();
        END IF;
        RETURN;
    END IF;
    IF v_batch.source_kind = 'file' THEN
        SELECT ops.lineage_place(f.uri) INTO v_source FROM ops.source_file AS f WHERE f.file_id = v_batch.file_id;
    ELSIF v_batch.source_kind = 'api' AND v_named IS NOT NULL THEN
        v_source := ops.lineage_place(v_named);
    END IF;
    SELECT jsonb_build_object(
        'run', jsonb_build_object('runId', r.run_id),
        'job', jsonb_build_object('namespace', 'telestream', 'name', r.job)
    ) INTO v_parent
    FROM ops.lineage_run AS r
    WHERE r.subject = CASE v_batch.source_kind
        WHEN 'file' THEN 'file:' || v_batch.file_id
        WHEN 'api' THEN current_setting('telestream.lineage_subject', true)
    END;
    PERFORM ops._note_batches(ARRAY[p_batch_id], p_staged, v_source, v_parent, NULL, NULL);
END
$$;
COMMENT ON FUNCTION ops._note_batch(bigint, bigint) IS 'Notes the lineage of a batch in its own transaction';
REVOKE ALL ON FUNCTION ops._note_batch(bigint, bigint) FROM PUBLIC;
