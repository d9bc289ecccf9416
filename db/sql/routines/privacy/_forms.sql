-- requires: privacy/_country.sql
-- Returns the ways in which sources write an identity as a whole value. The national ones name a person of
-- this country only where the operator's is the same, which nothing says: they are asked for apart.
CREATE OR REPLACE FUNCTION privacy._forms(p_identity text, p_is_national boolean)
RETURNS text[]
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN p_identity !~ '^[+]' THEN CASE WHEN p_is_national THEN '{}' ELSE ARRAY[p_identity] END
        WHEN p_is_national THEN ARRAY['0' || n.national, n.national]
        ELSE ARRAY[p_identity, n.digits, '00' || n.digits, '011' || n.digits]
    END
    FROM (
        SELECT
            ltrim(p_identity, '+') AS digits,
            substr(p_identity, 2 + length(privacy._country(p_identity))) AS national
    ) AS n
$$;
COMMENT ON FUNCTION privacy._forms(text, boolean) IS 'The ways in which sources write an identity';
REVOKE ALL ON FUNCTION privacy._forms(text, boolean) FROM PUBLIC;
