-- Returns the relation that a row of ops.storage_policy speaks of: the table itself, or the version in use
-- of a rollup. Null: there is none.
CREATE OR REPLACE FUNCTION ops._storage_table(p_table_name text)
RETURNS regclass
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT to_regclass(
        CASE
            WHEN p_table_name LIKE 'rollup.%' THEN (
                SELECT format('rollup.%I', d.rollup_name || '_v' || d.version)
                FROM rollup.definition AS d
                WHERE 'rollup.' || d.rollup_name = p_table_name
            )
            ELSE p_table_name
        END
    )
$$;
COMMENT ON FUNCTION ops._storage_table(text) IS 'The relation that a row of ops.storage_policy speaks of';
REVOKE ALL ON FUNCTION ops._storage_table(text) FROM PUBLIC;
