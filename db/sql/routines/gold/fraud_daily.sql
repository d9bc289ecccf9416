CREATE OR REPLACE VIEW gold.fraud_daily AS
SELECT
    (date_trunc('day', c.started_at, s.value) AT TIME ZONE s.value)::date AS day,
    c.rule,
    count(*) AS cases,
    count(*) FILTER (WHERE c.closed_at IS NULL) AS open_cases
FROM analytics.fraud_case AS c
CROSS JOIN ops.setting AS s
WHERE s.name = 'time_zone' AND c.merged_into IS NULL
GROUP BY 1, 2;
COMMENT ON VIEW gold.fraud_daily IS
'How many cases of suspected fraud began, per day of the operator and rule';
COMMENT ON COLUMN gold.fraud_daily.day IS 'Day of the operator on which they began';
COMMENT ON COLUMN gold.fraud_daily.rule IS 'Rule, see analytics.fraud_rule';
COMMENT ON COLUMN gold.fraud_daily.cases IS 'Cases, without those that turned out to be part of another';
COMMENT ON COLUMN gold.fraud_daily.open_cases IS 'Of these still open';
GRANT SELECT ON gold.fraud_daily
TO telestream_loader, telestream_api, telestream_analyst, telestream_privacy;
