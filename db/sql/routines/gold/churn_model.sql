CREATE OR REPLACE VIEW gold.churn_model AS
SELECT
    m.version,
    m.trained_at,
    m.first_week,
    m.last_week,
    m.horizon_weeks,
    m.customers,
    m.churned,
    m.features,
    m.means,
    m.scales,
    m.coefficients,
    m.held_customers,
    m.auc_held,
    m.later_week,
    m.later_customers,
    m.auc_later
FROM analytics.churn_model AS m;
COMMENT ON VIEW gold.churn_model IS 'Models of churn and how good they were on what they had not seen';
COMMENT ON COLUMN gold.churn_model.version IS 'Key; a retraining is a new version';
COMMENT ON COLUMN gold.churn_model.trained_at IS 'When it was trained';
COMMENT ON COLUMN gold.churn_model.first_week IS 'Monday of the first week it was trained at';
COMMENT ON COLUMN gold.churn_model.last_week IS 'Monday of the last one';
COMMENT ON COLUMN gold.churn_model.horizon_weeks IS 'Churn is no record in so many weeks after the week';
COMMENT ON COLUMN gold.churn_model.customers IS 'Rows it was trained on, one per customer and week';
COMMENT ON COLUMN gold.churn_model.churned IS 'Of these churned';
COMMENT ON COLUMN gold.churn_model.features IS 'Names of the features';
COMMENT ON COLUMN gold.churn_model.means IS 'Mean of each feature in training';
COMMENT ON COLUMN gold.churn_model.scales IS 'Standard deviation of each; 1 where it is constant';
COMMENT ON COLUMN gold.churn_model.coefficients IS
'Intercept, then the weight of each feature less its mean over its scale, on the log-odds';
COMMENT ON COLUMN gold.churn_model.held_customers IS 'Customers, one of five, kept out of the training';
COMMENT ON COLUMN gold.churn_model.auc_held IS
'Area under the ROC curve on them; null: none or all of them churned';
COMMENT ON COLUMN gold.churn_model.later_week IS
'Monday of a later week whose outcome was not known in training; null: too little history';
COMMENT ON COLUMN gold.churn_model.later_customers IS 'Customers kept out, at that week';
COMMENT ON COLUMN gold.churn_model.auc_later IS 'Area under the ROC curve on them at that week';
GRANT SELECT ON gold.churn_model TO telestream_loader, telestream_api, telestream_analyst, telestream_privacy;
