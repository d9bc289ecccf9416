-- The nightly housekeeping: makes Bronze partitions ahead and drops those whose batches were all
-- finished longer ago than ops.setting's bronze_retention. A dropped partition frees its disk at once.
CREATE OR REPLACE FUNCTION ops.maintain()
RETURNS TABLE (parent_table text, oldest_kept_batch bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_parent record;
    v_keep_from bigint;
    v_newest bigint;
BEGIN
    FOR v_parent IN
        SELECT c.parent_table AS name FROM partman.part_config AS c WHERE c.parent_table LIKE 'bronze.%'
    LOOP
        SELECT
            coalesce(min(b.batch_id) FILTER (
                WHERE b.finished_at IS NULL OR b.finished_at >= now()
                    - (SELECT s.value::interval FROM ops.setting AS s WHERE s.name = 'bronze_retention')
            ), max(b.batch_id) + 1),
            max(b.batch_id)
        INTO v_keep_from, v_newest
        FROM ops.batch AS b
        WHERE 'bronze.' || b.dataset = v_parent.name;
        CONTINUE WHEN v_newest IS NULL;
        -- pg_partman counts retention back from the newest id in the table.
        UPDATE partman.part_config AS c
        SET retention = greatest(v_newest - v_keep_from, 0)::text, retention_keep_table = false
        WHERE c.parent_table = v_parent.name;
        PERFORM partman.run_maintenance(v_parent.name, p_analyze := false);
        parent_table := v_parent.name;
        oldest_kept_batch := v_keep_from;
        RETURN NEXT;
    END LOOP;
    PERFORM audit.maintain();
    -- A slice leads from a record of Bronze or of the quarantine to its message; most have neither any more.
    DELETE FROM ops.kafka_slice AS k
    USING ops.batch AS b
    WHERE k.batch_id = b.batch_id
        AND b.finished_at < now()
            - (SELECT s.value::interval FROM ops.setting AS s WHERE s.name = 'bronze_retention')
        AND b.rows_quarantined = 0
        AND NOT EXISTS (SELECT FROM ops.dead_letter AS d WHERE d.batch_id = b.batch_id);
END
$$;
COMMENT ON FUNCTION ops.maintain() IS
'Makes partitions of Bronze and of the access log ahead, drops expired ones and the lineage that led to them';
REVOKE ALL ON FUNCTION ops.maintain() FROM PUBLIC;
