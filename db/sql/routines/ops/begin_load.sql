-- requires: ops/begin_run.sql, ops/lineage_place.sql, ops/_lineage_read.sql
-- Notes that the load of a file has begun; its caller holds the lock of the file.
CREATE OR REPLACE FUNCTION ops.begin_load(p_file_id bigint)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ops.begin_run(
        'file:' || f.file_id, 'load.' || f.dataset, f.code_version,
        jsonb_build_array(ops.lineage_place(f.uri)), '[]', NULL, NULL,
        jsonb_build_object(
            'file_id', f.file_id, 'content_sha256', f.content_hash, 'size_bytes', f.size_bytes,
            'profile', f.profile, 'profile_sha256', f.profile_hash
        )
    )
    FROM ops.source_file AS f
    WHERE f.file_id = p_file_id
$$;
COMMENT ON FUNCTION ops.begin_load(bigint) IS 'Notes in the lineage that the load of a file has begun';
REVOKE ALL ON FUNCTION ops.begin_load(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.begin_load(bigint) TO telestream_loader;
