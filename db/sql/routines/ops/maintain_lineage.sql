-- requires: ops/end_run.sql
-- Makes partitions of the lineage events ahead and drops months that ended longer ago than ops.setting's
-- lineage_retention, with what of them was never sent. Events that lie in the default partition, because
-- nobody made their month in time, get one. A run that never ended is aborted after a week: nobody comes back
-- to it.
CREATE OR REPLACE FUNCTION ops.maintain_lineage()
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    v_keep interval;
    v_subject text;
BEGIN
    SELECT s.value::interval INTO v_keep FROM ops.setting AS s WHERE s.name = 'lineage_retention';
    PERFORM partman.partition_data_time('ops.lineage_event', p_batch_count => 100);
    PERFORM partman.run_maintenance('ops.lineage_event', p_analyze := false);
    PERFORM partman.drop_partition_time(
        'ops.lineage_event', v_keep, p_keep_table := false, p_keep_index := false
    );
    DELETE FROM ops.lineage_outbox AS o
    WHERE o.recorded_at < now() - v_keep
        AND NOT EXISTS (
            SELECT FROM ops.lineage_event AS e WHERE e.event_id = o.event_id AND e.recorded_at = o.recorded_at
        );
    FOR v_subject IN
        SELECT r.subject FROM ops.lineage_run AS r WHERE r.started_at < now() - interval '7 days'
    LOOP
        PERFORM ops.end_run(v_subject, 'ABORT', 'the run did not end within a week', NULL, NULL);
    END LOOP;
END
$$;
COMMENT ON FUNCTION ops.maintain_lineage() IS
'Makes partitions of the lineage events ahead, drops expired ones, and aborts runs that never ended';
REVOKE ALL ON FUNCTION ops.maintain_lineage() FROM PUBLIC;
