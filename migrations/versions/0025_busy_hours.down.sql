SET LOCAL ROLE telestream_owner;

DELETE FROM ops.pii_class
WHERE schema_name = 'analytics' AND table_name IN ('stale_busy_week', 'busy_hour');
DELETE FROM ops.setting
WHERE name = 'fraud_history';
DROP TABLE analytics.busy_hour;
DROP TABLE analytics.stale_busy_week;

RESET ROLE;
