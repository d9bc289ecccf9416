CREATE OR REPLACE VIEW gold.churn_risk AS
SELECT
    s.week,
    s.subscriber_id,
    s.risk,
    m.horizon_weeks,
    m.features,
    s.contributions,
    s.version,
    s.built_at
FROM analytics.churn_score AS s
INNER JOIN analytics.churn_model AS m ON s.version = m.version;
COMMENT ON VIEW gold.churn_risk IS
'Risk of churn per customer and whole week, and what it comes from; for campaigns, not for decisions about '
'a person, see docs/churn-model-card.md';
COMMENT ON COLUMN gold.churn_risk.week IS 'Monday of the week at whose end it was worked out';
COMMENT ON COLUMN gold.churn_risk.subscriber_id IS 'Surrogate of the subscriber';
COMMENT ON COLUMN gold.churn_risk.risk IS 'Probability of no record in the weeks of the horizon, 0 to 1';
COMMENT ON COLUMN gold.churn_risk.horizon_weeks IS 'How many weeks that are';
COMMENT ON COLUMN gold.churn_risk.features IS 'What it is worked out from';
COMMENT ON COLUMN gold.churn_risk.contributions IS
'What each of the features adds to the log-odds over the mean customer';
COMMENT ON COLUMN gold.churn_risk.version IS 'Model, see gold.churn_model';
COMMENT ON COLUMN gold.churn_risk.built_at IS 'When it was worked out';
GRANT SELECT ON gold.churn_risk TO telestream_loader, telestream_api, telestream_analyst, telestream_privacy;
