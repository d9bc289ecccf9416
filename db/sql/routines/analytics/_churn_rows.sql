-- Returns what is known at the end of p_week of each customer who was there in its last two weeks, from the
-- six weeks up to it (trend, active days, silence, volume, kinds), and whether there is no record of them in
-- the p_horizon weeks after it (null where that is asked without p_horizon).
CREATE OR REPLACE FUNCTION analytics._churn_rows(p_week date, p_horizon integer DEFAULT NULL)
RETURNS TABLE (subscriber_id bigint, features double precision[], is_churned boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    SELECT
        w.subscriber_id,
        ARRAY[
            ln((w.events + 1.0) / (w.events_before / 2.0 + 1.0)),
            w.active_days / 14.0,
            p_week + 6 - w.last_day,
            ln(1.0 + w.events + w.events_before),
            w.kinds / 3.0
        ]::double precision[],
        CASE
            WHEN p_horizon IS NOT NULL THEN NOT EXISTS (
                SELECT FROM analytics.customer_week AS n
                WHERE n.subscriber_id = w.subscriber_id AND n.week > p_week AND n.week <= p_week + 7 * p_horizon
            )
        END
    FROM (
        SELECT
            c.subscriber_id,
            sum(c.events) FILTER (WHERE c.week > p_week - 14) AS events,
            coalesce(sum(c.events) FILTER (WHERE c.week <= p_week - 14), 0) AS events_before,
            sum(c.active_days) FILTER (WHERE c.week > p_week - 14) AS active_days,
            max(c.last_day) AS last_day,
            (
                bool_or(c.voice_s > 0)::integer + bool_or(c.messages > 0)::integer + bool_or(c.bytes > 0)::integer
            ) AS kinds
        FROM analytics.customer_week AS c
        WHERE c.week <= p_week AND c.week > p_week - 42
        GROUP BY c.subscriber_id
    ) AS w
    WHERE w.events > 0
$$;
COMMENT ON FUNCTION analytics._churn_rows(date, integer) IS 'What is known of customers at the end of a week';
REVOKE ALL ON FUNCTION analytics._churn_rows(date, integer) FROM PUBLIC;
