-- The roles stay: they belong to the cluster, and another database may use them.
ALTER TABLE analytics.anomaly DROP COLUMN acknowledge_note;
ALTER TABLE analytics.anomaly DROP COLUMN acknowledged_by;
ALTER TABLE analytics.anomaly DROP COLUMN acknowledged_at;
DROP TABLE audit.access_log;
DROP SCHEMA audit;
DROP TABLE api.persisted_query;
DROP TABLE api.key;
DROP SCHEMA api;
