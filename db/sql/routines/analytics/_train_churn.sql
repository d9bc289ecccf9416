-- requires: analytics/_churn_rows.sql, analytics/_fit_logistic.sql, analytics/_churn_auc.sql
-- Trains a model of churn on the weeks whose outcome is known by p_whole, and keeps it as a new version.
-- Held back are one customer of five, everywhere, and, with history enough, the newest such week: it is
-- judged by what was known before any of its outcome was. Of the weeks trained at there are three at most,
-- of rows 200,000. Returns null where there is too little to learn from: under 200 customers, under 20 that
-- churned or stayed.
CREATE OR REPLACE FUNCTION analytics._train_churn(p_whole date, p_horizon integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '128MB'
AS $$
DECLARE
    v_most constant integer := 200000;
    v_known constant date := p_whole - 7 * p_horizon;
    v_oldest date := (SELECT min(c.week) FROM analytics.customer_week AS c);
    v_last date := v_known - 7 * p_horizon;
    -- As analytics._churn_rows() has them.
    v_features constant text[] := ARRAY['trend', 'active_days', 'silence', 'volume', 'kinds'];
    v_means double precision[];
    v_scales double precision[];
    v_customers bigint;
    v_churned bigint;
    v_fit record;
    v_held record;
    v_later record;
    v_version integer;
BEGIN
    -- A window of six weeks must lie before; without history enough the newest is the one trained at.
    IF v_last < v_oldest + 35 THEN
        v_last := v_known;
    END IF;
    IF v_last < v_oldest + 35 THEN
        RETURN NULL;
    END IF;
    CREATE TEMPORARY TABLE _churn_row ON COMMIT DROP AS
    SELECT
        w.week::date AS week, w.week::date > v_last AS is_later, r.subscriber_id, r.features AS x, r.is_churned,
        hashint8extended(r.subscriber_id, 0) % 5 = 0 AS is_held
    FROM (
        SELECT s.week FROM generate_series(greatest(v_oldest + 35, v_last - 14), v_last, interval '7 days') AS s (week)
        UNION
        SELECT v_known
    ) AS w
    CROSS JOIN LATERAL analytics._churn_rows(w.week::date, p_horizon) AS r
    WHERE w.week::date <= v_last OR hashint8extended(r.subscriber_id, 0) % 5 = 0;
    DELETE FROM pg_temp._churn_row AS r
    USING (
        SELECT o.subscriber_id
        FROM (SELECT DISTINCT i.subscriber_id FROM pg_temp._churn_row AS i) AS o
        ORDER BY hashint8extended(o.subscriber_id, 1)
        OFFSET v_most / 3
    ) AS beyond
    WHERE r.subscriber_id = beyond.subscriber_id;
    SELECT count(*), count(*) FILTER (WHERE r.is_churned) INTO v_customers, v_churned
    FROM pg_temp._churn_row AS r
    WHERE NOT r.is_held;
    IF v_customers < 200 OR v_churned < 20 OR v_customers - v_churned < 20 THEN
        DROP TABLE pg_temp._churn_row;
        RETURN NULL;
    END IF;
    SELECT
        array_agg(s.mean ORDER BY s.n),
        array_agg(CASE WHEN s.scale > 1e-9 THEN s.scale ELSE 1 END ORDER BY s.n)
    INTO v_means, v_scales
    FROM (
        SELECT f.n, avg(f.value) AS mean, stddev_pop(f.value) AS scale
        FROM pg_temp._churn_row AS r
        CROSS JOIN LATERAL unnest(r.x) WITH ORDINALITY AS f (value, n)
        WHERE NOT r.is_held
        GROUP BY f.n
    ) AS s;
    UPDATE pg_temp._churn_row AS r
    SET x = (
        SELECT array_agg((f.value - v_means[f.n]) / v_scales[f.n] ORDER BY f.n)
        FROM unnest(r.x) WITH ORDINALITY AS f (value, n)
    );
    v_fit := analytics._fit_logistic(cardinality(v_features));
    v_held := analytics._churn_auc(v_fit.o_coefficients, false);
    v_later := analytics._churn_auc(v_fit.o_coefficients, true);
    INSERT INTO analytics.churn_model
    (
        first_week, last_week, horizon_weeks, customers, churned, features, means, scales, coefficients, steps,
        held_customers, auc_held, later_week, later_customers, auc_later
    )
    SELECT
        min(r.week), v_last, p_horizon, v_customers, v_churned, v_features, v_means, v_scales,
        v_fit.o_coefficients, v_fit.o_steps, v_held.o_rows, v_held.o_auc,
        CASE WHEN v_known > v_last THEN v_known END, v_later.o_rows, v_later.o_auc
    FROM pg_temp._churn_row AS r
    WHERE NOT r.is_later
    RETURNING version INTO v_version;
    DROP TABLE pg_temp._churn_row;
    RETURN v_version;
END
$$;
COMMENT ON FUNCTION analytics._train_churn(date, integer) IS
'Trains a model of churn and keeps it as a new version';
REVOKE ALL ON FUNCTION analytics._train_churn(date, integer) FROM PUBLIC;
