-- Returns the surrogates of a person as the access log names them.
CREATE OR REPLACE FUNCTION privacy._surrogates(p_plan jsonb)
RETURNS text[]
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(i.id ORDER BY i.id), '{}')
    FROM (
        SELECT o.id FROM jsonb_array_elements_text(p_plan -> 'own') AS o (id)
        UNION
        SELECT s.one ->> 'id' FROM jsonb_array_elements(p_plan -> 'shared') AS s (one)
    ) AS i
$$;
COMMENT ON FUNCTION privacy._surrogates(jsonb) IS 'The surrogates of a person';
REVOKE ALL ON FUNCTION privacy._surrogates(jsonb) FROM PUBLIC;
