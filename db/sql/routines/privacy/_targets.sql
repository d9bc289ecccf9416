-- Returns what to look for in texts, and the times in which it means the person.
CREATE OR REPLACE FUNCTION privacy._targets(p_plan jsonb)
RETURNS TABLE (pattern text, spans tstzmultirange)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.one ->> 'pattern', (t.one ->> 'spans')::tstzmultirange
    FROM jsonb_array_elements(p_plan -> 'targets') AS t (one)
$$;
COMMENT ON FUNCTION privacy._targets(jsonb) IS 'What to look for in texts, and when it means the person';
REVOKE ALL ON FUNCTION privacy._targets(jsonb) FROM PUBLIC;
