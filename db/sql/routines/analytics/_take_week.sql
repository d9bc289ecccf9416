-- Reads one week of Gold anew: which hours it has, and the load and quality of each cell. Returns the
-- cells whose profile may differ from before: all of the week where it has other hours now, else those
-- with other numbers.
CREATE OR REPLACE FUNCTION analytics._take_week(p_week date)
RETURNS integer[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '256MB'
AS $$
DECLARE
    v_zone text := (SELECT s.value FROM ops.setting AS s WHERE s.name = 'time_zone');
    v_from timestamptz := p_week::timestamp AT TIME ZONE v_zone;
    v_to timestamptz := (p_week + 7)::timestamp AT TIME ZONE v_zone;
    v_changed integer[];
BEGIN
    WITH slot AS (
        -- Two hours of the night in which summer time ends are one slot; none where it begins.
        SELECT d.slot, count(*) AS hours
        FROM (
            SELECT
                (extract(ISODOW FROM h.bucket AT TIME ZONE v_zone) - 1) * 24
                + extract(HOUR FROM h.bucket AT TIME ZONE v_zone) + 1 AS slot
            FROM (
                SELECT t.bucket FROM rollup.cell_traffic_1h AS t
                WHERE t.bucket >= v_from AND t.bucket < v_to AND t.cell_key <> 0
                UNION
                SELECT n.bucket FROM rollup.network_1h AS n
                WHERE n.bucket >= v_from AND n.bucket < v_to AND n.cell_key <> 0
            ) AS h
        ) AS d
        GROUP BY d.slot
    ),
    found AS (
        SELECT
            ('{' || coalesce(string_agg(s.slot || ':' || s.hours, ','), '') || '}/168')::public.sparsevec::public.vector
                AS hours,
            count(*)::integer AS slots
        FROM slot AS s
    ),
    written AS (
        INSERT INTO analytics.week AS w (week, hours, slots)
        SELECT p_week, f.hours, f.slots FROM found AS f
        ON CONFLICT (week) DO UPDATE SET hours = excluded.hours, slots = excluded.slots
        WHERE w.hours OPERATOR (public.<>) excluded.hours
        RETURNING w.week
    )
    SELECT array_agg(c.cell_key) INTO v_changed
    FROM analytics.cell_week AS c
    INNER JOIN written AS w ON c.week = w.week;

    WITH bucket AS (
        SELECT
            t.bucket, t.cell_key, sum(t.attempts) AS load,
            sum(t.attempts) FILTER (WHERE t.record_type = 'voice') AS attempts,
            sum(t.failed) FILTER (WHERE t.record_type = 'voice') AS failed,
            sum(t.answered) FILTER (WHERE t.record_type = 'voice') AS answered,
            sum(t.dropped) FILTER (WHERE t.record_type = 'voice') AS dropped,
            0 AS connections, 0 AS drops, 0 AS latency_us_sum, 0 AS latency_samples
        FROM rollup.cell_traffic_1h AS t
        WHERE t.bucket >= v_from AND t.bucket < v_to AND t.cell_key <> 0
        GROUP BY t.bucket, t.cell_key
        UNION ALL
        SELECT
            n.bucket, n.cell_key, sum(n.attaches + n.rrc_setups + n.handovers), 0, 0, 0, 0,
            sum(n.attaches + n.rrc_setups + n.handovers), sum(n.drops), sum(n.latency_us_sum),
            sum(n.latency_samples)
        FROM rollup.network_1h AS n
        WHERE n.bucket >= v_from AND n.bucket < v_to AND n.cell_key <> 0
        GROUP BY n.bucket, n.cell_key
    ),
    slot AS (
        SELECT
            b.cell_key,
            (extract(ISODOW FROM b.bucket AT TIME ZONE v_zone) - 1) * 24
            + extract(HOUR FROM b.bucket AT TIME ZONE v_zone) + 1 AS slot,
            sum(b.load) AS load, sum(b.attempts) AS attempts, sum(b.failed) AS failed, sum(b.answered) AS answered,
            sum(b.dropped) AS dropped, sum(b.connections) AS connections, sum(b.drops) AS drops,
            sum(b.latency_us_sum) AS latency_us_sum, sum(b.latency_samples) AS latency_samples
        FROM bucket AS b
        GROUP BY 1, 2
    ),
    cell AS (
        SELECT
            s.cell_key,
            ('{' || coalesce(string_agg(s.slot || ':' || s.load, ',' ) FILTER (WHERE s.load > 0), '') || '}/168')
            ::public.sparsevec::public.vector AS load,
            sum(s.load)::bigint AS records, coalesce(sum(s.attempts), 0)::bigint AS attempts,
            coalesce(sum(s.failed), 0)::bigint AS failed, coalesce(sum(s.answered), 0)::bigint AS answered,
            coalesce(sum(s.dropped), 0)::bigint AS dropped, sum(s.connections)::bigint AS connections,
            sum(s.drops)::bigint AS drops, sum(s.latency_us_sum)::bigint AS latency_us_sum,
            sum(s.latency_samples)::bigint AS latency_samples
        FROM slot AS s
        GROUP BY s.cell_key
    ),
    -- What an erasure has emptied must go.
    gone AS (
        DELETE FROM analytics.cell_week AS w
        WHERE w.week = p_week AND NOT EXISTS (SELECT FROM cell AS c WHERE c.cell_key = w.cell_key)
        RETURNING w.cell_key
    ),
    written AS (
        INSERT INTO analytics.cell_week AS w
        (
            week, cell_key, load, records, attempts, failed, answered, dropped, connections, drops,
            latency_us_sum, latency_samples
        )
        SELECT
            p_week, c.cell_key, c.load, c.records, c.attempts, c.failed, c.answered, c.dropped, c.connections,
            c.drops, c.latency_us_sum, c.latency_samples
        FROM cell AS c
        ON CONFLICT (cell_key, week) DO UPDATE
        SET
            load = excluded.load, records = excluded.records, attempts = excluded.attempts,
            failed = excluded.failed, answered = excluded.answered, dropped = excluded.dropped,
            connections = excluded.connections, drops = excluded.drops,
            latency_us_sum = excluded.latency_us_sum, latency_samples = excluded.latency_samples
        WHERE w.load OPERATOR (public.<>) excluded.load
            OR (
                w.attempts, w.failed, w.answered, w.dropped, w.connections, w.drops, w.latency_us_sum,
                w.latency_samples
            ) <> (
                excluded.attempts, excluded.failed, excluded.answered, excluded.dropped, excluded.connections,
                excluded.drops, excluded.latency_us_sum, excluded.latency_samples
            )
        RETURNING w.cell_key
    )
    SELECT array_agg(u.cell_key) INTO v_changed
    FROM (
        SELECT g.cell_key FROM gone AS g
        UNION
        SELECT w.cell_key FROM written AS w
        UNION
        SELECT unnest(v_changed)
    ) AS u;
    RETURN v_changed;
END
$$;
COMMENT ON FUNCTION analytics._take_week(date) IS 'Reads one week of Gold into analytics.cell_week';
REVOKE ALL ON FUNCTION analytics._take_week(date) FROM PUBLIC;
