-- Kilometres between two places along a great circle (haversine; it is exact also for places next to each
-- other).
CREATE OR REPLACE FUNCTION analytics._km(
    p_latitude double precision, p_longitude double precision,
    p_other_latitude double precision, p_other_longitude double precision
)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 12742 * asin(least(1, sqrt(
        sin(radians(p_other_latitude - p_latitude) / 2) ^ 2
        + cos(radians(p_latitude)) * cos(radians(p_other_latitude))
        * sin(radians(p_other_longitude - p_longitude) / 2) ^ 2
    )))
$$;
COMMENT ON FUNCTION analytics._km(double precision, double precision, double precision, double precision) IS
'Kilometres between two places: latitude and longitude of each, in degrees';
REVOKE ALL ON FUNCTION analytics._km(double precision, double precision, double precision, double precision)
FROM PUBLIC;
