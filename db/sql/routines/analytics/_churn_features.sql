-- The features of the model of churn, in their order.
CREATE OR REPLACE FUNCTION analytics._churn_features()
RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY['trend', 'active_days', 'silence', 'volume', 'kinds']
$$;
COMMENT ON FUNCTION analytics._churn_features() IS 'The features of the model of churn, in their order';
REVOKE ALL ON FUNCTION analytics._churn_features() FROM PUBLIC;
