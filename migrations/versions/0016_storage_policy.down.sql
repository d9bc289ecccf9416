DO $$
DECLARE
    v_table record;
BEGIN
    IF pg_catalog.current_setting('timescaledb.license') <> 'timescale' THEN
        RETURN;
    END IF;
    -- Chunks that are compressed stay so: they can be read, and written, without a policy.
    FOR v_table IN
        SELECT j.hypertable_schema, j.hypertable_name
        FROM timescaledb_information.jobs AS j
        WHERE j.proc_name = 'policy_compression' AND j.hypertable_schema IN ('silver', 'rollup')
    LOOP
        PERFORM public.remove_compression_policy(
            pg_catalog.format('%I.%I', v_table.hypertable_schema, v_table.hypertable_name)::regclass
        );
    END LOOP;
END
$$;
DELETE FROM ops.pii_class
WHERE schema_name = 'ops' AND table_name = 'storage_policy';
DROP TABLE ops.storage_policy;
