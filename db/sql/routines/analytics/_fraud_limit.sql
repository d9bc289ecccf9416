-- The value in force of a threshold.
CREATE OR REPLACE FUNCTION analytics._fraud_limit(p_rule text, p_threshold text)
RETURNS double precision
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.value FROM analytics.fraud_threshold AS t WHERE t.rule = p_rule AND t.threshold = p_threshold
$$;
COMMENT ON FUNCTION analytics._fraud_limit(text, text) IS 'The value in force of a threshold';
REVOKE ALL ON FUNCTION analytics._fraud_limit(text, text) FROM PUBLIC;
