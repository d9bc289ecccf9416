SELECT
    public.time_bucket('1 day', started_at, '{time_zone}') AS bucket,
    subscriber_id,
    plan_key,
    record_type,
    currency,
    count(*) AS events,
    sum(coalesce(billed_s, duration_s, 0))::bigint AS seconds,
    sum(coalesce(bytes_up, 0))::bigint AS bytes_up,
    sum(coalesce(bytes_down, 0))::bigint AS bytes_down,
    sum(coalesce(charge_micro, 0))::bigint AS charge_micro
FROM silver.fact_cdr
WHERE true
GROUP BY 1, 2, 3, 4, 5
