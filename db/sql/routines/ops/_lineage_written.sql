-- requires: ops/_lineage_facet.sql
-- A dataset as an output, with how many rows a run has written to it; null: nobody has counted.
CREATE OR REPLACE FUNCTION ops._lineage_written(p_dataset jsonb, p_rows bigint)
RETURNS jsonb
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p_dataset || CASE
        WHEN p_rows IS NULL THEN '{}'
        ELSE jsonb_build_object('outputFacets', jsonb_build_object('outputStatistics', ops._lineage_facet(
            'OutputStatisticsOutputDatasetFacet', '1-0-2', jsonb_build_object('rowCount', p_rows)
        )))
    END
$$;
COMMENT ON FUNCTION ops._lineage_written(jsonb, bigint) IS 'A dataset as an output of a lineage event';
REVOKE ALL ON FUNCTION ops._lineage_written(jsonb, bigint) FROM PUBLIC;
