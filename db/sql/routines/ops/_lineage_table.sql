-- requires: ops/_lineage_facet.sql
-- Describes a table or view of ours as a dataset of OpenLineage: name, kind and columns with their types.
CREATE OR REPLACE FUNCTION ops._lineage_table(p_relation text)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object(
        'namespace', s.value,
        'name', current_database() || '.' || p_relation,
        'facets', jsonb_build_object(
            'schema', ops._lineage_facet('SchemaDatasetFacet', '1-2-0', jsonb_build_object('fields', (
                SELECT jsonb_agg(
                    jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod))
                    ORDER BY a.attnum
                )
                FROM pg_attribute AS a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            ))),
            'datasetType', ops._lineage_facet(
                'DatasetTypeDatasetFacet', '1-0-1',
                jsonb_build_object(
                    'datasetType', CASE WHEN c.relkind = 'v' AND p_relation LIKE 'gold.%' THEN 'VIEW' ELSE 'TABLE' END
                )
            )
        )
    )
    FROM pg_class AS c
    CROSS JOIN ops.setting AS s
    WHERE c.oid = to_regclass(p_relation) AND s.name = 'lineage_namespace'
$$;
COMMENT ON FUNCTION ops._lineage_table(text) IS 'Describes a table of ours as a dataset of a lineage event';
REVOKE ALL ON FUNCTION ops._lineage_table(text) FROM PUBLIC;
