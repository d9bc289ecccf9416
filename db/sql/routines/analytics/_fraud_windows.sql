-- requires: analytics/_fraud_limit.sql
-- Adds the blocks up to windows of 24 hours that start in p_first … p_last, works out what is usual among
-- all numbers (_fraud_usual, and _fraud_price for the price of a minute in each plan), and keeps in
-- _fraud_candidate the windows that the sums alone do not clear of a rule. A window starts only where its
-- number did something: any other has nothing that a later one does not have.
CREATE OR REPLACE FUNCTION analytics._fraud_windows(p_first timestamptz, p_last timestamptz)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '128MB'
AS $$
DECLARE
    v_data_from timestamptz := (SELECT p.data_from FROM analytics.fraud_progress AS p);
    -- Once and not for each row.
    v_calls double precision := analytics._fraud_limit('sim_box', 'min_calls');
    v_incoming double precision := analytics._fraud_limit('sim_box', 'max_incoming_share');
    v_charge double precision := analytics._fraud_limit('revenue_share', 'min_charge');
    v_price double precision := analytics._fraud_limit('revenue_share', 'min_price');
    v_price_factor double precision := analytics._fraud_limit('revenue_share', 'price_factor');
    v_km double precision := analytics._fraud_limit('impossible_travel', 'min_km');
    v_new_for interval := analytics._fraud_limit('new_number_velocity', 'new_for') * interval '1 hour';
    v_min_history interval := analytics._fraud_limit('new_number_velocity', 'min_history') * interval '24 hours';
    -- A degree of latitude in kilometres, rounded up.
    v_degree constant double precision := 111.7;
BEGIN
    CREATE TEMPORARY TABLE _fraud_sum ON COMMIT DROP AS
    SELECT s.*
    FROM (
        SELECT
            b.subscriber_id, b.block AS starts_at,
            sum(b.calls) OVER w AS calls, sum(b.received) OVER w AS received, sum(b.talk_s) OVER w AS talk_s,
            sum(b.call_charge) OVER w AS call_charge, sum(b.charge) OVER w AS charge,
            min(b.south) OVER w AS south, max(b.north) OVER w AS north,
            min(b.west) OVER w AS west, max(b.east) OVER w AS east,
            min(b.first_at) OVER w AS first_at, max(b.last_at) OVER w AS last_at, max(b.plan_key) OVER w AS plan_key
        FROM pg_temp._fraud_block AS b
        WINDOW w AS (
            PARTITION BY b.subscriber_id ORDER BY b.block
            RANGE BETWEEN CURRENT ROW AND interval '18 hours' FOLLOWING
        )
    ) AS s
    WHERE s.starts_at BETWEEN p_first AND p_last;

    -- A few windows say nothing of what is usual: null.
    CREATE TEMPORARY TABLE _fraud_usual ON COMMIT DROP AS
    SELECT u.calls, u.high_charge, u.high_talk_s
    FROM (
        SELECT
            count(*) AS windows,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY s.calls) FILTER (WHERE s.calls > 0) AS calls,
            percentile_cont(0.95) WITHIN GROUP (ORDER BY s.charge) AS high_charge,
            percentile_cont(0.95) WITHIN GROUP (ORDER BY s.talk_s) AS high_talk_s
        FROM pg_temp._fraud_sum AS s
    ) AS u
    RIGHT JOIN (VALUES (20)) AS n (needed) ON u.windows >= n.needed;

    -- A plan that hardly anybody has is judged by all plans; that row has no plan.
    CREATE TEMPORARY TABLE _fraud_price ON COMMIT DROP AS
    SELECT s.plan_key, percentile_cont(0.5) WITHIN GROUP (ORDER BY s.call_charge * 60 / s.talk_s) AS price
    FROM pg_temp._fraud_sum AS s
    WHERE s.talk_s > 0
    GROUP BY GROUPING SETS ((), (s.plan_key))
    HAVING grouping(s.plan_key) = 1 OR count(*) >= 20;

    CREATE TEMPORARY TABLE _fraud_candidate ON COMMIT DROP AS
    SELECT c.*
    FROM (
        SELECT
            s.*,
            n.first_seen_at,
            coalesce(p.price, a.price, 0) AS usual_price,
            (
                s.calls >= v_calls
                AND s.received <= s.calls * v_incoming
            ) AS is_sim_box,
            (
                s.talk_s > 0
                AND s.call_charge >= 1e6 * v_charge
                AND s.call_charge * 60 / s.talk_s >= 1e6 * v_price
                AND s.call_charge * 60 / s.talk_s
                >= coalesce(p.price, a.price, 0) * v_price_factor
            ) AS is_revenue_share,
            -- No two places in a box lie further apart than its sides together.
            coalesce(
                v_degree * (s.north - s.south) + v_degree * (s.east - s.west) * cos(radians(
                    CASE WHEN s.north * s.south <= 0 THEN 0 ELSE least(abs(s.north), abs(s.south)) END
                )) >= v_km,
                false
            ) AS is_travel,
            (
                n.first_seen_at >= s.starts_at - v_new_for
                AND n.first_seen_at >= v_data_from + v_min_history
            ) AS is_new
        FROM pg_temp._fraud_sum AS s
        LEFT JOIN analytics.fraud_first_seen AS n ON s.subscriber_id = n.subscriber_id
        LEFT JOIN pg_temp._fraud_price AS p ON s.plan_key = p.plan_key
        LEFT JOIN pg_temp._fraud_price AS a ON a.plan_key IS NULL
    ) AS c
    WHERE c.is_sim_box OR c.is_revenue_share OR c.is_travel OR c.is_new;
    DROP TABLE pg_temp._fraud_sum;
    DROP TABLE pg_temp._fraud_price;
    ANALYZE pg_temp._fraud_candidate;
END
$$;
COMMENT ON FUNCTION analytics._fraud_windows(timestamptz, timestamptz) IS
'Adds blocks up to windows and keeps those that sums alone do not clear';
REVOKE ALL ON FUNCTION analytics._fraud_windows(timestamptz, timestamptz) FROM PUBLIC;
