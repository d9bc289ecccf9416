-- requires: rollup/refresh_table.sql, ops/_note_refresh.sql, ops/close_lineage.sql
-- Brings every rollup up to date with what was loaded: exactly the touched buckets, sources before what is
-- built on them. Commits after each rollup or, of a continuous aggregate, each range, so it cannot run in a
-- transaction block, and on the community edition only the owner of the rollups may call it. A crash leaves
-- marks that the next call takes up; refreshing a range twice is harmless.
CREATE OR REPLACE PROCEDURE rollup.refresh_pending()
LANGUAGE plpgsql
AS $$
DECLARE
    v_def record;
    v_los timestamptz[];
    v_his timestamptz[];
    v_batches bigint[];
    v_started_at timestamptz;
BEGIN
    SET LOCAL search_path = pg_catalog, pg_temp;
    -- One run at a time, over its commits; the lock of a run that fails goes with its session.
    PERFORM pg_advisory_lock(7301005);
    FOR v_def IN SELECT d.* FROM rollup.definition AS d ORDER BY d.position LOOP
        IF v_def.is_merged OR current_setting('timescaledb.license') <> 'timescale' THEN
            PERFORM rollup.refresh_table(v_def.rollup_name);
        ELSE
            PERFORM rollup._refuse_final(v_def.rollup_name);
            v_started_at := clock_timestamp();
            SELECT array_agg(r.lo ORDER BY r.lo), array_agg(r.hi ORDER BY r.lo) INTO v_los, v_his
            FROM rollup._pending_ranges(v_def.rollup_name) AS r;
            SELECT array_agg(DISTINCT p.batch_id) INTO v_batches
            FROM rollup.pending AS p
            WHERE p.rollup_name = v_def.rollup_name;
            FOR v_i IN 1 .. coalesce(array_length(v_los, 1), 0) LOOP
                COMMIT;
                SET LOCAL search_path = pg_catalog, pg_temp;
                CALL public.refresh_continuous_aggregate(
                    format('rollup.%I', v_def.rollup_name || '_v' || v_def.version)::regclass,
                    v_los[v_i], v_his[v_i]
                );
                -- Marks are dropped after their refresh: a crash in between repeats it, which is harmless.
                -- A mark that came meanwhile is of another batch and stays.
                SET LOCAL search_path = pg_catalog, pg_temp;
                PERFORM rollup._touch_children(v_def.rollup_name, v_los[v_i], v_his[v_i]);
                DELETE FROM rollup.pending AS p
                WHERE p.rollup_name = v_def.rollup_name AND p.bucket >= v_los[v_i] AND p.bucket < v_his[v_i]
                    AND p.batch_id = ANY (v_batches);
            END LOOP;
            IF v_los IS NOT NULL THEN
                PERFORM ops._note_refresh(
                    v_def.rollup_name, NULL, v_los[1], v_his[cardinality(v_his)], v_started_at
                );
            END IF;
        END IF;
        COMMIT;
        SET LOCAL search_path = pg_catalog, pg_temp;
    END LOOP;
    -- Each minute's job comes by here, so the windows of a stream that has gone quiet are closed, too.
    PERFORM ops.close_lineage();
    PERFORM pg_advisory_unlock(7301005);
END
$$;
COMMENT ON PROCEDURE rollup.refresh_pending IS 'Refreshes exactly the touched buckets of every rollup';
REVOKE ALL ON PROCEDURE rollup.refresh_pending() FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE rollup.refresh_pending() TO telestream_loader, telestream_consumer;
