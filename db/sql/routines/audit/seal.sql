-- requires: audit/_chained.sql
-- Moves what waits in the inbox to the end of the chain, and returns how many rows. Whoever wrote rows calls
-- it after their commit, and a job each minute. One chains at a time; another who comes meanwhile does not
-- wait but leaves its rows to the next call, so no writer and no open transaction ever holds up another. Rows
-- that commit late simply come later in the chain.
CREATE OR REPLACE FUNCTION audit.seal(p_most integer DEFAULT 10000)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    v_head record;
    v_row audit.access_inbox;
    v_at timestamptz;
    v_month timestamptz;
    v_ids bigint[] := '{}';
BEGIN
    SELECT h.position, h.logged_at, h.chain INTO v_head FROM audit.chain_head AS h FOR UPDATE SKIP LOCKED;
    IF NOT FOUND OR NOT EXISTS (SELECT FROM audit.access_inbox AS i) THEN
        RETURN 0;
    END IF;
    -- Never back, also where the clock was set back: partitions are pieces of the chain.
    v_at := greatest(v_head.logged_at, clock_timestamp());
    -- pg_partman makes months ahead; this is for the day its maintenance did not run.
    v_month := date_trunc('month', v_at);
    IF to_regclass(format('audit.%I', 'access_log_p' || to_char(v_month, 'YYYYMMDD'))) IS NULL THEN
        PERFORM partman.create_partition_time('audit.access_log', ARRAY[v_month]);
        PERFORM audit._guard_partitions();
    END IF;
    FOR v_row IN SELECT i.* FROM audit.access_inbox AS i ORDER BY i.access_id LIMIT p_most LOOP
        v_head.position := v_head.position + 1;
        v_head.chain := audit._chained(v_head.chain, v_head.position, v_at, v_row);
        INSERT INTO audit.access_log (
            position, logged_at, access_id, at, principal, role, operation, field, variables_sha256, object_ids,
            rows_read, request_id, reason, chain
        ) VALUES (
            v_head.position, v_at, v_row.access_id, v_row.at, v_row.principal, v_row.role, v_row.operation,
            v_row.field, v_row.variables_sha256, v_row.object_ids, v_row.rows_read, v_row.request_id, v_row.reason,
            v_head.chain
        );
        v_ids := v_ids || v_row.access_id;
    END LOOP;
    DELETE FROM audit.access_inbox AS i WHERE i.access_id = ANY (v_ids);
    UPDATE audit.chain_head AS h SET position = v_head.position, logged_at = v_at, chain = v_head.chain;
    RETURN cardinality(v_ids);
END
$$;
COMMENT ON FUNCTION audit.seal(integer) IS 'Chains the rows that wait for the access log; returns how many';
REVOKE ALL ON FUNCTION audit.seal(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.seal(integer) TO telestream_gateway, telestream_privacy;
