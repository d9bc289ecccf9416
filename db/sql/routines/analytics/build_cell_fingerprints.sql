-- requires: analytics/_take_week.sql, analytics/_profile.sql
-- Brings fingerprints and drift up to date with Gold: reads the weeks that were refreshed since, and makes
-- anew what stands on a week that has changed. Work and memory are bounded by the weeks kept, not by the
-- facts. Returns the number of cells made anew and what came of it.
CREATE OR REPLACE FUNCTION analytics.build_cell_fingerprints(OUT o_rows bigint, OUT o_result text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '256MB'
AS $$
DECLARE
    v_weeks integer := (SELECT s.value::integer FROM ops.setting AS s WHERE s.name = 'fingerprint_weeks');
    v_least bigint := (SELECT s.value::bigint FROM ops.setting AS s WHERE s.name = 'fingerprint_min_records');
    v_kept integer := (SELECT s.value::integer FROM ops.setting AS s WHERE s.name = 'fingerprint_history');
    v_stale date[];
    v_newest_before date := (SELECT max(w.week) FROM analytics.week AS w);
    v_newest date;
    v_whole date;
    v_week date;
    v_cells integer[] := '{}';
    v_drifting bigint;
BEGIN
    -- A mark that comes meanwhile is another transaction's and stays for the next run.
    WITH taken AS (DELETE FROM analytics.stale_week AS s RETURNING s.week)
    SELECT array_agg(DISTINCT t.week) INTO v_stale FROM taken AS t;
    v_newest := greatest(v_newest_before, (SELECT max(u.week) FROM unnest(v_stale) AS u (week)));
    FOREACH v_week IN ARRAY coalesce(v_stale, '{}') LOOP
        CONTINUE WHEN v_week <= v_newest - 7 * v_kept;
        v_cells := v_cells || coalesce(analytics._take_week(v_week), '{}');
    END LOOP;
    -- A week without data any more is no week: the newest is one that has some.
    DELETE FROM analytics.week AS w WHERE w.slots = 0 OR w.week <= v_newest - 7 * v_kept;
    DELETE FROM analytics.cell_week AS c WHERE c.week <= v_newest - 7 * v_kept;
    DELETE FROM analytics.cell_drift AS d WHERE d.week <= v_newest - 7 * v_kept;
    SELECT max(w.week) INTO v_newest FROM analytics.week AS w;
    -- With a new week the window moves, for all.
    IF v_newest IS DISTINCT FROM v_newest_before THEN
        SELECT array_agg(DISTINCT u.cell_key) INTO v_cells
        FROM (
            SELECT c.cell_key FROM analytics.cell_week AS c
            UNION ALL
            SELECT f.cell_key FROM analytics.cell_fingerprint AS f
        ) AS u;
    ELSE
        SELECT array_agg(DISTINCT u.cell_key) INTO v_cells FROM unnest(v_cells) AS u (cell_key);
    END IF;
    v_cells := coalesce(v_cells, '{}');
    ANALYZE analytics.cell_week, analytics.week;

    WITH summed AS (
        SELECT
            c.cell_key, max(c.week) AS last_week, count(*)::integer AS weeks, sum(c.records)::bigint AS records,
            public.sum(w.hours) AS hours,
            analytics._profile(
                public.sum(c.load), public.sum(w.hours), sum(c.attempts)::bigint, sum(c.failed)::bigint,
                sum(c.answered)::bigint, sum(c.dropped)::bigint, sum(c.connections)::bigint,
                sum(c.drops)::bigint, sum(c.latency_us_sum)::bigint, sum(c.latency_samples)::bigint
            ) AS fingerprint
        FROM analytics.cell_week AS c
        INNER JOIN analytics.week AS w ON c.week = w.week
        WHERE c.cell_key = ANY (v_cells) AND c.week > v_newest - 7 * v_weeks
        GROUP BY c.cell_key
        HAVING sum(c.records) >= v_least
    ),
    gone AS (
        DELETE FROM analytics.cell_fingerprint AS f
        WHERE f.cell_key = ANY (v_cells) AND NOT EXISTS (SELECT FROM summed AS s WHERE s.cell_key = f.cell_key)
    )
    INSERT INTO analytics.cell_fingerprint AS f
    (cell_key, fingerprint, last_week, weeks, slots, records, built_at)
    SELECT
        s.cell_key, s.fingerprint, s.last_week, s.weeks,
        (SELECT count(*) FILTER (WHERE h.hours > 0) FROM unnest(s.hours::real[]) AS h (hours)), s.records,
        clock_timestamp()
    FROM summed AS s
    WHERE s.fingerprint IS NOT NULL
    ON CONFLICT (cell_key) DO UPDATE
    SET
        fingerprint = excluded.fingerprint, last_week = excluded.last_week, weeks = excluded.weeks,
        slots = excluded.slots, records = excluded.records, built_at = excluded.built_at;
    GET DIAGNOSTICS o_rows = ROW_COUNT;

    -- Drift: the newest week that has nearly all its hours, against the weeks before it.
    SELECT max(w.week) INTO v_whole FROM analytics.week AS w WHERE w.slots >= 144;
    WITH part AS (
        SELECT
            c.cell_key, c.week = v_whole AS is_new, count(*)::integer AS weeks, sum(c.records)::bigint AS records,
            analytics._profile(
                public.sum(c.load), public.sum(w.hours), sum(c.attempts)::bigint, sum(c.failed)::bigint,
                sum(c.answered)::bigint, sum(c.dropped)::bigint, sum(c.connections)::bigint,
                sum(c.drops)::bigint, sum(c.latency_us_sum)::bigint, sum(c.latency_samples)::bigint
            ) AS profile
        FROM analytics.cell_week AS c
        INNER JOIN analytics.week AS w ON c.week = w.week
        WHERE c.cell_key = ANY (v_cells) AND c.week <= v_whole AND c.week > v_whole - 7 * (v_weeks + 1)
        GROUP BY c.cell_key, is_new
        HAVING sum(c.records) >= v_least
    ),
    pair AS (
        SELECT
            n.cell_key, n.records, p.records AS past_records, p.weeks AS past_weeks,
            public.l2_distance(n.profile, p.profile) AS distance,
            -- A root of a count varies by 1/4, whatever the count; lending to the neighbours leaves 3/8 of it.
            sqrt(168 / 4.0 * 3 / 8 * (1.0 / n.records + 1.0 / p.records)) AS by_chance
        FROM part AS n
        INNER JOIN part AS p ON n.cell_key = p.cell_key AND n.is_new AND NOT p.is_new
    ),
    gone AS (
        DELETE FROM analytics.cell_drift AS d
        WHERE d.week = v_whole AND d.cell_key = ANY (v_cells)
            AND NOT EXISTS (SELECT FROM pair AS p WHERE p.cell_key = d.cell_key)
    )
    INSERT INTO analytics.cell_drift AS d
    (week, cell_key, distance, by_chance, records, past_records, past_weeks, built_at)
    SELECT
        v_whole, p.cell_key, p.distance, p.by_chance, p.records, p.past_records, p.past_weeks, clock_timestamp()
    FROM pair AS p
    WHERE p.distance IS NOT NULL
    ON CONFLICT (cell_key, week) DO UPDATE
    SET
        distance = excluded.distance, by_chance = excluded.by_chance, records = excluded.records,
        past_records = excluded.past_records, past_weeks = excluded.past_weeks, built_at = excluded.built_at;
    ANALYZE analytics.cell_fingerprint, analytics.cell_drift;

    -- How alone each is. Of a cell that has not changed this stays as it was when it last did.
    UPDATE analytics.cell_fingerprint AS f
    SET peer_distance = n.distance
    FROM unnest(v_cells) AS u (cell_key)
    CROSS JOIN LATERAL (SELECT o.fingerprint FROM analytics.cell_fingerprint AS o WHERE o.cell_key = u.cell_key) AS o
    CROSS JOIN LATERAL (
        SELECT avg(p.distance) AS distance
        FROM (
            SELECT c.cell_key, c.fingerprint OPERATOR (public.<->) o.fingerprint AS distance
            FROM analytics.cell_fingerprint AS c
            ORDER BY c.fingerprint OPERATOR (public.<->) o.fingerprint
            LIMIT 6
        ) AS p
        WHERE p.cell_key <> u.cell_key
    ) AS n
    WHERE f.cell_key = u.cell_key AND f.peer_distance IS DISTINCT FROM n.distance;

    SELECT count(*) INTO v_drifting
    FROM analytics.cell_drift AS d
    WHERE d.week = v_whole AND d.distance > 2 * d.by_chance AND d.distance > 0.15;
    o_result := format(
        '%s weeks of Gold read, %s fingerprints made of %s cells; %s drifting in the week of %s',
        coalesce(cardinality(v_stale), 0), o_rows, cardinality(v_cells), v_drifting, coalesce(v_whole::text, '-')
    );
END
$$;
COMMENT ON FUNCTION analytics.build_cell_fingerprints() IS
'Brings fingerprints and drift of cells up to date with Gold';
REVOKE ALL ON FUNCTION analytics.build_cell_fingerprints() FROM PUBLIC;
