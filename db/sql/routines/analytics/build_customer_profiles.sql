-- requires: analytics/_take_customer_week.sql, analytics/_segment_week.sql, analytics/_behaviour.sql
-- Brings weeks, segments and behaviour of customers up to date with Gold: reads the weeks that were
-- refreshed since, and makes anew what stands on one that has changed. Segments are those of whole weeks, of
-- which the three newest can still change; older ones are history. Work and memory are bounded by the weeks
-- kept, not by the facts. Returns the rows written and what came of it.
CREATE OR REPLACE FUNCTION analytics.build_customer_profiles(OUT o_rows bigint, OUT o_result text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '128MB'
AS $$
DECLARE
    v_zone text := (SELECT s.value FROM ops.setting AS s WHERE s.name = 'time_zone');
    v_kept integer := (SELECT s.value::integer FROM ops.setting AS s WHERE s.name = 'customer_weeks');
    v_history integer := (SELECT s.value::integer FROM ops.setting AS s WHERE s.name = 'customer_history');
    v_stale date[];
    v_newest date;
    v_whole date;
    v_whole_before date := (SELECT max(s.week) FROM analytics.customer_segment AS s);
    v_week date;
    v_changed bigint;
    v_first_changed date;
    v_segments bigint := 0;
    v_profiles bigint := 0;
BEGIN
    -- Not while a person is forgotten, who would be written again.
    PERFORM pg_advisory_xact_lock(7301019);
    -- A mark that comes meanwhile is another transaction's and stays for the next run.
    WITH taken AS (DELETE FROM analytics.stale_customer_week AS s RETURNING s.week)
    SELECT array_agg(DISTINCT t.week ORDER BY t.week) INTO v_stale FROM taken AS t;
    SELECT date_trunc('week', u.bucket AT TIME ZONE v_zone)::date,
        -- A week is whole when there is something of its Sunday, or of a day after it.
        date_trunc('week', (u.bucket AT TIME ZONE v_zone) + interval '1 day')::date - 7
    INTO v_newest, v_whole
    FROM rollup.customer_usage_1d AS u
    ORDER BY u.bucket DESC
    LIMIT 1;
    FOREACH v_week IN ARRAY coalesce(v_stale, '{}') LOOP
        CONTINUE WHEN v_week <= v_newest - 7 * v_kept;
        v_changed := analytics._take_customer_week(v_week);
        IF v_changed > 0 THEN
            v_first_changed := coalesce(v_first_changed, v_week);
        END IF;
    END LOOP;
    DELETE FROM analytics.customer_week AS c WHERE c.week <= v_newest - 7 * v_kept;
    -- A week that has lost its end, to an erasure, is no whole one any more.
    DELETE FROM analytics.customer_segment AS s WHERE s.week <= v_newest - 7 * v_history OR s.week > v_whole;
    ANALYZE analytics.customer_week;

    -- A week that has changed is in the windows of the twelve from it on.
    FOR v_week IN
        SELECT w.week::date
        FROM generate_series(v_whole - 14, v_whole, interval '7 days') AS w (week)
        WHERE (w.week::date >= v_first_changed OR w.week::date > coalesce(v_whole_before, '-infinity'))
            AND w.week::date >= (SELECT min(c.week) FROM analytics.customer_week AS c)
        ORDER BY w.week
    LOOP
        v_segments := v_segments + analytics._segment_week(v_week);
    END LOOP;
    ANALYZE analytics.customer_segment;

    -- Behaviour: of the six newest weeks, whole or not.
    IF v_first_changed IS NOT NULL THEN
        WITH made AS (
            SELECT
                c.subscriber_id, max(c.week) AS last_week, count(*)::integer AS weeks, sum(c.events)::bigint AS events,
                analytics._behaviour(
                    public.sum(c.usage), count(*)::integer, sum(c.voice_s)::bigint, sum(c.messages)::bigint,
                    sum(c.bytes)::bigint
                ) AS profile
            FROM analytics.customer_week AS c
            WHERE c.week > v_newest - 42
            GROUP BY c.subscriber_id
        ),
        gone AS (
            DELETE FROM analytics.customer_profile AS o
            WHERE NOT EXISTS (SELECT FROM made AS m WHERE m.subscriber_id = o.subscriber_id)
        )
        INSERT INTO analytics.customer_profile AS o (subscriber_id, profile, last_week, weeks, events, built_at)
        SELECT m.subscriber_id, m.profile, m.last_week, m.weeks, m.events, clock_timestamp()
        FROM made AS m
        ON CONFLICT (subscriber_id) DO UPDATE
        SET
            profile = excluded.profile, last_week = excluded.last_week, weeks = excluded.weeks,
            events = excluded.events, built_at = excluded.built_at
        WHERE o.profile OPERATOR (public.<>) excluded.profile
            OR (o.last_week, o.weeks, o.events) <> (excluded.last_week, excluded.weeks, excluded.events);
        GET DIAGNOSTICS v_profiles = ROW_COUNT;
        ANALYZE analytics.customer_profile;
    END IF;
    o_rows := v_segments + v_profiles;
    o_result := format(
        '%s weeks of Gold read, %s segments and %s profiles written; the newest whole week is that of %s',
        coalesce(cardinality(v_stale), 0), v_segments, v_profiles,
        coalesce((SELECT max(s.week) FROM analytics.customer_segment AS s)::text, '-')
    );
END
$$;
COMMENT ON FUNCTION analytics.build_customer_profiles() IS
'Brings weeks, segments and behaviour of customers up to date with Gold';
REVOKE ALL ON FUNCTION analytics.build_customer_profiles() FROM PUBLIC;
