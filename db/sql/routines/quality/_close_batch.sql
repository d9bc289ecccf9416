-- requires: ops/_batch_is_open.sql, ops/_note_batch.sql
-- Asserts that nothing of a batch was lost, rows_in = loaded + duplicate + quarantined, closes it and notes
-- its lineage.
CREATE OR REPLACE FUNCTION quality._close_batch(
    p_batch_id bigint, p_staged bigint, p_refused bigint, p_loaded bigint, p_late bigint,
    p_min_event_at timestamptz, p_max_event_at timestamptz
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rows_in bigint;
    v_unreadable bigint;
    v_duplicate bigint := p_staged - p_refused - p_loaded;
BEGIN
    SELECT b.rows_in INTO v_rows_in FROM ops.batch AS b WHERE b.batch_id = p_batch_id;
    SELECT count(*) - p_refused INTO v_unreadable FROM quality.quarantine AS q WHERE q.batch_id = p_batch_id;
    IF v_rows_in <> p_staged + v_unreadable THEN
        RAISE EXCEPTION 'batch % does not reconcile', p_batch_id
            USING ERRCODE = 'TS002',
            DETAIL = format(
                'The reader counted %s records; %s are in Bronze and %s were unreadable.',
                v_rows_in, p_staged, v_unreadable
            );
    END IF;

    INSERT INTO quality.rule_result (batch_id, rule, violations)
    SELECT p_batch_id, 'duplicate', v_duplicate WHERE v_duplicate > 0
    UNION ALL
    SELECT p_batch_id, q.rules[1], count(*)
    FROM quality.quarantine AS q
    WHERE q.batch_id = p_batch_id AND q.record IS NULL
    GROUP BY 1, 2;

    UPDATE ops.batch AS b
    SET
        status = 'done',
        rows_loaded = p_loaded,
        rows_duplicate = v_duplicate,
        rows_quarantined = p_refused + v_unreadable,
        rows_late = p_late,
        min_event_at = p_min_event_at,
        max_event_at = p_max_event_at,
        finished_at = clock_timestamp()
    WHERE b.batch_id = p_batch_id;
    PERFORM ops._note_batch(p_batch_id, p_staged);
    -- What it brought is seen once it commits, and no sooner may an erasure end: the lock of the refine stands for
    -- it until then. A replay may open another batch in the same transaction, and closes the last one itself.
    IF ops._batch_is_open()
        AND (SELECT b.source_kind FROM ops.batch AS b WHERE b.batch_id = p_batch_id) <> 'replay' THEN
        PERFORM pg_advisory_unlock_shared(7301013);
    END IF;
END
$$;
COMMENT ON FUNCTION quality._close_batch(
    bigint, bigint, bigint, bigint, bigint, timestamptz, timestamptz
) IS 'Asserts that nothing of a batch was lost, and closes it';
REVOKE ALL ON FUNCTION quality._close_batch(
    bigint, bigint, bigint, bigint, bigint, timestamptz, timestamptz
) FROM PUBLIC;
