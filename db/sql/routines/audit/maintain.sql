-- requires: audit/_guard_partitions.sql
-- Makes partitions of the access log ahead, and drops those that ended longer ago than ops.setting's
-- audit_retention. Before one goes, its end becomes an anchor that the chain is verified from, and a row of
-- the log tells of it.
CREATE OR REPLACE FUNCTION audit.maintain()
RETURNS TABLE (partition_name text, rows_dropped bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    v_keep interval;
    v_partition record;
    v_last record;
    v_next bigint;
BEGIN
    SELECT s.value::interval INTO v_keep FROM ops.setting AS s WHERE s.name = 'audit_retention';
    -- Nobody chains meanwhile; where somebody does, and may not end, there is another night.
    PERFORM FROM audit.chain_head AS h FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM partman.run_maintenance('audit.access_log', p_analyze := false);
    PERFORM audit._guard_partitions();
    FOR v_partition IN
        SELECT p.partition_schemaname || '.' || p.partition_tablename AS name, i.child_start_time, i.child_end_time
        FROM partman.show_partitions('audit.access_log', 'ASC') AS p
        CROSS JOIN LATERAL partman.show_partition_info(
            p.partition_schemaname || '.' || p.partition_tablename, p_parent_table := 'audit.access_log'
        ) AS i
        WHERE i.child_end_time < now() - v_keep
        ORDER BY i.child_start_time
    LOOP
        SELECT
            max(l.position) AS position, count(*) AS rows_dropped, min(l.logged_at) AS first_at,
            max(l.logged_at) AS last_at
        INTO v_last
        FROM audit.access_log AS l
        WHERE l.logged_at >= v_partition.child_start_time AND l.logged_at < v_partition.child_end_time;
        CONTINUE WHEN v_last.position IS NULL;
        INSERT INTO audit.anchor
        SELECT
            l.position, l.chain, v_partition.name, v_last.rows_dropped, v_last.first_at, v_last.last_at, clock_timestamp()
        FROM audit.access_log AS l
        WHERE l.position = v_last.position AND l.logged_at = v_last.last_at;
        INSERT INTO audit.access_inbox (
            at, principal, role, operation, field, variables_sha256, object_ids, rows_read, request_id, reason
        )
        SELECT
            a.dropped_at, 'db:' || session_user, 'telestream_owner', 'drop partition', 'audit.access_log', '',
            ARRAY[a.partition_name, a.position::text, encode(a.chain, 'hex')], a.rows_dropped, '',
            'older than ' || v_keep::text
        FROM audit.anchor AS a
        WHERE a.position = v_last.position;
        partition_name := v_partition.name;
        rows_dropped := v_last.rows_dropped;
        RETURN NEXT;
    END LOOP;
    PERFORM partman.drop_partition_time(
        'audit.access_log', v_keep, p_keep_table := false, p_keep_index := false
    );
    -- What is left must continue the last anchor, else nothing is dropped at all.
    SELECT min(l.position) INTO v_next FROM audit.access_log AS l;
    IF v_next <> (SELECT coalesce(max(a.position), 0) + 1 FROM audit.anchor AS a) THEN
        RAISE EXCEPTION 'the access log would have a gap'
            USING ERRCODE = 'TS031',
            DETAIL = format('Its first row would be %s.', v_next),
            HINT = 'Run telestream audit verify; nothing was dropped.';
    END IF;
END
$$;
COMMENT ON FUNCTION audit.maintain() IS
'Makes partitions of the access log ahead and drops expired ones, leaving an anchor for each';
REVOKE ALL ON FUNCTION audit.maintain() FROM PUBLIC;
