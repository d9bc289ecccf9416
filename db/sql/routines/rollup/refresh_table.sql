-- requires: ops/_note_refresh.sql
-- requires: rollup/_pending_ranges.sql, rollup/_touch_children.sql, rollup/_refuse_final.sql
-- Recomputes the touched buckets of one rollup that is stored as a table (all of the Apache edition, merged
-- ones on both), delete and insert in the caller's transaction, and marks what is built on it. Returns how
-- many ranges were refreshed. One refresh of a rollup at a time; rows that arrive meanwhile have marks of
-- their own and come with the next one.
CREATE OR REPLACE FUNCTION rollup.refresh_table(p_rollup text)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
-- A first load touches every bucket of a day: its groups should fit in memory.
SET work_mem = '256MB'
AS $$
DECLARE
    v_def record;
    v_store text;
    v_los timestamptz[];
    v_his timestamptz[];
    v_insert text;
    v_started_at timestamptz := clock_timestamp();
    v_rows bigint := 0;
    v_written bigint;
BEGIN
    SELECT d.* INTO v_def FROM rollup.definition AS d WHERE d.rollup_name = p_rollup;
    IF v_def.rollup_name IS NULL
        OR (current_setting('timescaledb.license') = 'timescale' AND NOT v_def.is_merged) THEN
        RAISE EXCEPTION 'rollup % is not refreshed as a table here', p_rollup
            USING ERRCODE = 'TS007', HINT = 'CALL rollup.refresh_pending() serves both editions.';
    END IF;
    -- A rollup and what is built on it take turns: else the refresh of an hour could take a mark off the
    -- list that a refresh of its minutes, not yet committed, relies on.
    PERFORM pg_advisory_xact_lock(7301004, coalesce(
        (
            SELECT d.position FROM rollup.definition AS d
            WHERE v_def.source = 'rollup.' || d.rollup_name || '_v' || d.version
        ),
        v_def.position
    ));
    IF v_def.is_merged THEN
        -- Batches in flight add to these buckets: wait for them, and hold back those that come.
        PERFORM pg_advisory_xact_lock(7301006);
    END IF;
    v_store := format('rollup.%I', v_def.rollup_name || '_v' || v_def.version);
    v_insert := format('INSERT INTO %s ', v_store) || replace(
        v_def.select_sql, 'WHERE true', format('WHERE %I >= $1 AND %1$I < $2', v_def.time_column)
    );
    PERFORM rollup._refuse_final(p_rollup);
    -- What is taken off the list is what this statement saw; the recomputation below sees at least as much.
    WITH taken AS (DELETE FROM rollup.pending AS p WHERE p.rollup_name = p_rollup)
    SELECT array_agg(r.lo ORDER BY r.lo), array_agg(r.hi ORDER BY r.lo) INTO v_los, v_his
    FROM rollup._pending_ranges(p_rollup) AS r;
    FOR v_i IN 1 .. coalesce(array_length(v_los, 1), 0) LOOP
        EXECUTE format('DELETE FROM %s WHERE bucket >= $1 AND bucket < $2', v_store)
            USING v_los[v_i], v_his[v_i];
        EXECUTE v_insert USING v_los[v_i], v_his[v_i];
        GET DIAGNOSTICS v_written = ROW_COUNT;
        v_rows := v_rows + v_written;
        PERFORM rollup._touch_children(p_rollup, v_los[v_i], v_his[v_i]);
        UPDATE rollup.watermark AS w SET materialised_to = v_his[v_i]
        WHERE w.rollup_name = p_rollup AND w.materialised_to < v_his[v_i];
    END LOOP;
    IF v_los IS NOT NULL THEN
        PERFORM ops._note_refresh(p_rollup, v_rows, v_los[1], v_his[cardinality(v_his)], v_started_at);
    END IF;
    RETURN coalesce(array_length(v_los, 1), 0);
END
$$;
COMMENT ON FUNCTION rollup.refresh_table(text) IS
'Recomputes the touched buckets of one rollup that is stored as a table';
REVOKE ALL ON FUNCTION rollup.refresh_table(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rollup.refresh_table(text) TO telestream_loader, telestream_consumer;
