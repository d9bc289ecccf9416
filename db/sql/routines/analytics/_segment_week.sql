-- Puts every customer of the twelve weeks up to p_week into a segment as of the end of that week. A score is
-- the fifth in which a customer's place among all lies, and who are equal share a place in the middle of
-- theirs: one customer alone, or all alike, have 3. Returns how many customers.
CREATE OR REPLACE FUNCTION analytics._segment_week(p_week date)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '128MB'
AS $$
DECLARE
    v_end constant date := p_week + 6;
    -- Who was first seen in the last four weeks is new, if there was anybody before.
    v_new_from constant date := p_week - 21;
    v_has_before boolean := EXISTS (SELECT FROM analytics.customer_week AS c WHERE c.week < v_new_from);
    v_rows bigint;
BEGIN
    WITH paid AS (
        SELECT
            c.subscriber_id, c.currency, max(c.last_day) AS last_day, min(c.week) AS first_week,
            sum(c.active_days) AS active_days, sum(c.events) AS events, sum(c.charge_micro)::bigint AS charge_micro
        FROM analytics.customer_week AS c
        WHERE c.week <= p_week AND c.week > p_week - 84
        GROUP BY c.subscriber_id, c.currency
    ),
    customer AS (
        SELECT DISTINCT ON (p.subscriber_id)
            p.subscriber_id, p.currency, p.charge_micro,
            v_end - max(p.last_day) OVER own AS recency_days,
            min(p.first_week) OVER own AS first_week,
            (sum(p.active_days) OVER own)::integer AS active_days
        FROM paid AS p
        WINDOW own AS (PARTITION BY p.subscriber_id)
        ORDER BY p.subscriber_id, (p.currency <> '') DESC, p.events DESC, p.currency
    ),
    placed AS (
        SELECT
            c.*,
            ((rank() OVER r - 1)::double precision / count(*) OVER () + cume_dist() OVER r) / 2 AS recency,
            ((rank() OVER f - 1)::double precision / count(*) OVER () + cume_dist() OVER f) / 2 AS frequency,
            (
                (rank() OVER m - 1)::double precision / count(*) OVER (PARTITION BY c.currency)
                + cume_dist() OVER m
            ) / 2 AS monetary
        FROM customer AS c
        WINDOW
            r AS (ORDER BY c.recency_days DESC),
            f AS (ORDER BY c.active_days),
            m AS (PARTITION BY c.currency ORDER BY c.charge_micro)
    ),
    scored AS (
        SELECT
            p.*, (1 + floor(5 * p.recency))::smallint AS r, (1 + floor(5 * p.frequency))::smallint AS f,
            (1 + floor(5 * p.monetary))::smallint AS m
        FROM placed AS p
    ),
    gone AS (
        DELETE FROM analytics.customer_segment AS o
        WHERE o.week = p_week AND NOT EXISTS (SELECT FROM scored AS s WHERE s.subscriber_id = o.subscriber_id)
    )
    INSERT INTO analytics.customer_segment AS o
    (
        week, subscriber_id, segment, recency_days, active_days, currency, charge_micro, recency_score,
        frequency_score, monetary_score, built_at
    )
    SELECT
        p_week, s.subscriber_id,
        CASE
            WHEN s.recency_days >= 28 THEN 'lost'
            WHEN v_has_before AND s.first_week >= v_new_from THEN 'new'
            WHEN s.recency_days >= 7 AND s.r <= 2
                THEN CASE WHEN s.f >= 3 OR s.m >= 4 THEN 'at_risk' ELSE 'hibernating' END
            WHEN s.f >= 4 AND s.m >= 4 THEN 'champion'
            WHEN s.f >= 3 THEN 'loyal'
            ELSE 'occasional'
        END,
        s.recency_days, s.active_days, s.currency, s.charge_micro, s.r, s.f, s.m, clock_timestamp()
    FROM scored AS s
    ON CONFLICT (subscriber_id, week) DO UPDATE
    SET
        segment = excluded.segment, recency_days = excluded.recency_days, active_days = excluded.active_days,
        currency = excluded.currency, charge_micro = excluded.charge_micro,
        recency_score = excluded.recency_score, frequency_score = excluded.frequency_score,
        monetary_score = excluded.monetary_score, built_at = excluded.built_at
    WHERE (
        o.segment, o.recency_days, o.active_days, o.currency, o.charge_micro, o.recency_score, o.frequency_score,
        o.monetary_score
    ) <> (
        excluded.segment, excluded.recency_days, excluded.active_days, excluded.currency, excluded.charge_micro,
        excluded.recency_score, excluded.frequency_score, excluded.monetary_score
    );
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END
$$;
COMMENT ON FUNCTION analytics._segment_week(date) IS 'Puts the customers of a week into segments';
REVOKE ALL ON FUNCTION analytics._segment_week(date) FROM PUBLIC;
