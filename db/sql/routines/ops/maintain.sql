-- requires: ops/maintain_lineage.sql
-- requires: ops/_bronze_due.sql, ops/drop_piece.sql, ops/effective_retention.sql
-- The nightly housekeeping: makes Bronze partitions ahead and drops those that are due by ops.retention_rule.
-- A dropped partition frees its disk at once. Returns per table the oldest batch that may still be there.
CREATE OR REPLACE FUNCTION ops.maintain()
RETURNS TABLE (parent_table text, oldest_kept_batch bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_parent record;
    v_part record;
BEGIN
    FOR v_parent IN
        SELECT c.parent_table AS name FROM partman.part_config AS c WHERE c.parent_table LIKE 'bronze.%'
    LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM ops.batch AS b WHERE 'bronze.' || b.dataset = v_parent.name);
        -- What is dropped is decided by our rules alone.
        UPDATE partman.part_config AS c SET retention = NULL
        WHERE c.parent_table = v_parent.name AND c.retention IS NOT NULL;
        PERFORM partman.run_maintenance(v_parent.name, p_analyze := false);
        FOR v_part IN
            SELECT d.partition AS name FROM ops._bronze_due(split_part(v_parent.name, '.', 2)) AS d
            WHERE d.held IS NULL
        LOOP
            BEGIN
                PERFORM ops.drop_piece(v_parent.name, v_part.name, NULL, NULL);
            EXCEPTION WHEN lock_not_available THEN
                -- Somebody reads it: the next run drops it.
                RAISE WARNING '% is in use', v_part.name;
            END;
        END LOOP;
        parent_table := v_parent.name;
        SELECT min(substring(i.inhrelid::regclass::text FROM '_p(\d+)$')::bigint) INTO oldest_kept_batch
        FROM pg_inherits AS i
        WHERE i.inhparent = v_parent.name::regclass;
        RETURN NEXT;
    END LOOP;
    PERFORM audit.maintain();
    PERFORM ops.maintain_lineage();
    -- A slice leads from a record of Bronze or of the quarantine to its message; most have neither any more.
    WITH kept AS MATERIALIZED (
        SELECT d.dataset, now() - e.o_maximum AS since
        FROM (VALUES ('cdr'), ('network_event')) AS d (dataset)
        CROSS JOIN LATERAL ops.effective_retention('bronze.' || d.dataset) AS e
    )
    DELETE FROM ops.kafka_slice AS k
    USING ops.batch AS b, kept
    WHERE k.batch_id = b.batch_id AND b.dataset = kept.dataset AND b.finished_at < kept.since
        AND NOT EXISTS (SELECT FROM quality.quarantine AS q WHERE q.batch_id = b.batch_id)
        AND NOT EXISTS (SELECT FROM ops.dead_letter AS d WHERE d.batch_id = b.batch_id);
END
$$;
COMMENT ON FUNCTION ops.maintain() IS
'Makes partitions of Bronze and of the access log ahead, drops expired ones and the lineage that led to them';
REVOKE ALL ON FUNCTION ops.maintain() FROM PUBLIC;
