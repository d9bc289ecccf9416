-- requires: ops/_lineage_facet.sql
-- What all events of a run have in common. p_parameters becomes the parameters of the run, in the order of
-- their names; those that are null are left out. p_engine names the program and its version: the loader's, or
-- the server's where the server does it alone.
CREATE OR REPLACE FUNCTION ops._lineage_base(
    p_job text, p_run_id uuid, p_processing text, p_engine_version text, p_parent jsonb, p_from timestamptz,
    p_to timestamptz, p_parameters jsonb
)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    SELECT jsonb_build_object(
        'producer', 'urn:telestream:insights-hub',
        'schemaURL', 'https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent',
        'job', jsonb_build_object(
            'namespace', 'telestream', 'name', p_job,
            'facets', jsonb_build_object('jobType', ops._lineage_facet('JobTypeJobFacet', '2-0-4', jsonb_build_object(
                'processingType', p_processing, 'integration', 'TELESTREAM', 'jobType', upper(split_part(p_job, '.', 1))
            )))
        ),
        'run', jsonb_build_object('runId', p_run_id, 'facets', jsonb_strip_nulls(jsonb_build_object(
            'processing_engine', ops._lineage_facet('ProcessingEngineRunFacet', '1-1-1', jsonb_build_object(
                'name', CASE WHEN p_engine_version IS NULL THEN 'postgresql' ELSE 'telestream' END,
                'version', coalesce(p_engine_version, current_setting('server_version'))
            )),
            'parent', CASE WHEN p_parent IS NOT NULL
                THEN ops._lineage_facet('ParentRunFacet', '1-2-0', p_parent)
            END,
            'nominalTime', CASE WHEN p_from IS NOT NULL
                THEN ops._lineage_facet('NominalTimeRunFacet', '1-0-1', jsonb_build_object(
                    'nominalStartTime', p_from, 'nominalEndTime', p_to
                ))
            END,
            'executionParameters', ops._lineage_facet('ExecutionParametersRunFacet', '1-0-0', jsonb_build_object(
                'parameters', coalesce((
                    SELECT jsonb_agg(jsonb_build_object('key', e.key, 'value', e.value) ORDER BY e.key)
                    FROM jsonb_each_text(p_parameters) AS e
                    WHERE e.value IS NOT NULL
                ), '[]')
            ))
        ))),
        'inputs', '[]'::jsonb,
        'outputs', '[]'::jsonb
    )
$$;
COMMENT ON FUNCTION ops._lineage_base(text, uuid, text, text, jsonb, timestamptz, timestamptz, jsonb) IS
'What all lineage events of a run have in common';
REVOKE ALL ON FUNCTION ops._lineage_base(
    text, uuid, text, text, jsonb, timestamptz, timestamptz, jsonb
) FROM PUBLIC;
