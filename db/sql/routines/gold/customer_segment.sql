CREATE OR REPLACE VIEW gold.customer_segment AS
SELECT
    s.week,
    s.subscriber_id,
    s.segment,
    s.recency_days,
    s.active_days,
    s.charge_micro * 0.000001 AS charge,
    nullif(s.currency, '') AS currency,
    s.recency_score,
    s.frequency_score,
    s.monetary_score,
    s.built_at
FROM analytics.customer_segment AS s;
COMMENT ON VIEW gold.customer_segment IS
'Segment of each customer at the end of each whole week, by recency, frequency and monetary value';
COMMENT ON COLUMN gold.customer_segment.week IS 'Monday of the week; filter on it for speed';
COMMENT ON COLUMN gold.customer_segment.subscriber_id IS 'Surrogate of the subscriber';
COMMENT ON COLUMN gold.customer_segment.segment IS
'champion, loyal, occasional, new, at_risk, hibernating or lost, see docs/analytics.md';
COMMENT ON COLUMN gold.customer_segment.recency_days IS
'Days from the last one with a record to the end of the week';
COMMENT ON COLUMN gold.customer_segment.active_days IS 'Days with a record in the twelve weeks up to it';
COMMENT ON COLUMN gold.customer_segment.charge IS 'Charge of these weeks in currency';
COMMENT ON COLUMN gold.customer_segment.currency IS 'ISO 4217 code, that of most records; null: none has one';
COMMENT ON COLUMN gold.customer_segment.recency_score IS 'Fifth among all customers; 5: was there last';
COMMENT ON COLUMN gold.customer_segment.frequency_score IS 'Fifth among all; 5: most active days';
COMMENT ON COLUMN gold.customer_segment.monetary_score IS
'Fifth among those with the same currency; 5: pays most';
COMMENT ON COLUMN gold.customer_segment.built_at IS 'When it was worked out';
GRANT SELECT ON gold.customer_segment
TO telestream_loader, telestream_api, telestream_analyst, telestream_privacy;
