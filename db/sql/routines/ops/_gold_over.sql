-- Returns the views of Gold that show a rollup, by what the views are built on. Of another rollup's live
-- tail, which reads this one, it knows nothing: that one has views of its own.
CREATE OR REPLACE FUNCTION ops._gold_over(p_rollup text)
RETURNS SETOF text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE shown AS (
        SELECT to_regclass(format('rollup.%I', p_rollup))::oid AS oid
        UNION
        SELECT c.oid
        FROM shown AS s
        INNER JOIN pg_depend AS d
            ON d.refclassid = 'pg_class'::regclass AND d.refobjid = s.oid AND d.classid = 'pg_rewrite'::regclass
        INNER JOIN pg_rewrite AS r ON d.objid = r.oid
        INNER JOIN pg_class AS c ON r.ev_class = c.oid AND c.relnamespace = 'gold'::regnamespace
    )
    SELECT 'gold.' || c.relname
    FROM shown AS s
    INNER JOIN pg_class AS c ON s.oid = c.oid
    WHERE c.relnamespace = 'gold'::regnamespace
    ORDER BY 1
$$;
COMMENT ON FUNCTION ops._gold_over(text) IS 'Views of Gold that show a rollup';
REVOKE ALL ON FUNCTION ops._gold_over(text) FROM PUBLIC;
