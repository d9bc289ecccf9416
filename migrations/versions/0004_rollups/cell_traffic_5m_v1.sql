SELECT
    public.time_bucket('5 minutes', started_at) AS bucket,
    cell_key,
    region_key,
    record_type,
    currency,
    count(*) AS attempts,
    count(*) FILTER (WHERE disposition IN ('answered', 'dropped')) AS answered,
    count(*) FILTER (WHERE disposition IN ('failed', 'congestion')) AS failed,
    count(*) FILTER (WHERE disposition = 'dropped') AS dropped,
    count(*) FILTER (WHERE disposition = 'busy') AS busy,
    count(*) FILTER (WHERE disposition = 'no_answer') AS no_answer,
    sum(coalesce(billed_s, duration_s, 0))::bigint AS seconds,
    sum(coalesce(bytes_up, 0))::bigint AS bytes_up,
    sum(coalesce(bytes_down, 0))::bigint AS bytes_down,
    sum(coalesce(charge_micro, 0))::bigint AS charge_micro
FROM silver.fact_cdr
WHERE true
GROUP BY 1, 2, 3, 4, 5
