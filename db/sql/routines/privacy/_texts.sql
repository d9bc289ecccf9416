-- Returns a list of texts in JSON as an array.
CREATE OR REPLACE FUNCTION privacy._texts(p_list jsonb)
RETURNS text[]
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(i.value), '{}') FROM jsonb_array_elements_text(p_list) AS i (value)
$$;
COMMENT ON FUNCTION privacy._texts(jsonb) IS 'A list of texts in JSON as an array';
REVOKE ALL ON FUNCTION privacy._texts(jsonb) FROM PUBLIC;
