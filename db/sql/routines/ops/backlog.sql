-- Returns what waits to be done and since when, for telestream doctor: numbers alone, nothing of any
-- person. The age is null where nothing tells it.
CREATE OR REPLACE FUNCTION ops.backlog()
RETURNS TABLE (what text, items bigint, oldest_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET jit = off
AS $$
DECLARE
    v_hot interval := (SELECT s.value::interval FROM ops.setting AS s WHERE s.name = 'hot_window');
BEGIN
    RETURN QUERY
    SELECT 'buckets to refresh', count(DISTINCT (p.rollup_name, p.bucket)), min(b.finished_at)
    FROM rollup.pending AS p
    LEFT JOIN ops.batch AS b ON p.batch_id = b.batch_id;

    RETURN QUERY
    SELECT 'numbers to carry to facts', count(DISTINCT k.subscriber_id), min(b.finished_at)
    FROM silver.customer_rekey AS k
    LEFT JOIN ops.batch AS b ON k.batch_id = b.batch_id;

    RETURN QUERY
    SELECT 'alerts to send', count(*), min(o.created_at) FROM ops.outbox AS o WHERE o.published_at IS NULL;

    RETURN QUERY
    SELECT 'notifications to send', count(*), min(o.created_at)
    FROM ops.notification AS n
    INNER JOIN ops.outbox AS o ON n.outbox_id = o.outbox_id
    WHERE n.sent_at IS NULL AND n.refused IS NULL;

    RETURN QUERY
    SELECT 'dead letters to send', count(*), min(d.received_at)
    FROM ops.dead_letter AS d
    WHERE d.published_at IS NULL;

    RETURN QUERY
    SELECT 'dead letters of the last day', count(*), min(d.received_at)
    FROM ops.dead_letter AS d
    WHERE d.received_at > now() - interval '1 day';

    RETURN QUERY
    SELECT 'refused records not replayed', count(*), min(q.quarantined_at)
    FROM quality.quarantine AS q
    WHERE q.replayed_at IS NULL;

    RETURN QUERY
    SELECT 'rows of the access log to chain', count(*), min(i.at) FROM audit.access_inbox AS i;

    RETURN QUERY
    SELECT 'archived days not verified', count(*), min(a.written_at)
    FROM ops.archive_day AS a
    WHERE a.state = 'written';

    RETURN QUERY
    SELECT 'days to archive', count(*), min(d.day)::timestamptz
    FROM (
        SELECT DISTINCT substr(c.hypertable_name, 6) AS dataset, g.at::date AS day
        FROM timescaledb_information.chunks AS c
        CROSS JOIN generate_series(
            date_trunc('day', c.range_start), c.range_end - interval '1 microsecond', interval '1 day'
        ) AS g (at)
        WHERE c.hypertable_schema = 'silver' AND c.hypertable_name LIKE 'fact\_%'
            AND g.at + interval '1 day' <= now() - v_hot
    ) AS d
    -- Who never has archived is not asked to.
    WHERE EXISTS (SELECT FROM ops.archive_day AS a WHERE a.dataset = d.dataset)
        AND NOT EXISTS (
            SELECT FROM ops.archive_day AS a WHERE a.dataset = d.dataset AND a.day = d.day AND a.state <> 'written'
        );

    RETURN QUERY
    SELECT 'chunks before the horizon', count(*), min(h.raised_at)
    FROM ops.horizon AS h
    INNER JOIN timescaledb_information.chunks AS c
        ON c.hypertable_schema = 'silver' AND c.hypertable_name = 'fact_' || h.dataset
        AND c.range_end <= h.kept_from;

    RETURN QUERY
    SELECT 'legal holds in force', count(*), min(h.since)
    FROM ops.legal_hold AS h
    WHERE h.since <= now() AND (h.until IS NULL OR h.until > now());
END
$$;
COMMENT ON FUNCTION ops.backlog() IS 'What waits to be done and since when, for telestream doctor';
REVOKE ALL ON FUNCTION ops.backlog() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.backlog() TO telestream_engineer;
