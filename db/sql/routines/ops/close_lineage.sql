-- requires: ops/_note_batches.sql
-- Makes events of what was noted in minutes that have ended: one window per dataset and source of a stream,
-- one per rollup that was refreshed. p_refreshes_now: of refreshes also what was noted in this minute. A
-- batch that commits after its minute was closed gets a window of its own; each is in exactly one. Returns
-- the number of windows.
CREATE OR REPLACE FUNCTION ops.close_lineage(p_refreshes_now boolean DEFAULT false)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    v_now timestamptz := date_trunc('minute', clock_timestamp());
    v_window record;
    v_windows bigint := 0;
BEGIN
    -- Somebody else is at it: what is left comes with the next one.
    IF NOT pg_try_advisory_xact_lock(7301015, 1) THEN
        RETURN 0;
    END IF;
    FOR v_window IN
        WITH taken AS (
            DELETE FROM ops.lineage_mark AS m
            WHERE m.noted_at < v_now OR (p_refreshes_now AND m.kind = 'refresh')
            RETURNING m.*
        )
        SELECT
            t.kind, t.subject, t.source, date_trunc('minute', t.noted_at) AS minute,
            array_agg(t.batch_id ORDER BY t.batch_id) AS batches, sum(t.rows)::bigint AS row_count,
            min(t.lo) AS lo, max(t.hi) AS hi, count(*) AS marks,
            min(t.started_at) AS started_at, max(t.noted_at) AS ended_at
        FROM taken AS t
        GROUP BY 1, 2, 3, 4
        ORDER BY 4, 1, 2
    LOOP
        v_windows := v_windows + 1;
        IF v_window.kind = 'batch' THEN
            PERFORM ops._note_batches(
                v_window.batches, v_window.row_count, v_window.source, NULL, v_window.minute,
                v_window.minute + interval '1 minute'
            );
        ELSE
            PERFORM ops._record_done(
                ops._lineage_base(
                    'refresh.' || d.rollup_name, gen_random_uuid(), 'BATCH', NULL, NULL, v_window.lo, v_window.hi,
                    jsonb_build_object('refreshes', v_window.marks)
                ) || jsonb_build_object(
                    'inputs', jsonb_build_array(ops._lineage_table(d.source)),
                    'outputs', jsonb_build_array(ops._lineage_written(
                        ops._lineage_table(format('rollup.%s_v%s', d.rollup_name, d.version)), v_window.row_count
                    )) || coalesce(
                        (SELECT jsonb_agg(ops._lineage_table(g.name)) FROM ops._gold_over(d.rollup_name) AS g (name)),
                        '[]'
                    )
                ),
                v_window.started_at, v_window.ended_at
            )
            FROM rollup.definition AS d
            WHERE d.rollup_name = v_window.subject;
        END IF;
    END LOOP;
    RETURN v_windows;
END
$$;
COMMENT ON FUNCTION ops.close_lineage(boolean) IS
'Makes lineage events of the stream batches and refreshes of minutes that have ended';
REVOKE ALL ON FUNCTION ops.close_lineage(boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.close_lineage(boolean)
TO telestream_loader, telestream_consumer, telestream_engineer;
