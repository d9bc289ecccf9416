-- requires: analytics/_fraud_limit.sql, analytics/_fraud_point.sql, analytics/_km.sql
-- Judges the candidates of one number: sim_box, revenue_share and impossible_travel by their single
-- records of [p_from, p_to) up to p_now, new_number_velocity by sums alone. What a rule flags goes to
-- _fraud_flag.
CREATE OR REPLACE FUNCTION analytics._fraud_served(p_from timestamptz, p_to timestamptz, p_now timestamptz)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '128MB'
AS $$
DECLARE
    v_subjects bigint[] := (
        SELECT array_agg(DISTINCT c.subscriber_id) FROM pg_temp._fraud_candidate AS c
        WHERE c.is_sim_box OR c.is_revenue_share OR c.is_travel
    );
    v_min_numbers double precision := analytics._fraud_limit('sim_box', 'min_numbers');
    v_max_cells double precision := analytics._fraud_limit('sim_box', 'max_cells');
    v_max_incoming double precision := analytics._fraud_limit('sim_box', 'max_incoming_share');
    v_min_calls double precision := analytics._fraud_limit('revenue_share', 'min_calls');
    v_max_number_share double precision := analytics._fraud_limit('revenue_share', 'max_number_share');
    v_min_charge double precision := analytics._fraud_limit('revenue_share', 'min_charge');
    v_own_factor double precision := analytics._fraud_limit('revenue_share', 'own_factor');
    v_min_price double precision := analytics._fraud_limit('revenue_share', 'min_price');
    v_price_factor double precision := analytics._fraud_limit('revenue_share', 'price_factor');
    v_min_km double precision := analytics._fraud_limit('impossible_travel', 'min_km');
    v_max_speed double precision := analytics._fraud_limit('impossible_travel', 'max_speed');
    v_min_jumps double precision := analytics._fraud_limit('impossible_travel', 'min_jumps');
    v_max_visitors double precision := analytics._fraud_limit('impossible_travel', 'max_visitors');
    v_new_charge double precision := analytics._fraud_limit('new_number_velocity', 'min_charge');
    v_new_talk double precision := analytics._fraud_limit('new_number_velocity', 'min_talk');
    v_new_for double precision := analytics._fraud_limit('new_number_velocity', 'new_for');
    v_new_factor double precision := analytics._fraud_limit('new_number_velocity', 'peer_factor');
BEGIN
    INSERT INTO pg_temp._fraud_flag (rule, subscriber_id, starts_at, from_at, to_at, score, evidence)
    SELECT
        'new_number_velocity', n.subscriber_id, n.starts_at, n.first_at, n.last_at,
        least(100, 50 * greatest(n.charge / n.charge_limit, n.talk / n.talk_limit)),
        jsonb_build_array(
            analytics._fraud_point('charge', n.charge, n.charge_limit, n.high_charge, format(
                'charges of %s in 24 hours%s', round(n.charge::numeric, 2),
                '; 95 of 100 numbers stay below ' || round(n.high_charge::numeric, 2)
            )),
            analytics._fraud_point('talk_min', n.talk, n.talk_limit, n.high_talk, format(
                '%s minutes of calls made in 24 hours%s', round(n.talk),
                '; 95 of 100 numbers stay below ' || round(n.high_talk)
            )),
            analytics._fraud_point('hours_since_first_seen', n.age, n.new_for, NULL, format(
                'first seen %s hours before its last record here', round(n.age)
            ))
        )
    FROM (
        SELECT
            c.subscriber_id, c.starts_at, c.first_at, c.last_at, c.charge / 1e6 AS charge, c.talk_s / 60 AS talk,
            u.high_charge / 1e6 AS high_charge, u.high_talk_s / 60 AS high_talk,
            greatest(v_new_charge, u.high_charge / 1e6 * v_new_factor) AS charge_limit,
            greatest(v_new_talk, u.high_talk_s / 60 * v_new_factor) AS talk_limit,
            extract(EPOCH FROM c.last_at - c.first_seen_at) / 3600 AS age,
            v_new_for + 24 AS new_for
        FROM pg_temp._fraud_candidate AS c
        CROSS JOIN pg_temp._fraud_usual AS u
        WHERE c.is_new
    ) AS n
    WHERE n.charge >= n.charge_limit OR n.talk >= n.talk_limit;

    IF v_subjects IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format(
        $q$
        CREATE TEMPORARY TABLE _fraud_record ON COMMIT DROP AS
        SELECT
            f.subscriber_id, f.started_at, f.cdr_id, f.called_id, f.cell_key, f.billed_s,
            f.record_type = 'voice' AND coalesce(f.direction, 'mo') = 'mo' AS is_call,
            f.technology IS NULL OR f.technology IN ('fixed', 'ip') AS is_fixed
        FROM silver.fact_cdr AS f
        WHERE f.started_at >= %L AND f.started_at < %L AND f.started_at <= %L
            AND f.subscriber_id = ANY (%L::bigint[])
        $q$,
        p_from, p_to, p_now, v_subjects
    );
    ANALYZE pg_temp._fraud_record;

    INSERT INTO pg_temp._fraud_flag (rule, subscriber_id, starts_at, from_at, to_at, score, evidence)
    SELECT
        'sim_box', n.subscriber_id, n.starts_at, n.from_at, n.to_at, least(100, 50 * n.numbers / v_min_numbers),
        jsonb_build_array(
            analytics._fraud_point('numbers_called', n.numbers, v_min_numbers, NULL, format(
                '%s calls made to %s different numbers in 24 hours', n.calls, n.numbers
            )),
            analytics._fraud_point(
                'calls', n.calls, analytics._fraud_limit('sim_box', 'min_calls'), n.usual,
                CASE WHEN n.usual IS NULL THEN 'what is usual is not known: there are too few numbers'
                    ELSE format('half of the numbers that call make %s calls or less', round(n.usual)) END
            ),
            analytics._fraud_point('incoming_share', n.received::double precision / n.calls, v_max_incoming, NULL,
                format('%s calls and messages received', n.received)),
            analytics._fraud_point('cells', n.cells, v_max_cells, NULL, format('all from %s cells', n.cells))
        )
    FROM (
        SELECT
            c.subscriber_id, c.starts_at, c.calls, c.received, max(u.calls) AS usual,
            count(DISTINCT r.called_id) FILTER (WHERE r.is_call AND r.called_id <> 0) AS numbers,
            count(DISTINCT r.cell_key) FILTER (WHERE r.cell_key <> 0) AS cells,
            min(r.started_at) FILTER (WHERE r.is_call) AS from_at, max(r.started_at) FILTER (WHERE r.is_call) AS to_at
        FROM pg_temp._fraud_candidate AS c
        CROSS JOIN pg_temp._fraud_usual AS u
        INNER JOIN pg_temp._fraud_record AS r
            ON c.subscriber_id = r.subscriber_id
            AND r.started_at >= c.starts_at AND r.started_at < c.starts_at + interval '24 hours'
        WHERE c.is_sim_box
        GROUP BY c.subscriber_id, c.starts_at, c.calls, c.received
    ) AS n
    WHERE n.numbers >= v_min_numbers AND n.cells BETWEEN 1 AND v_max_cells;

    INSERT INTO pg_temp._fraud_flag (rule, subscriber_id, starts_at, from_at, to_at, score, evidence)
    SELECT
        'revenue_share', n.subscriber_id, n.starts_at, n.from_at, n.to_at, least(100, 50 * n.charge / n.charge_limit),
        jsonb_build_array(
            analytics._fraud_point('charge', n.charge, n.charge_limit, n.own, CASE
                WHEN n.own IS NULL THEN format(
                    'calls for %s in 24 hours; it has no days before to compare with%s', round(n.charge::numeric, 2),
                    ', 95 of 100 numbers stay below ' || round(n.high_charge::numeric, 2)
                )
                ELSE format(
                    'calls for %s in 24 hours; a day of the 28 before cost it %s',
                    round(n.charge::numeric, 2), round(n.own::numeric, 2)
                )
            END),
            analytics._fraud_point(
                'price_of_a_minute', n.price, greatest(v_min_price, n.usual_price * v_price_factor), n.usual_price,
                format(
                    'a minute cost %s in the mean; %s is usual in its plan',
                    round(n.price::numeric, 2), round(n.usual_price::numeric, 2)
                )
            ),
            analytics._fraud_point(
                'numbers_per_call', n.numbers::double precision / n.answered, v_max_number_share, NULL,
                format('%s calls answered, to %s different numbers', n.answered, n.numbers)
            )
        )
    FROM (
        SELECT
            g.*, d.own,
            greatest(v_min_charge, CASE WHEN d.own IS NULL THEN g.high_charge ELSE d.own * v_own_factor END)
                AS charge_limit
        FROM (
            SELECT
                c.subscriber_id, c.starts_at, c.first_seen_at, c.call_charge / 1e6 AS charge,
                c.call_charge * 60 / c.talk_s / 1e6 AS price, c.usual_price / 1e6 AS usual_price,
                max(u.high_charge) / 1e6 AS high_charge,
                count(*) AS answered, count(DISTINCT r.called_id) AS numbers,
                min(r.started_at) AS from_at, max(r.started_at) AS to_at
            FROM pg_temp._fraud_candidate AS c
            CROSS JOIN pg_temp._fraud_usual AS u
            INNER JOIN pg_temp._fraud_record AS r
                ON c.subscriber_id = r.subscriber_id AND r.is_call AND r.billed_s > 0
                AND r.started_at >= c.starts_at AND r.started_at < c.starts_at + interval '24 hours'
            WHERE c.is_revenue_share
            GROUP BY c.subscriber_id, c.starts_at, c.first_seen_at, c.call_charge, c.talk_s, c.usual_price
        ) AS g
        -- Days of Gold that ended before the window; by the days since it was first seen, where these are fewer.
        CROSS JOIN LATERAL (
            SELECT sum(x.charge_micro) / 1e6 / least(28, greatest(1, ceil(
                extract(EPOCH FROM g.starts_at - least(g.first_seen_at, min(x.bucket))) / 86400
            )))::double precision AS own
            FROM rollup.customer_usage_1d AS x
            WHERE x.subscriber_id = g.subscriber_id
                AND x.bucket >= g.starts_at - interval '28 days' AND x.bucket <= g.starts_at - interval '25 hours'
        ) AS d
    ) AS n
    WHERE n.answered >= v_min_calls AND n.numbers <= n.answered * v_max_number_share AND n.charge >= n.charge_limit;

    CREATE TEMPORARY TABLE _fraud_jump ON COMMIT DROP AS
    SELECT
        m.subscriber_id, m.started_at, m.before_at, m.cell_key, m.cell_before, m.km,
        m.km * 3600 / (extract(EPOCH FROM m.started_at - m.before_at) + 60)::double precision AS speed
    FROM (
        SELECT
            s.subscriber_id, s.started_at, s.cell_key,
            lag(s.started_at) OVER w AS before_at, lag(s.cell_key) OVER w AS cell_before,
            analytics._km(s.latitude, s.longitude, lag(s.latitude) OVER w, lag(s.longitude) OVER w) AS km
        FROM (
            SELECT r.subscriber_id, r.started_at, r.cdr_id, r.cell_key, k.latitude, k.longitude
            FROM pg_temp._fraud_record AS r
            INNER JOIN silver.dim_network_cell AS k ON r.cell_key = k.cell_key
            WHERE NOT r.is_fixed AND k.latitude IS NOT NULL AND k.longitude IS NOT NULL
                AND r.subscriber_id IN (SELECT c.subscriber_id FROM pg_temp._fraud_candidate AS c WHERE c.is_travel)
        ) AS s
        WINDOW w AS (PARTITION BY s.subscriber_id ORDER BY s.started_at, s.cdr_id)
    ) AS m
    -- Clocks of switches differ: a minute is given on top.
    WHERE m.km >= v_min_km
        AND m.km * 3600 / (extract(EPOCH FROM m.started_at - m.before_at) + 60)::double precision > v_max_speed;

    INSERT INTO pg_temp._fraud_flag (rule, subscriber_id, starts_at, from_at, to_at, score, evidence)
    SELECT
        'impossible_travel', n.subscriber_id, n.starts_at, n.from_at, n.to_at, least(100, 50 * n.jumps / v_min_jumps),
        jsonb_build_array(
            analytics._fraud_point('jumps', n.jumps, v_min_jumps, NULL, format(
                '%s times in 24 hours its next record came from where it could not have been', n.jumps
            )),
            analytics._fraud_point('speed_km_h', n.speed, v_max_speed, NULL, format(
                'the fastest: %s km/h, over %s km', round(n.speed), round(n.km_of_fastest)
            )),
            analytics._fraud_point('km', n.km, v_min_km, NULL, format(
                'between %s cells, up to %s km apart', n.cells, round(n.km)
            ))
        )
    FROM (
        SELECT
            c.subscriber_id, c.starts_at, count(*) AS jumps, max(j.speed) AS speed, max(j.km) AS km,
            (array_agg(j.km ORDER BY j.speed DESC))[1] AS km_of_fastest,
            count(DISTINCT j.cell_key) AS cells, min(j.before_at) AS from_at, max(j.started_at) AS to_at
        FROM pg_temp._fraud_candidate AS c
        INNER JOIN pg_temp._fraud_jump AS j
            ON c.subscriber_id = j.subscriber_id
            AND j.before_at >= c.starts_at AND j.started_at < c.starts_at + interval '24 hours'
        WHERE c.is_travel
            -- Where many jump to, it is the cell that is not where it is said to be.
            AND NOT EXISTS (
                SELECT FROM (
                    SELECT e.cell_key
                    FROM (
                        SELECT a.cell_key, a.subscriber_id FROM pg_temp._fraud_jump AS a
                        UNION
                        SELECT b.cell_before, b.subscriber_id FROM pg_temp._fraud_jump AS b
                    ) AS e
                    GROUP BY e.cell_key
                    HAVING count(*) > v_max_visitors
                ) AS x
                WHERE x.cell_key IN (j.cell_key, j.cell_before)
            )
        GROUP BY c.subscriber_id, c.starts_at
    ) AS n
    WHERE n.jumps >= v_min_jumps;
    DROP TABLE pg_temp._fraud_jump;
    DROP TABLE pg_temp._fraud_record;
END
$$;
COMMENT ON FUNCTION analytics._fraud_served(timestamptz, timestamptz, timestamptz) IS
'Judges the candidates by their single records: all rules but wangiri';
REVOKE ALL ON FUNCTION analytics._fraud_served(timestamptz, timestamptz, timestamptz) FROM PUBLIC;
