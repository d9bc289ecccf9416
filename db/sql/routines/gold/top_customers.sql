-- The customers with the largest totals over [p_from, p_to), exactly, without adding up all of them. Each day
-- and currency is a list that an index gives in order. Of each list the first rows are read. Who is in none
-- of them has at most the sum of the last values read, so once p_first totals are above that sum nobody is
-- missing; else more is read, and in the end all. Totals themselves come from rollup.customer_usage_1d.
-- p_by: events, seconds, bytes or charge_micro; charges are ranked per currency, in millionths.
CREATE OR REPLACE FUNCTION gold.top_customers(
    p_by text, p_from timestamptz, p_to timestamptz, p_first integer
)
RETURNS TABLE (subscriber_id bigint, currency text, value numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_value constant text := CASE p_by
        WHEN 'events' THEN 'u.events'
        WHEN 'seconds' THEN 'u.seconds'
        WHEN 'bytes' THEN 'u.bytes_up + u.bytes_down'
        WHEN 'charge_micro' THEN 'u.charge_micro'
    END;
    -- What totals are kept apart by.
    v_apart constant text := CASE WHEN p_by = 'charge_micro' THEN '%s.currency' ELSE 'NULL::text' END;
    -- The stored part alone plans in half the time, and has it all if the range ends before the live tail.
    v_totals text := 'rollup.customer_total_1d';
    v_usage text := 'rollup.customer_usage_1d';
    v_depth bigint := CASE WHEN p_to - p_from <= interval '25 hours' THEN 2 ELSE 10 END * greatest(p_first, 50);
    v_proved boolean := false;
    v_subscribers bigint[];
    v_currencies text[];
    v_values numeric[];
BEGIN
    IF v_value IS NULL THEN
        RAISE EXCEPTION 'customers are not ranked by %', p_by USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Choose events, seconds, bytes or charge_micro.';
    END IF;
    IF p_to <= rollup.materialised_to('customer_total_1d') AND p_to <= rollup.materialised_to('customer_usage_1d') THEN
        SELECT v_totals || '_v' || d.version INTO v_totals
        FROM rollup.definition AS d WHERE d.rollup_name = 'customer_total_1d';
        SELECT v_usage || '_v' || d.version INTO v_usage
        FROM rollup.definition AS d WHERE d.rollup_name = 'customer_usage_1d';
    END IF;
    WHILE NOT v_proved AND v_depth <= 20000 LOOP
        EXECUTE format(
            $q$
            WITH RECURSIVE list AS (
                (
                    SELECT t.bucket, t.currency FROM %10$s AS t
                    WHERE t.bucket >= %1$L AND t.bucket < %2$L ORDER BY t.bucket, t.currency LIMIT 1
                )
                UNION ALL
                SELECT n.bucket, n.currency FROM list AS l CROSS JOIN LATERAL (
                    SELECT t.bucket, t.currency FROM %10$s AS t
                    WHERE t.bucket >= l.bucket AND t.bucket < %2$L AND (t.bucket, t.currency) > (l.bucket, l.currency)
                    ORDER BY t.bucket, t.currency LIMIT 1
                ) AS n
            ),
            head AS MATERIALIZED (
                SELECT l.bucket, l.currency, h.subscriber_id, h.value FROM list AS l CROSS JOIN LATERAL (
                    SELECT t.subscriber_id, t.%3$I AS value FROM %10$s AS t
                    WHERE t.bucket = l.bucket AND t.currency = l.currency AND t.subscriber_id <> 0
                    ORDER BY t.%3$I DESC, t.subscriber_id LIMIT %4$s
                ) AS h
            ),
            least AS (
                SELECT h.bucket, h.currency, CASE WHEN count(*) < %4$s THEN 0 ELSE min(h.value) END AS value
                FROM head AS h GROUP BY h.bucket, h.currency
            ),
            bound AS (SELECT %5$s AS apart, sum(l.value) AS value FROM least AS l GROUP BY 1),
            candidate AS (
                SELECT h.subscriber_id, %6$s AS apart, sum(h.value) AS known, sum(l.value) AS counted
                FROM head AS h INNER JOIN least AS l ON h.bucket = l.bucket AND h.currency = l.currency
                GROUP BY 1, 2
            ),
            kept AS MATERIALIZED (
                SELECT c.subscriber_id, c.apart
                FROM candidate AS c INNER JOIN bound AS b ON c.apart IS NOT DISTINCT FROM b.apart
                WHERE c.known + b.value - c.counted >= coalesce(
                    (SELECT d.known FROM candidate AS d ORDER BY d.known DESC OFFSET %7$s LIMIT 1), 0
                )
            ),
            total AS (
                SELECT k.subscriber_id, k.apart, u.value FROM kept AS k CROSS JOIN LATERAL (
                    SELECT sum(%8$s) AS value FROM %11$s AS u
                    WHERE u.subscriber_id = k.subscriber_id AND u.bucket >= %1$L AND u.bucket < %2$L
                        AND (k.apart IS NULL OR coalesce(u.currency, '') = k.apart)
                ) AS u
                ORDER BY u.value DESC NULLS LAST, k.subscriber_id, k.apart LIMIT %9$s
            )
            SELECT
                array_agg(t.subscriber_id ORDER BY t.value DESC, t.subscriber_id, t.apart),
                array_agg(t.apart ORDER BY t.value DESC, t.subscriber_id, t.apart),
                array_agg(t.value ORDER BY t.value DESC, t.subscriber_id, t.apart),
                coalesce((SELECT max(b.value) FROM bound AS b), 0) = 0
                OR count(*) = %9$s AND min(t.value) > (SELECT max(b.value) FROM bound AS b)
            FROM total AS t
            $q$,
            p_from, p_to, p_by, v_depth, format(v_apart, 'l'), format(v_apart, 'h'), p_first - 1, v_value, p_first,
            v_totals, v_usage
        ) INTO v_subscribers, v_currencies, v_values, v_proved;
        v_depth := v_depth * 8;
    END LOOP;
    IF v_proved THEN
        RETURN QUERY SELECT r.s, nullif(r.c, ''), r.v
        FROM unnest(v_subscribers, v_currencies, v_values) AS r (s, c, v);
    ELSE
        RETURN QUERY EXECUTE format(
            'SELECT u.subscriber_id, nullif(%s, ''''), sum(%s) FROM rollup.customer_usage_1d AS u'
            ' WHERE u.bucket >= %L AND u.bucket < %L AND u.subscriber_id <> 0'
            ' GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT %s',
            format(v_apart, 'u'), v_value, p_from, p_to, p_first
        );
    END IF;
END
$$;
COMMENT ON FUNCTION gold.top_customers(text, timestamptz, timestamptz, integer) IS
'The customers with the largest totals of days: by events, seconds, bytes or charge_micro (per currency)';
REVOKE ALL ON FUNCTION gold.top_customers(text, timestamptz, timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gold.top_customers(text, timestamptz, timestamptz, integer)
TO telestream_loader, telestream_api, telestream_analyst, telestream_privacy;
