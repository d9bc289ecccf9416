-- requires: ops/_batch_is_open.sql
-- Reserves a batch id and makes sure that its Bronze partition exists, in a short transaction of its own, so
-- that the batch's transaction only writes rows. pg_partman makes partitions ahead; this is for the day its
-- maintenance did not run. From here until the batch is closed, or the session ends, the session may hold
-- records that no table has: an erasure waits for it, see privacy._settle().
CREATE OR REPLACE FUNCTION ops.open_batch(p_dataset text)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_batch_id bigint := nextval(pg_get_serial_sequence('ops.batch', 'batch_id'));
    v_parent text := 'bronze.' || p_dataset;
    v_interval bigint;
    v_first bigint;
BEGIN
    SELECT c.partition_interval::bigint INTO v_interval
    FROM partman.part_config AS c
    WHERE c.parent_table = v_parent;
    IF v_interval IS NULL THEN
        RAISE EXCEPTION 'there is no dataset %', p_dataset USING ERRCODE = 'TS008';
    END IF;
    IF NOT ops._batch_is_open() THEN
        PERFORM pg_advisory_lock_shared(7301013);
    END IF;
    v_first := v_batch_id / v_interval * v_interval;
    IF to_regclass(format('bronze.%I', p_dataset || '_p' || v_first)) IS NULL THEN
        PERFORM pg_advisory_xact_lock(7301003);
        PERFORM partman.create_partition_id(v_parent, ARRAY[v_first]);
    END IF;
    RETURN v_batch_id;
END
$$;
COMMENT ON FUNCTION ops.open_batch(text) IS 'Reserves a batch id and its Bronze partition';
REVOKE ALL ON FUNCTION ops.open_batch(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.open_batch(text) TO telestream_loader, telestream_consumer;
