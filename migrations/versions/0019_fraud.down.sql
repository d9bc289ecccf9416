DELETE FROM analytics.run
WHERE task = 'fraud';
DELETE FROM analytics.task
WHERE task = 'fraud';
DELETE FROM ops.pii_class
WHERE schema_name = 'analytics' AND table_name LIKE 'fraud\_%';
DELETE FROM ops.setting
WHERE name = 'fraud_horizon';
DROP TABLE analytics.fraud_progress;
DROP TABLE analytics.fraud_batch;
DROP TABLE analytics.fraud_first_seen;
DROP TABLE analytics.fraud_evidence;
DROP TABLE analytics.fraud_case;
DROP TABLE analytics.fraud_threshold;
DROP TABLE analytics.fraud_rule;
