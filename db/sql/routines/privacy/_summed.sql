-- Returns two sets of counts added up.
CREATE OR REPLACE FUNCTION privacy._summed(p_counts jsonb, p_more jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_object_agg(s.key, s.total), '{}')
    FROM (
        SELECT e.key, sum(e.value::text::bigint) AS total
        FROM (SELECT c.* FROM jsonb_each(p_counts) AS c UNION ALL SELECT m.* FROM jsonb_each(p_more) AS m) AS e
        GROUP BY e.key
    ) AS s
$$;
COMMENT ON FUNCTION privacy._summed(jsonb, jsonb) IS 'Two sets of counts added up';
REVOKE ALL ON FUNCTION privacy._summed(jsonb, jsonb) FROM PUBLIC;
