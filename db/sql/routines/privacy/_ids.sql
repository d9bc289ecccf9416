-- Returns a list of numbers in JSON as an array.
CREATE OR REPLACE FUNCTION privacy._ids(p_list jsonb)
RETURNS bigint[]
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(i.id::bigint), '{}') FROM jsonb_array_elements_text(p_list) AS i (id)
$$;
COMMENT ON FUNCTION privacy._ids(jsonb) IS 'A list of numbers in JSON as an array';
REVOKE ALL ON FUNCTION privacy._ids(jsonb) FROM PUBLIC;
