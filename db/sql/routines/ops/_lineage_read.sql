-- requires: ops/_lineage_facet.sql
-- A dataset as an input, with how many rows a run has read of it; null: nobody has counted.
CREATE OR REPLACE FUNCTION ops._lineage_read(p_dataset jsonb, p_rows bigint)
RETURNS jsonb
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p_dataset || CASE
        WHEN p_rows IS NULL THEN '{}'
        ELSE jsonb_build_object('inputFacets', jsonb_build_object('inputStatistics', ops._lineage_facet(
            'InputStatisticsInputDatasetFacet', '1-0-0', jsonb_build_object('rowCount', p_rows)
        )))
    END
$$;
COMMENT ON FUNCTION ops._lineage_read(jsonb, bigint) IS 'A dataset as an input of a lineage event';
REVOKE ALL ON FUNCTION ops._lineage_read(jsonb, bigint) FROM PUBLIC;
