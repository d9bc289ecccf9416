-- requires: gold/distance_km.sql, gold/cells_of_region.sql, analytics/_hull.sql
-- Returns the points of a grid inside the hull of a region's cells whose nearest active cell, of whatever
-- region, is further than p_gap_km away. Active is a cell that had load in the weeks of the fingerprints;
-- before the first run of analytics every cell with a place is. The hull must not cross the 180th
-- meridian.
CREATE OR REPLACE FUNCTION gold.coverage_gap(
    p_region_code text, p_gap_km double precision DEFAULT 5, p_step_km double precision DEFAULT 2,
    p_technology text DEFAULT NULL
)
RETURNS TABLE (
    latitude double precision, longitude double precision, nearest_cell_id text, distance_km double precision
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_most constant integer := 20000;
    v_km_of_degree constant double precision := 111.195;
    v_hull polygon;
    v_box box;
    v_rows double precision;
    v_columns double precision;
    v_since date := (
        SELECT max(w.week) - 7 * (SELECT s.value::integer FROM ops.setting AS s WHERE s.name = 'fingerprint_weeks')
        FROM analytics.week AS w
    );
BEGIN
    IF coalesce(p_gap_km <= 0 OR p_step_km < 0.001, true) OR p_gap_km > 20000 OR p_step_km > 20000 THEN
        RAISE EXCEPTION 'the gap or the step of the grid cannot be used'
            USING ERRCODE = 'TS045', HINT = 'Give kilometres above 0, 20,000 at most.';
    END IF;
    SELECT analytics._hull(array_agg(point(c.longitude, c.latitude))) INTO v_hull
    FROM gold.cells_of_region(p_region_code) AS r
    INNER JOIN silver.dim_network_cell AS c ON r.cell_key = c.cell_key
    WHERE c.latitude IS NOT NULL AND c.longitude IS NOT NULL;
    IF v_hull IS NULL THEN
        RETURN;
    END IF;
    v_box := box(v_hull);
    -- box[0] is the upper right corner, box[1] the lower left.
    v_rows := floor(((v_box[0])[1] - (v_box[1])[1]) * v_km_of_degree / p_step_km);
    v_columns := floor(
        ((v_box[0])[0] - (v_box[1])[0]) * v_km_of_degree
        * cosd(((v_box[0])[1] + (v_box[1])[1]) / 2) / p_step_km
    );
    IF (v_rows + 1) * (v_columns + 1) > v_most THEN
        RAISE EXCEPTION 'the grid would have more than % points', v_most
            USING ERRCODE = 'TS045', HINT = 'Give a larger step, or a smaller region.';
    END IF;
    RETURN QUERY
    SELECT g.latitude, g.longitude, n.cell_id, n.distance_km
    FROM (
        SELECT
            (v_box[1])[1] + r.i * ((v_box[0])[1] - (v_box[1])[1]) / greatest(v_rows, 1) AS latitude,
            (v_box[1])[0] + k.i * ((v_box[0])[0] - (v_box[1])[0]) / greatest(v_columns, 1) AS longitude
        FROM generate_series(0, v_rows::integer) AS r (i)
        CROSS JOIN generate_series(0, v_columns::integer) AS k (i)
    ) AS g
    LEFT JOIN LATERAL (
        SELECT c.cell_id, gold.distance_km(g.latitude, g.longitude, c.latitude, c.longitude) AS distance_km
        FROM silver.dim_network_cell AS c
        WHERE c.latitude IS NOT NULL AND c.longitude IS NOT NULL AND c.cell_key <> 0
            AND (p_technology IS NULL OR c.technology = p_technology)
            AND (
                v_since IS NULL
                OR EXISTS (
                    SELECT FROM analytics.cell_week AS w
                    WHERE w.cell_key = c.cell_key AND w.week > v_since AND w.records > 0
                )
            )
        ORDER BY
            public.ll_to_earth(c.latitude, c.longitude)
            OPERATOR (public.<->) public.ll_to_earth(g.latitude, g.longitude)
        LIMIT 1
    ) AS n ON true
    WHERE v_hull @> point(g.longitude, g.latitude) AND (n.distance_km IS NULL OR n.distance_km > p_gap_km)
    ORDER BY n.distance_km DESC NULLS FIRST, g.latitude, g.longitude;
END
$$;
COMMENT ON FUNCTION gold.coverage_gap(text, double precision, double precision, text) IS
'Points of a grid over a region with no active cell within p_gap_km, the loneliest first';
REVOKE ALL ON FUNCTION gold.coverage_gap(text, double precision, double precision, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gold.coverage_gap(text, double precision, double precision, text)
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
