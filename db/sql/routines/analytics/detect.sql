-- requires: analytics/_judge_window.sql, analytics/_build_baseline.sql
-- Judges every 5-minute window that p_stream_time has passed by ops.setting's window_grace and that was not
-- judged before, oldest first; at most p_windows of them. One caller at a time; another returns at once.
-- The first call begins with the window before the one that is open. Returns how many windows were judged
-- and how many anomalies opened.
CREATE OR REPLACE FUNCTION analytics.detect(
    p_stream_time timestamptz, p_windows integer DEFAULT 12, OUT o_windows bigint, OUT o_opened bigint
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_grain constant interval := '5 minutes';
    v_grace interval := (SELECT s.value::interval FROM ops.setting AS s WHERE s.name = 'window_grace');
    v_from timestamptz;
    v_to timestamptz := public.time_bucket('5 minutes', p_stream_time - v_grace);
    v_hour timestamptz;
    v_window timestamptz;
BEGIN
    o_windows := 0;
    o_opened := 0;
    IF p_stream_time IS NULL OR NOT pg_try_advisory_xact_lock(7301007) THEN
        RETURN;
    END IF;
    SELECT coalesce(d.evaluated_to, v_to - v_grain) INTO v_from FROM analytics.detection AS d;
    -- After a long gap only the last windows are news; those before it are history.
    v_window := greatest(v_from, v_to - interval '1 day');
    WHILE v_window < v_to AND o_windows < p_windows LOOP
        v_hour := date_trunc('hour', v_window, 'UTC');
        -- A seasonal baseline holds for its hour; one of the windows just before is made anew for each.
        IF NOT EXISTS (SELECT FROM analytics.baseline AS b WHERE b.hour_at = v_hour)
            OR EXISTS (SELECT FROM analytics.baseline AS b WHERE b.hour_at = v_hour AND NOT b.is_seasonal) THEN
            PERFORM analytics._build_baseline(v_hour, v_window);
        END IF;
        o_opened := o_opened + analytics._judge_window(v_window);
        o_windows := o_windows + 1;
        v_window := v_window + v_grain;
    END LOOP;
    IF o_windows > 0 THEN
        UPDATE analytics.detection AS d SET evaluated_to = v_window
        WHERE d.only_row AND (d.evaluated_to IS NULL OR d.evaluated_to < v_window);
        DELETE FROM analytics.baseline AS b WHERE b.hour_at < v_window - interval '30 days';
    END IF;
END
$$;
COMMENT ON FUNCTION analytics.detect(timestamptz, integer) IS 'Judges the closed windows not yet judged';
REVOKE ALL ON FUNCTION analytics.detect(timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION analytics.detect(timestamptz, integer) TO telestream_consumer;
