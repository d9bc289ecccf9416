-- requires: analytics/_train_churn.sql, analytics/_churn_rows.sql
-- Trains the model of churn once for each week that has got its outcome, and works out the risk of every
-- customer who was there in the two weeks up to the newest whole one. Stands on analytics.customer_week, so
-- the task customer_profile comes first. Returns the risks written and what came of it.
CREATE OR REPLACE FUNCTION analytics.build_churn(OUT o_rows bigint, OUT o_result text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '128MB'
AS $$
DECLARE
    v_horizon constant integer := 4;
    v_history integer := (SELECT s.value::integer FROM ops.setting AS s WHERE s.name = 'customer_history');
    v_whole date := (SELECT max(s.week) FROM analytics.customer_segment AS s);
    v_model record;
    v_version integer;
BEGIN
    PERFORM pg_advisory_xact_lock(7301019);
    o_rows := 0;
    SELECT m.* INTO v_model FROM analytics.churn_model AS m ORDER BY m.version DESC LIMIT 1;
    IF v_model.version IS NULL
        OR coalesce(v_model.later_week, v_model.last_week) < v_whole - 7 * v_horizon
    THEN
        v_version := analytics._train_churn(v_whole, v_horizon);
        SELECT m.* INTO v_model FROM analytics.churn_model AS m ORDER BY m.version DESC LIMIT 1;
    END IF;
    IF v_model.version IS NULL THEN
        o_result := 'no model: there is too little to learn from, see docs/churn-model-card.md';
        RETURN;
    END IF;
    WITH risk AS (
        SELECT
            r.subscriber_id, x.contributions,
            1 / (1 + exp(-greatest(-30, least(30, v_model.coefficients[1] + (
                SELECT sum(c.value) FROM unnest(x.contributions) AS c (value)
            ))))) AS risk
        FROM analytics._churn_rows(v_whole) AS r
        CROSS JOIN LATERAL (
            SELECT array_agg(
                v_model.coefficients[f.n + 1] * (f.value - v_model.means[f.n]) / v_model.scales[f.n] ORDER BY f.n
            ) AS contributions
            FROM unnest(r.features) WITH ORDINALITY AS f (value, n)
        ) AS x
    ),
    gone AS (
        DELETE FROM analytics.churn_score AS o
        WHERE o.week = v_whole AND NOT EXISTS (SELECT FROM risk AS r WHERE r.subscriber_id = o.subscriber_id)
    )
    INSERT INTO analytics.churn_score AS o (week, subscriber_id, version, risk, contributions, built_at)
    SELECT v_whole, r.subscriber_id, v_model.version, r.risk, r.contributions, clock_timestamp()
    FROM risk AS r
    ON CONFLICT (subscriber_id, week) DO UPDATE
    SET
        version = excluded.version, risk = excluded.risk, contributions = excluded.contributions,
        built_at = excluded.built_at
    WHERE (o.version, o.risk) <> (excluded.version, excluded.risk);
    GET DIAGNOSTICS o_rows = ROW_COUNT;
    DELETE FROM analytics.churn_score AS o WHERE o.week <= v_whole - 7 * v_history OR o.week > v_whole;
    DELETE FROM analytics.churn_model AS m
    WHERE m.version < v_model.version
        AND NOT EXISTS (SELECT FROM analytics.churn_score AS s WHERE s.version = m.version);
    ANALYZE analytics.churn_score;
    o_result := format(
        '%s model %s, AUC %s on customers held back, %s later; %s risks written for the week of %s',
        CASE WHEN v_version IS NULL THEN 'kept' ELSE 'trained' END, v_model.version,
        coalesce(round(v_model.auc_held::numeric, 3)::text, '-'),
        coalesce(round(v_model.auc_later::numeric, 3)::text, '-'), o_rows, v_whole
    );
END
$$;
COMMENT ON FUNCTION analytics.build_churn() IS 'Trains the model of churn and works out risks';
REVOKE ALL ON FUNCTION analytics.build_churn() FROM PUBLIC;
