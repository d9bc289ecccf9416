-- requires: vault/enrol.sql
-- Makes every person, cell, region and plan of a batch known, before its refine and in a transaction
-- of its own. Unknown cells, regions and plans become placeholders: they are never a reason to lose a
-- CDR. p_cells and p_cell_regions go together; a region may be null.
CREATE OR REPLACE FUNCTION silver.enrol_cdr(
    p_batch_id bigint, p_identities text[], p_cells text[], p_cell_regions text[], p_plans text[]
)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO silver.dim_region (region_code, name, is_placeholder)
    SELECT DISTINCT r.code, r.code, true
    FROM unnest(p_cell_regions) AS r (code)
    WHERE r.code IS NOT NULL AND NOT EXISTS (SELECT FROM silver.dim_region AS d WHERE d.region_code = r.code)
    ORDER BY 1
    ON CONFLICT (region_code) DO NOTHING;

    INSERT INTO silver.dim_network_cell (cell_id, name, region_key, is_placeholder)
    SELECT c.cell_id, c.cell_id, coalesce(min(d.region_key), 0), true
    FROM unnest(p_cells, p_cell_regions) AS c (cell_id, region_code)
    LEFT JOIN silver.dim_region AS d ON c.region_code = d.region_code
    WHERE c.cell_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM silver.dim_network_cell AS k WHERE k.cell_id = c.cell_id)
    GROUP BY c.cell_id
    ORDER BY c.cell_id
    ON CONFLICT (cell_id) DO NOTHING;

    INSERT INTO silver.dim_service_plan (plan_code, name, is_placeholder)
    SELECT DISTINCT p.code, p.code, true
    FROM unnest(p_plans) AS p (code)
    WHERE p.code IS NOT NULL
        AND NOT EXISTS (SELECT FROM silver.dim_service_plan AS d WHERE d.plan_code = p.code)
    ORDER BY 1
    ON CONFLICT (plan_code) DO NOTHING;

    PERFORM vault.enrol(p_identities);
    PERFORM set_config('telestream.enrolled_batch', p_batch_id::text, false);
END
$$;
COMMENT ON FUNCTION silver.enrol_cdr(bigint, text[], text[], text[], text[]) IS
'Makes the persons, cells, regions and plans of a batch known before its refine';
REVOKE ALL ON FUNCTION silver.enrol_cdr(bigint, text[], text[], text[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION silver.enrol_cdr(bigint, text[], text[], text[], text[])
TO telestream_loader, telestream_consumer;
