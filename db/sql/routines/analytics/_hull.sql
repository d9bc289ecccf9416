-- Returns the convex hull of points as a closed polygon (Andrew's monotone chain); null for fewer than
-- three.
CREATE OR REPLACE FUNCTION analytics._hull(p_points point[])
RETURNS polygon
LANGUAGE plpgsql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_sorted point[];
    v_chain point[];
    v_hull point[] := '{}';
    v_point point;
    v_before point;
    v_last point;
    v_n integer;
BEGIN
    SELECT array_agg(point(d.x, d.y) ORDER BY d.x, d.y) INTO v_sorted
    FROM (SELECT DISTINCT u.p[0] AS x, u.p[1] AS y FROM unnest(p_points) AS u (p)) AS d;
    IF coalesce(cardinality(v_sorted), 0) < 3 THEN
        RETURN NULL;
    END IF;
    FOR v_side IN 1 .. 2 LOOP
        v_chain := '{}';
        FOREACH v_point IN ARRAY v_sorted LOOP
            v_n := cardinality(v_chain);
            WHILE v_n >= 2 LOOP
                v_before := v_chain[v_n - 1];
                v_last := v_chain[v_n];
                -- Not a turn to the left: the last one lies inside.
                EXIT WHEN (v_last[0] - v_before[0]) * (v_point[1] - v_before[1])
                    > (v_last[1] - v_before[1]) * (v_point[0] - v_before[0]);
                v_n := v_n - 1;
                v_chain := v_chain[1:v_n];
            END LOOP;
            v_chain := v_chain || v_point;
        END LOOP;
        v_hull := v_hull || v_chain[1:cardinality(v_chain) - 1];
        SELECT array_agg(u.p ORDER BY u.n DESC) INTO v_sorted
        FROM unnest(v_sorted) WITH ORDINALITY AS u (p, n);
    END LOOP;
    IF cardinality(v_hull) < 3 THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT ('(' || string_agg(format('(%s,%s)', u.p[0], u.p[1]), ',' ORDER BY u.n) || ')')::polygon
        FROM unnest(v_hull) WITH ORDINALITY AS u (p, n)
    );
END
$$;
COMMENT ON FUNCTION analytics._hull(point[]) IS 'Convex hull of points';
REVOKE ALL ON FUNCTION analytics._hull(point[]) FROM PUBLIC;
