-- requires: silver/refine_cdr.sql, silver/refine_network_event.sql, ops/open_batch.sql
-- Sends quarantined records through the refine again, after a rule or a dimension has been put right.
-- p_rules limits it to records that violate one of these rules. Unreadable lines have no record and
-- stay; write their raw text to a new file and load that with a better profile. Returns the counts of the
-- replay; what is refused again is quarantined anew under the replay's batch. Needs the vault key in the
-- session.
CREATE OR REPLACE FUNCTION quality.replay(p_rules text[] DEFAULT NULL)
RETURNS TABLE (
    batch_id bigint, rows_in bigint, rows_loaded bigint, rows_duplicate bigint, rows_quarantined bigint
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_group record;
    v_batch_id bigint;
    v_batches bigint[] := '{}';
BEGIN
    FOR v_group IN
        SELECT DISTINCT q.dataset, b.promises
        FROM quality.quarantine AS q
        INNER JOIN ops.batch AS b ON q.batch_id = b.batch_id
        WHERE q.replayed_at IS NULL AND q.record IS NOT NULL
            AND (p_rules IS NULL OR q.rules && p_rules)
    LOOP
        v_batch_id := ops.open_batch(v_group.dataset);
        INSERT INTO ops.batch (batch_id, dataset, source_kind, promises, rows_in, code_version)
        VALUES (v_batch_id, v_group.dataset, 'replay', v_group.promises, 0, 'quality.replay');
        UPDATE quality.quarantine AS q
        SET replayed_at = clock_timestamp(), replay_batch_id = v_batch_id
        FROM ops.batch AS b
        WHERE b.batch_id = q.batch_id AND b.promises = v_group.promises
            AND q.dataset = v_group.dataset AND q.replayed_at IS NULL AND q.record IS NOT NULL
            AND (p_rules IS NULL OR q.rules && p_rules);
        EXECUTE format(
            'INSERT INTO bronze.%1$I SELECT r.* FROM quality.quarantine AS q '
            'CROSS JOIN LATERAL jsonb_populate_record(NULL::bronze.%1$I, '
            'q.record || jsonb_build_object(''batch_id'', $1, ''line'', q.quarantine_id)) AS r '
            'WHERE q.replay_batch_id = $1', v_group.dataset
        ) USING v_batch_id;
        UPDATE ops.batch AS b
        SET rows_in = (SELECT count(*) FROM quality.quarantine AS q WHERE q.replay_batch_id = v_batch_id)
        WHERE b.batch_id = v_batch_id;
        EXECUTE format('CALL silver.%I($1)', 'refine_' || v_group.dataset) USING v_batch_id;
        v_batches := v_batches || v_batch_id;
    END LOOP;
    IF ops._batch_is_open() THEN
        PERFORM pg_advisory_unlock_shared(7301013);
    END IF;
    IF v_batches = '{}' THEN
        RAISE EXCEPTION 'there is nothing to replay'
            USING ERRCODE = 'TS005',
            DETAIL = 'No quarantined record that was readable and has not been replayed matches.',
            HINT = 'See quality.quarantine_summary for what is there.';
    END IF;
    RETURN QUERY
    SELECT b.batch_id, b.rows_in, b.rows_loaded, b.rows_duplicate, b.rows_quarantined
    FROM ops.batch AS b
    WHERE b.batch_id = ANY (v_batches)
    ORDER BY b.batch_id;
END
$$;
COMMENT ON FUNCTION quality.replay(text[]) IS 'Sends quarantined records through the refine again';
REVOKE ALL ON FUNCTION quality.replay(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION quality.replay(text[]) TO telestream_loader;
