-- Returns the cells of a region and of all regions that lie in it.
CREATE OR REPLACE FUNCTION gold.cells_of_region(p_region_code text)
RETURNS TABLE (cell_key integer, cell_id text, region_code text)
LANGUAGE sql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE inside AS (
        SELECT r.region_key, r.region_code FROM silver.dim_region AS r WHERE r.region_code = p_region_code
        UNION
        SELECT r.region_key, r.region_code
        FROM inside AS i
        INNER JOIN silver.dim_region AS r ON i.region_key = r.parent_key
    )
    SELECT c.cell_key, c.cell_id, i.region_code
    FROM inside AS i
    INNER JOIN silver.dim_network_cell AS c ON i.region_key = c.region_key
    WHERE c.cell_key <> 0
    ORDER BY c.cell_id
$$;
COMMENT ON FUNCTION gold.cells_of_region(text) IS 'Cells of a region and of the regions in it';
REVOKE ALL ON FUNCTION gold.cells_of_region(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gold.cells_of_region(text)
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
