-- requires: gold/distance_km.sql
-- Returns the cells within a distance of a point, across the 180th meridian and the poles too. The index
-- finds the cube around the circle; its ball is a little larger than ours, hence the allowance.
CREATE OR REPLACE FUNCTION gold.cells_near(
    p_latitude double precision, p_longitude double precision, p_radius_km double precision
)
RETURNS TABLE (cell_key integer, cell_id text, distance_km double precision)
LANGUAGE sql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT n.cell_key, n.cell_id, n.distance_km
    FROM (
        SELECT
            c.cell_key, c.cell_id,
            gold.distance_km(p_latitude, p_longitude, c.latitude, c.longitude) AS distance_km
        FROM silver.dim_network_cell AS c
        WHERE c.latitude IS NOT NULL AND c.longitude IS NOT NULL
            AND public.ll_to_earth(c.latitude, c.longitude) OPERATOR (public.<@) public.earth_box(
                public.ll_to_earth(p_latitude, p_longitude), least(p_radius_km, 20000) * 1002
            )
    ) AS n
    WHERE n.distance_km <= p_radius_km
    ORDER BY n.distance_km, n.cell_id
$$;
COMMENT ON FUNCTION gold.cells_near(double precision, double precision, double precision) IS
'Cells within a distance of a point, kilometres, the nearest first';
REVOKE ALL ON FUNCTION gold.cells_near(double precision, double precision, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gold.cells_near(double precision, double precision, double precision)
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
