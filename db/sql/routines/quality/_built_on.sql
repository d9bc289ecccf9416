-- Returns a rollup and those it is built on, itself first, and with them the tables they read.
CREATE OR REPLACE FUNCTION quality._built_on(p_relation text)
RETURNS TABLE (rollup_name text, source text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE chain AS (
        SELECT d.rollup_name, d.source FROM rollup.definition AS d WHERE d.rollup_name = p_relation
        UNION ALL
        SELECT d.rollup_name, d.source
        FROM chain AS c
        INNER JOIN rollup.definition AS d ON c.source = format('rollup.%s_v%s', d.rollup_name, d.version)
    )
    SELECT c.rollup_name, c.source FROM chain AS c
$$;
COMMENT ON FUNCTION quality._built_on(text) IS 'A rollup and those it is built on';
REVOKE ALL ON FUNCTION quality._built_on(text) FROM PUBLIC;
