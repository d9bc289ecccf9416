-- Completes a facet of OpenLineage with what each must name: who made it, and the schema it follows.
CREATE OR REPLACE FUNCTION ops._lineage_facet(p_name text, p_version text, p_body jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p_body || jsonb_build_object(
        '_producer', 'urn:telestream:insights-hub',
        '_schemaURL', format('https://openlineage.io/spec/facets/%s/%s.json#/$defs/%2$s', p_version, p_name)
    )
$$;
COMMENT ON FUNCTION ops._lineage_facet(text, text, jsonb) IS 'Completes a facet of a lineage event';
REVOKE ALL ON FUNCTION ops._lineage_facet(text, text, jsonb) FROM PUBLIC;
