-- Gives the CDRs of one UTC day the version of the customer that their number led to when they began, as far
-- as silver.customer_rekey says up to p_upto that it is another one; and the customer's plan where the
-- source named none. Marks the days of Gold whose plan may have changed. p_from says where to look for the
-- day; returns where to look for the next one, null at the end. Doing it twice is harmless.
CREATE OR REPLACE FUNCTION silver.rekey_slice(p_upto bigint, p_from timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '128MB'
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_end timestamptz;
    v_lo timestamptz;
    v_hi timestamptz;
    v_buckets timestamptz[];
    -- Before it Gold is final, and days may have left Silver.
    v_final timestamptz := (SELECT h.kept_from FROM ops.horizon AS h WHERE h.dataset = 'cdr');
    v_mark bigint := nextval(pg_get_serial_sequence('ops.batch', 'batch_id'));
BEGIN
    SELECT max(coalesce(upper(k.spans), 'infinity')) INTO v_end FROM silver.customer_rekey AS k WHERE k.rekey_id <= p_upto;
    SELECT f.started_at INTO v_lo
    FROM silver.fact_cdr AS f
    WHERE f.started_at >= greatest(p_from, v_final) AND f.started_at < v_end
    ORDER BY f.started_at
    LIMIT 1;
    IF v_lo IS NULL THEN
        RETURN NULL;
    END IF;
    v_lo := date_trunc('day', v_lo, 'UTC');
    v_hi := v_lo + interval '1 day';
    v_lo := greatest(v_lo, v_final);
    IF current_setting('timescaledb.license') = 'timescale' THEN
        -- Else a chunk that was compressed meanwhile sets a limit to what one statement may change.
        PERFORM set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true);
    END IF;

    WITH asked AS MATERIALIZED (
        SELECT
            k.subscriber_id,
            range_agg(k.spans) * multirange(tstzrange(v_lo, v_hi)) AS spans
        FROM silver.customer_rekey AS k
        WHERE k.rekey_id <= p_upto AND k.spans && tstzrange(v_lo, v_hi)
        GROUP BY k.subscriber_id
    ),
    held AS MATERIALIZED (
        SELECT a.subscriber_id, d.customer_key, d.plan_key, d.holds * a.spans AS spans
        FROM asked AS a
        INNER JOIN silver.dim_customer AS d ON a.subscriber_id = d.subscriber_id
        WHERE d.holds && a.spans
    ),
    answer AS (
        SELECT h.subscriber_id, h.customer_key, h.plan_key, h.spans FROM held AS h
        UNION ALL
        -- Where nobody holds the number any more.
        SELECT a.subscriber_id, 0, 0, a.spans - coalesce(t.spans, '{}')
        FROM asked AS a
        LEFT JOIN (
            SELECT h.subscriber_id, range_agg(h.spans) AS spans FROM held AS h GROUP BY h.subscriber_id
        ) AS t ON a.subscriber_id = t.subscriber_id
    ),
    span AS MATERIALIZED (
        SELECT a.subscriber_id, a.customer_key, a.plan_key, lower(u.span) AS lo, upper(u.span) AS hi
        FROM answer AS a
        CROSS JOIN LATERAL unnest(a.spans) AS u (span)
    ),
    moved AS (
        UPDATE silver.fact_cdr AS f
        SET
            customer_key = s.customer_key,
            plan_key = CASE WHEN f.is_plan_of_customer OR f.plan_key = 0 THEN s.plan_key ELSE f.plan_key END,
            is_plan_of_customer = (f.is_plan_of_customer OR f.plan_key = 0) AND s.plan_key <> 0
        FROM span AS s
        WHERE f.started_at >= v_lo AND f.started_at < v_hi
            AND f.subscriber_id = s.subscriber_id AND f.started_at >= s.lo AND f.started_at < s.hi
            AND (
                f.customer_key <> s.customer_key
                OR ((f.is_plan_of_customer OR f.plan_key = 0) AND f.plan_key <> s.plan_key)
            )
        RETURNING f.started_at, f.is_plan_of_customer OR f.plan_key = 0 AS is_plan_touched
    )
    SELECT array_agg(DISTINCT public.time_bucket('5 minutes', m.started_at)) FILTER (WHERE m.is_plan_touched)
    INTO v_buckets
    FROM moved AS m;

    -- Under an id of its own: a refresh under way takes off only the marks that it has seen.
    INSERT INTO rollup.pending (rollup_name, bucket, batch_id)
    SELECT DISTINCT
        r.rollup_name,
        CASE
            WHEN r.is_calendar
                THEN public.time_bucket(
                    r.grain, u.bucket, (SELECT z.value FROM ops.setting AS z WHERE z.name = 'time_zone')
                )
            ELSE public.time_bucket(r.grain, u.bucket)
        END,
        v_mark
    FROM unnest(v_buckets) AS u (bucket)
    CROSS JOIN rollup.definition AS r
    WHERE r.source = 'silver.fact_cdr' AND r.select_sql ~ '\mplan_key\M';
    RETURN v_hi;
END
$$;
COMMENT ON FUNCTION silver.rekey_slice(bigint, timestamptz) IS
'Points the CDRs of one day to the versions of customers that hold now';
REVOKE ALL ON FUNCTION silver.rekey_slice(bigint, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION silver.rekey_slice(bigint, timestamptz) TO telestream_loader;
