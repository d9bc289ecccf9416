-- requires: ops/_lineage_table.sql
-- A table of ours as an output, with how many rows a run has written to it; null: nobody has counted.
CREATE OR REPLACE FUNCTION ops._lineage_written(p_relation text, p_rows bigint)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ops._lineage_table(p_relation) || CASE
        WHEN p_rows IS NULL THEN '{}'
        ELSE jsonb_build_object('outputFacets', jsonb_build_object('outputStatistics', ops._lineage_facet(
            'OutputStatisticsOutputDatasetFacet', '1-0-2', jsonb_build_object('rowCount', p_rows)
        )))
    END
$$;
COMMENT ON FUNCTION ops._lineage_written(text, bigint) IS 'A table of ours as an output of a lineage event';
REVOKE ALL ON FUNCTION ops._lineage_written(text, bigint) FROM PUBLIC;
