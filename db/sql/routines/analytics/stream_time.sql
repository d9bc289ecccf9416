-- Returns how far the event time of a topic has certainly been read: the latest event time, or, while a
-- partition lags behind its log, what the slowest of those has reached. A live stream that is read to its end
-- and silent is as far as the clock less ops.setting's idle_close, so that a total outage shows.
CREATE OR REPLACE FUNCTION analytics.stream_time(p_incarnation text, p_topic text, p_now timestamptz)
RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN s.unknown > 0 THEN NULL
        WHEN s.lagging > 0 THEN s.slowest_at
        WHEN s.latest_at > p_now - interval '1 hour' THEN greatest(s.latest_at, p_now - s.idle_close)
        ELSE s.latest_at
    END
    FROM (
        SELECT
            count(*) FILTER (WHERE k.next_offset < k.log_end) AS lagging,
            count(*) FILTER (WHERE k.next_offset < k.log_end AND k.event_at IS NULL) AS unknown,
            min(k.event_at) FILTER (WHERE k.next_offset < k.log_end) AS slowest_at,
            max(k.event_at) AS latest_at,
            (SELECT t.value::interval FROM ops.setting AS t WHERE t.name = 'idle_close') AS idle_close
        FROM ops.kafka_offset AS k
        WHERE k.incarnation = p_incarnation AND k.topic = p_topic
    ) AS s
$$;
COMMENT ON FUNCTION analytics.stream_time(text, text, timestamptz) IS
'How far the event time of a topic has certainly been read';
REVOKE ALL ON FUNCTION analytics.stream_time(text, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION analytics.stream_time(text, text, timestamptz) TO telestream_consumer;
