-- Reads one week of usage from Gold anew, of customers that the vault still knows: an erased person leaves
-- usage behind that leads to nobody, and no profile. Returns how many customers differ from before.
CREATE OR REPLACE FUNCTION analytics._take_customer_week(p_week date)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '128MB'
AS $$
DECLARE
    v_zone text := (SELECT s.value FROM ops.setting AS s WHERE s.name = 'time_zone');
    v_from timestamptz := p_week::timestamp AT TIME ZONE v_zone;
    v_to timestamptz := (p_week + 7)::timestamp AT TIME ZONE v_zone;
    v_changed bigint;
BEGIN
    WITH day AS (
        SELECT
            u.subscriber_id, (u.bucket AT TIME ZONE v_zone)::date AS day,
            CASE u.record_type WHEN 'voice' THEN 1 WHEN 'data' THEN 3 WHEN 'other' THEN 0 ELSE 2 END AS kind,
            sum(u.events) AS events, sum(u.seconds) AS seconds, sum(u.bytes_up + u.bytes_down) AS bytes
        FROM rollup.customer_usage_1d AS u
        WHERE u.bucket >= v_from AND u.bucket < v_to AND u.subscriber_id <> 0
        GROUP BY 1, 2, 3
    ),
    week AS (
        SELECT
            d.subscriber_id, count(DISTINCT d.day)::smallint AS active_days, max(d.day) AS last_day,
            (
                '{' || coalesce(string_agg(((d.day - p_week) * 3 + d.kind) || ':' || d.events, ',')
                    FILTER (WHERE d.kind > 0), '') || '}/21'
            )::public.sparsevec::public.vector AS usage,
            sum(d.events)::bigint AS events,
            coalesce(sum(d.seconds) FILTER (WHERE d.kind = 1), 0)::bigint AS voice_s,
            coalesce(sum(d.events) FILTER (WHERE d.kind = 2), 0)::bigint AS messages,
            sum(d.bytes)::bigint AS bytes
        FROM day AS d
        GROUP BY d.subscriber_id
    ),
    -- Amounts of different currencies cannot be added up.
    paid AS (
        SELECT DISTINCT ON (c.subscriber_id) c.subscriber_id, c.currency, c.charge_micro
        FROM (
            SELECT
                u.subscriber_id, coalesce(u.currency, '') AS currency, sum(u.events) AS events,
                sum(u.charge_micro)::bigint AS charge_micro
            FROM rollup.customer_usage_1d AS u
            WHERE u.bucket >= v_from AND u.bucket < v_to AND u.subscriber_id <> 0
            GROUP BY 1, 2
        ) AS c
        ORDER BY c.subscriber_id, (c.currency <> '') DESC, c.events DESC, c.currency
    ),
    found AS (
        SELECT w.*, p.currency, p.charge_micro
        FROM week AS w
        INNER JOIN paid AS p ON w.subscriber_id = p.subscriber_id
        WHERE EXISTS (SELECT FROM vault.subscriber AS v WHERE v.subscriber_id = w.subscriber_id)
    ),
    gone AS (
        DELETE FROM analytics.customer_week AS o
        WHERE o.week = p_week AND NOT EXISTS (SELECT FROM found AS f WHERE f.subscriber_id = o.subscriber_id)
        RETURNING 1
    ),
    written AS (
        INSERT INTO analytics.customer_week AS o
        (
            week, subscriber_id, active_days, last_day, usage, events, voice_s, messages, bytes, currency,
            charge_micro
        )
        SELECT
            p_week, f.subscriber_id, f.active_days, f.last_day, f.usage, f.events, f.voice_s, f.messages, f.bytes,
            f.currency, f.charge_micro
        FROM found AS f
        ON CONFLICT (subscriber_id, week) DO UPDATE
        SET
            active_days = excluded.active_days, last_day = excluded.last_day, usage = excluded.usage,
            events = excluded.events, voice_s = excluded.voice_s, messages = excluded.messages,
            bytes = excluded.bytes, currency = excluded.currency, charge_micro = excluded.charge_micro
        WHERE o.usage OPERATOR (public.<>) excluded.usage
            OR (o.active_days, o.last_day, o.events, o.voice_s, o.messages, o.bytes, o.currency, o.charge_micro)
            <> (
                excluded.active_days, excluded.last_day, excluded.events, excluded.voice_s, excluded.messages,
                excluded.bytes, excluded.currency, excluded.charge_micro
            )
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM written) INTO v_changed;
    RETURN v_changed;
END
$$;
COMMENT ON FUNCTION analytics._take_customer_week(date) IS
'Reads one week of usage into analytics.customer_week';
REVOKE ALL ON FUNCTION analytics._take_customer_week(date) FROM PUBLIC;
