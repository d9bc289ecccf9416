-- Returns the horizon of the fact that a rollup is made from, directly or by way of another rollup.
CREATE OR REPLACE FUNCTION rollup._kept_from(p_rollup text)
RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.kept_from
    FROM rollup.definition AS d
    LEFT JOIN rollup.definition AS parent
        ON d.source = 'rollup.' || parent.rollup_name || '_v' || parent.version
    INNER JOIN ops.horizon AS h ON coalesce(parent.source, d.source) = 'silver.fact_' || h.dataset
    WHERE d.rollup_name = p_rollup
$$;
COMMENT ON FUNCTION rollup._kept_from(text) IS 'The horizon of the fact behind a rollup';
REVOKE ALL ON FUNCTION rollup._kept_from(text) FROM PUBLIC;
