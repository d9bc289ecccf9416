-- requires: ops/end_run.sql, ops/lineage_place.sql, ops/_lineage_read.sql
-- Notes that the load of a file has ended, with the records of all its batches, those of earlier runs
-- included.
CREATE OR REPLACE FUNCTION ops.end_load(p_file_id bigint, p_type text, p_problem text)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ops.end_run(
        'file:' || f.file_id, p_type, p_problem,
        jsonb_build_array(ops._lineage_read(ops.lineage_place(f.uri), (
            SELECT coalesce(sum(b.rows_in), 0)::bigint FROM ops.batch AS b
            WHERE b.file_id = f.file_id AND b.status = 'done'
                AND (b.segment_number >= 0) = (f.status <> 'refused')
        ))),
        NULL
    )
    FROM ops.source_file AS f
    WHERE f.file_id = p_file_id
$$;
COMMENT ON FUNCTION ops.end_load(bigint, text, text) IS
'Notes in the lineage that the load of a file has ended';
REVOKE ALL ON FUNCTION ops.end_load(bigint, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.end_load(bigint, text, text) TO telestream_loader;
