-- Returns the events of one batch in the order they were copied. A function, because its ROWS tell the
-- planner what no statistics can know of rows written a moment ago.
CREATE OR REPLACE FUNCTION bronze.staged_network_event(p_batch_id bigint)
RETURNS SETOF bronze.network_event
LANGUAGE sql STABLE
ROWS 50000
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT b.* FROM bronze.network_event AS b WHERE b.batch_id = p_batch_id
$$;
COMMENT ON FUNCTION bronze.staged_network_event(bigint) IS
'The Bronze events of one batch, in the order they arrived';
REVOKE ALL ON FUNCTION bronze.staged_network_event(bigint) FROM PUBLIC;
