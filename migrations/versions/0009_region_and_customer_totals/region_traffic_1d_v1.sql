SELECT
    public.time_bucket('1 day', bucket, '@time_zone@') AS bucket,
    region_key,
    record_type,
    currency,
    sum(attempts)::bigint AS attempts,
    sum(answered)::bigint AS answered,
    sum(failed)::bigint AS failed,
    sum(dropped)::bigint AS dropped,
    sum(busy)::bigint AS busy,
    sum(no_answer)::bigint AS no_answer,
    sum(seconds)::bigint AS seconds,
    sum(bytes_up)::bigint AS bytes_up,
    sum(bytes_down)::bigint AS bytes_down,
    sum(charge_micro)::bigint AS charge_micro
FROM rollup.cell_traffic_5m_v1
WHERE true
GROUP BY 1, 2, 3, 4
