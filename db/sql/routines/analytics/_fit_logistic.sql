-- requires: analytics/_solve.sql
-- Fits a logistic regression to the rows of pg_temp._churn_row that are not held back: features x, already
-- less their mean over their scale, against is_churned. Newton's steps on the likelihood less half the sum of
-- the squared weights (ridge 1, not on the intercept), which keeps it definite also where a feature is
-- constant or tells all. Each step is one scan. Returns the intercept, then the weights, and the steps taken.
CREATE OR REPLACE FUNCTION analytics._fit_logistic(
    p_features integer, OUT o_coefficients double precision[], OUT o_steps integer
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_n constant integer := p_features + 1;
    v_odds text;
    v_query text;
    v_gradient double precision[];
    v_curvature double precision[];
    v_step double precision[];
BEGIN
    SELECT '$1[1]' || string_agg(format(' + $1[%s] * r.x[%s]', j + 1, j), '' ORDER BY j) INTO v_odds
    FROM generate_series(1, p_features) AS j;
    -- x[0] stands for the intercept: 1.
    SELECT format(
        'SELECT ARRAY[%s], ARRAY[%s] FROM (SELECT q.x, q.y - q.p AS e, q.p * (1 - q.p) AS w FROM ('
        'SELECT r.x, r.is_churned::integer AS y, 1 / (1 + exp(-greatest(-30, least(30, %s)))) AS p'
        ' FROM pg_temp._churn_row AS r WHERE NOT r.is_held) AS q) AS s',
        (
            SELECT string_agg(format('sum(s.e%s)', CASE WHEN i > 0 THEN format(' * s.x[%s]', i) END), ', ' ORDER BY i)
            FROM generate_series(0, p_features) AS i
        ),
        (
            SELECT string_agg(
                format(
                    'sum(s.w%s%s)',
                    CASE WHEN i > 0 THEN format(' * s.x[%s]', i) END,
                    CASE WHEN j > 0 THEN format(' * s.x[%s]', j) END
                ), ', ' ORDER BY i, j
            )
            FROM generate_series(0, p_features) AS i
            CROSS JOIN generate_series(0, p_features) AS j
        ),
        v_odds
    ) INTO v_query;
    o_coefficients := array_fill(0::double precision, ARRAY[v_n]);
    FOR v_round IN 1 .. 50 LOOP
        o_steps := v_round;
        EXECUTE v_query INTO v_gradient, v_curvature USING o_coefficients;
        FOR v_i IN 2 .. v_n LOOP
            v_gradient[v_i] := v_gradient[v_i] - o_coefficients[v_i];
            v_curvature[(v_i - 1) * v_n + v_i] := v_curvature[(v_i - 1) * v_n + v_i] + 1;
        END LOOP;
        v_step := analytics._solve(v_curvature, v_gradient);
        SELECT array_agg(c.value + s.value ORDER BY c.n) INTO o_coefficients
        FROM unnest(o_coefficients) WITH ORDINALITY AS c (value, n)
        INNER JOIN unnest(v_step) WITH ORDINALITY AS s (value, n) ON c.n = s.n;
        EXIT WHEN (SELECT max(abs(s.value)) FROM unnest(v_step) AS s (value)) < 1e-9;
    END LOOP;
END
$$;
COMMENT ON FUNCTION analytics._fit_logistic(integer) IS 'Fits a logistic regression to pg_temp._churn_row';
REVOKE ALL ON FUNCTION analytics._fit_logistic(integer) FROM PUBLIC;
