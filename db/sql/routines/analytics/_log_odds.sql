-- The log-odds of a model, intercept first, kept where exp() can be taken of them.
CREATE OR REPLACE FUNCTION analytics._log_odds(p_coefficients double precision[], p_x double precision[])
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT greatest(-30, least(30, p_coefficients[1] + (
        SELECT sum(c.weight * x.value)
        FROM unnest(p_coefficients[2:]) WITH ORDINALITY AS c (weight, n)
        INNER JOIN unnest(p_x) WITH ORDINALITY AS x (value, n) ON c.n = x.n
    )))
$$;
COMMENT ON FUNCTION analytics._log_odds(double precision[], double precision[]) IS 'The log-odds of a model';
REVOKE ALL ON FUNCTION analytics._log_odds(double precision[], double precision[]) FROM PUBLIC;
