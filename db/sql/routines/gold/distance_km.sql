-- Great circle on a ball of the earth's mean radius, by the haversine formula, which is exact for short
-- ways.
CREATE OR REPLACE FUNCTION gold.distance_km(
    p_latitude_1 double precision, p_longitude_1 double precision, p_latitude_2 double precision,
    p_longitude_2 double precision
)
RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 2 * 6371.0 * asin(least(1, sqrt(
        power(sind((p_latitude_2 - p_latitude_1) / 2), 2)
        + cosd(p_latitude_1) * cosd(p_latitude_2) * power(sind((p_longitude_2 - p_longitude_1) / 2), 2)
    )))
$$;
COMMENT ON FUNCTION gold.distance_km(
    double precision, double precision, double precision, double precision
) IS
'Kilometres between two points of latitude and longitude';
REVOKE ALL ON FUNCTION gold.distance_km(
    double precision, double precision, double precision, double precision
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gold.distance_km(
    double precision, double precision, double precision, double precision
)
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
