-- requires: ops/_lineage_base.sql, ops/_lineage_read.sql, ops/_lineage_written.sql, ops/_lineage_table.sql
-- requires: ops/lineage_place.sql, ops/_record_done.sql
-- Notes in the lineage that a file was loaded into a dimension, within the transaction that does it.
CREATE OR REPLACE FUNCTION ops.note_dimension(
    p_table text, p_uri text, p_rows bigint, p_changed bigint, p_code_version text
)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ops._record_done(
        ops._lineage_base(
            'load.' || split_part(p_table, '.', 2), gen_random_uuid(), 'BATCH', p_code_version, NULL, NULL, NULL, '{}'
        ) || jsonb_build_object(
            'inputs', jsonb_build_array(ops._lineage_read(ops.lineage_place(p_uri), p_rows)),
            'outputs', jsonb_build_array(ops._lineage_written(ops._lineage_table(p_table), p_changed))
        ),
        now(), clock_timestamp()
    )
$$;
COMMENT ON FUNCTION ops.note_dimension(text, text, bigint, bigint, text) IS
'Notes in the lineage that a file was loaded into a dimension';
REVOKE ALL ON FUNCTION ops.note_dimension(text, text, bigint, bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.note_dimension(text, text, bigint, bigint, text) TO telestream_loader;
