SELECT
    public.time_bucket('1 day', bucket, '@time_zone@') AS bucket,
    subscriber_id,
    coalesce(currency, '') AS currency,
    sum(events)::bigint AS events,
    sum(seconds)::bigint AS seconds,
    sum(bytes_up + bytes_down)::bigint AS bytes,
    sum(charge_micro)::bigint AS charge_micro
FROM rollup.customer_usage_1d_v1
WHERE true
GROUP BY 1, 2, 3
