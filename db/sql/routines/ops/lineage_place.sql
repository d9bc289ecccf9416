-- Names a file, an object or a resource as OpenLineage does: namespace and name. Whatever may be a secret in
-- a URL, user, password, query and fragment, is left out.
CREATE OR REPLACE FUNCTION ops.lineage_place(p_uri text)
RETURNS jsonb
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN p.part IS NULL OR p.part[1] = 'file'
            THEN jsonb_build_object('namespace', 'file', 'name', regexp_replace(p_uri, '^file://', ''))
        ELSE jsonb_build_object(
            'namespace', p.part[1] || '://' || p.part[2],
            'name', coalesce(nullif(
                CASE WHEN p.part[1] = 's3' THEN ltrim(p.part[3], '/') ELSE p.part[3] END, ''
            ), '/')
        )
    END
    FROM (
        SELECT regexp_match(p_uri, '^([a-z][a-z0-9+.-]*)://(?:[^/@?#]*@)?([^/?#]*)([^?#]*)') AS part
    ) AS p
$$;
COMMENT ON FUNCTION ops.lineage_place(text) IS 'Names a file or resource as a dataset of a lineage event';
REVOKE ALL ON FUNCTION ops.lineage_place(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.lineage_place(text) TO telestream_loader;
