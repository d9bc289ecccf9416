-- Returns the records of one batch in the order they were copied. A function, because its ROWS tell the
-- planner what no statistics can know of rows written a moment ago: that this is the large side of
-- every join. Hashing the batch instead of the maps made the refine three times slower, and scattered
-- the inserts.
CREATE OR REPLACE FUNCTION bronze.staged_cdr(p_batch_id bigint)
RETURNS SETOF bronze.cdr
LANGUAGE sql STABLE
ROWS 2000000
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT b.* FROM bronze.cdr AS b WHERE b.batch_id = p_batch_id
$$;
COMMENT ON FUNCTION bronze.staged_cdr(bigint) IS 'The Bronze records of one batch, in the order they arrived';
REVOKE ALL ON FUNCTION bronze.staged_cdr(bigint) FROM PUBLIC;
