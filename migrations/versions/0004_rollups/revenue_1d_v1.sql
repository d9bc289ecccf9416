SELECT
    public.time_bucket('1 day', started_at, '{time_zone}') AS bucket,
    region_key,
    plan_key,
    record_type,
    currency,
    count(*) AS events,
    sum(coalesce(charge_micro, 0))::bigint AS charge_micro
FROM silver.fact_cdr
WHERE true
GROUP BY 1, 2, 3, 4, 5
