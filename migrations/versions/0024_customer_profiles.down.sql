SET LOCAL ROLE telestream_owner;

DELETE FROM analytics.run
WHERE task IN ('customer_profile', 'churn');
DELETE FROM analytics.task
WHERE task IN ('customer_profile', 'churn');
DELETE FROM ops.pii_class
WHERE
    schema_name = 'analytics'
    AND table_name IN (
        'stale_customer_week', 'customer_week', 'customer_profile', 'customer_segment', 'churn_model',
        'churn_score'
    );
DELETE FROM ops.setting
WHERE name IN ('customer_weeks', 'customer_history');
DROP TABLE analytics.churn_score;
DROP TABLE analytics.churn_model;
DROP TABLE analytics.customer_segment;
DROP TABLE analytics.customer_profile;
DROP TABLE analytics.customer_week;
DROP TABLE analytics.stale_customer_week;

RESET ROLE;
