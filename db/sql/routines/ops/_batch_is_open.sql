-- Says whether this session holds the lock that ops.open_batch() takes.
CREATE OR REPLACE FUNCTION ops._batch_is_open()
RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pg_locks AS l
        WHERE l.locktype = 'advisory' AND l.pid = pg_backend_pid() AND l.granted
            AND l.mode = 'ShareLock' AND l.classid = 0 AND l.objid = 7301013 AND l.objsubid = 1
    )
$$;
COMMENT ON FUNCTION ops._batch_is_open() IS 'Whether this session has opened a batch and not closed it';
REVOKE ALL ON FUNCTION ops._batch_is_open() FROM PUBLIC;
