-- requires: gold/cells_near.sql, gold/cells_of_region.sql
-- Returns the cells whose fingerprints lie nearest to that of p_cell_id, of one technology, one region
-- with those in it, or within a distance of the cell, where given. Without a filter the HNSW index
-- answers; with one that leaves few enough cells each of them is compared, which is exact; else the index
-- is read on until p_k fit. A cell without fingerprint, or without a place where a distance is given, has
-- no similar ones: no rows.
CREATE OR REPLACE FUNCTION analytics.similar_cells(
    p_cell_id text, p_k integer DEFAULT 10, p_technology text DEFAULT NULL, p_region_code text DEFAULT NULL,
    p_within_km double precision DEFAULT NULL
)
RETURNS TABLE (cell_key integer, cell_id text, distance double precision, distance_km double precision)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_most_exact constant integer := 10000;
    v_own record;
    v_fingerprint public.vector;
    v_keys integer[];
BEGIN
    IF coalesce(p_k NOT BETWEEN 1 AND 500, true) THEN
        RAISE EXCEPTION 'the number of similar cells cannot be %', p_k
            USING ERRCODE = 'TS045', HINT = 'Ask for 1 to 500.';
    END IF;
    SELECT c.cell_key, c.latitude, c.longitude INTO v_own
    FROM silver.dim_network_cell AS c
    WHERE c.cell_id = p_cell_id;
    SELECT f.fingerprint INTO v_fingerprint
    FROM analytics.cell_fingerprint AS f
    WHERE f.cell_key = v_own.cell_key;
    IF v_fingerprint IS NULL THEN
        RETURN;
    END IF;
    IF num_nonnulls(p_technology, p_region_code, p_within_km) > 0 THEN
        SELECT coalesce(array_agg(c.cell_key), '{}') INTO v_keys
        FROM silver.dim_network_cell AS c
        WHERE (p_technology IS NULL OR c.technology = p_technology)
            AND (
                p_region_code IS NULL
                OR c.cell_key IN (SELECT r.cell_key FROM gold.cells_of_region(p_region_code) AS r)
            )
            AND (
                p_within_km IS NULL
                OR c.cell_key IN (
                    SELECT n.cell_key FROM gold.cells_near(v_own.latitude, v_own.longitude, p_within_km) AS n
                )
            );
    END IF;
    IF cardinality(v_keys) <= v_most_exact THEN
        RETURN QUERY
        WITH compared AS MATERIALIZED (
            SELECT f.cell_key, f.fingerprint OPERATOR (public.<->) v_fingerprint AS distance
            FROM analytics.cell_fingerprint AS f
            WHERE f.cell_key = ANY (v_keys) AND f.cell_key <> v_own.cell_key
        )
        SELECT
            d.cell_key, c.cell_id, d.distance,
            gold.distance_km(v_own.latitude, v_own.longitude, c.latitude, c.longitude)
        FROM compared AS d
        INNER JOIN silver.dim_network_cell AS c ON d.cell_key = c.cell_key
        ORDER BY d.distance, c.cell_id
        LIMIT p_k;
        RETURN;
    END IF;
    -- The wider the search the better the recall; the scan goes on where a filter leaves too few.
    PERFORM set_config('hnsw.ef_search', least(1000, greatest(120, 4 * p_k))::text, true);
    PERFORM set_config('hnsw.iterative_scan', 'strict_order', true);
    RETURN QUERY
    SELECT
        d.cell_key, c.cell_id, d.distance,
        gold.distance_km(v_own.latitude, v_own.longitude, c.latitude, c.longitude)
    FROM (
        SELECT f.cell_key, f.fingerprint OPERATOR (public.<->) v_fingerprint AS distance
        FROM analytics.cell_fingerprint AS f
        WHERE f.cell_key <> v_own.cell_key AND (v_keys IS NULL OR f.cell_key = ANY (v_keys))
        ORDER BY f.fingerprint OPERATOR (public.<->) v_fingerprint
        LIMIT p_k
    ) AS d
    INNER JOIN silver.dim_network_cell AS c ON d.cell_key = c.cell_key
    ORDER BY d.distance, c.cell_id;
END
$$;
COMMENT ON FUNCTION analytics.similar_cells(text, integer, text, text, double precision) IS
'Cells that behave most like one, the most alike first';
REVOKE ALL ON FUNCTION analytics.similar_cells(text, integer, text, text, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION analytics.similar_cells(text, integer, text, text, double precision)
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
