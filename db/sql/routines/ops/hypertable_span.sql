-- requires: ops/_storage_table.sql
-- Returns the oldest and the newest time in a hypertable that ops.hypertable_state() names, each read from
-- one chunk by its index; null where that chunk is empty.
CREATE OR REPLACE FUNCTION ops.hypertable_span(
    p_table_name text, OUT o_oldest timestamptz, OUT o_newest timestamptz
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_store record;
    v_first timestamptz;
    v_last timestamptz;
    v_time text;
BEGIN
    SELECT
        coalesce(c.materialization_hypertable_schema, n.nspname) AS schema_name,
        coalesce(c.materialization_hypertable_name, k.relname) AS table_name
    INTO v_store
    FROM pg_class AS k
    INNER JOIN pg_namespace AS n ON k.relnamespace = n.oid
    LEFT JOIN timescaledb_information.continuous_aggregates AS c
        ON n.nspname = c.view_schema AND k.relname = c.view_name
    WHERE k.oid = ops._storage_table(p_table_name) AND n.nspname IN ('silver', 'rollup');
    SELECT min(k.range_end), max(k.range_start) INTO v_first, v_last
    FROM timescaledb_information.chunks AS k
    WHERE k.hypertable_schema = v_store.schema_name AND k.hypertable_name = v_store.table_name;
    IF v_first IS NULL THEN
        RETURN;
    END IF;
    SELECT d.column_name INTO v_time
    FROM timescaledb_information.dimensions AS d
    WHERE d.hypertable_schema = v_store.schema_name AND d.hypertable_name = v_store.table_name
        AND d.dimension_number = 1;
    -- Constants, so that no other chunk is planned.
    EXECUTE format(
        'SELECT (SELECT min(%1$I) FROM %2$I.%3$I WHERE %1$I < %4$L::timestamptz), '
        '(SELECT max(%1$I) FROM %2$I.%3$I WHERE %1$I >= %5$L::timestamptz)',
        v_time, v_store.schema_name, v_store.table_name, v_first, v_last
    ) INTO o_oldest, o_newest;
END
$$;
COMMENT ON FUNCTION ops.hypertable_span(text) IS
'Oldest and newest time in a hypertable, for telestream doctor';
REVOKE ALL ON FUNCTION ops.hypertable_span(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.hypertable_span(text) TO telestream_engineer;
