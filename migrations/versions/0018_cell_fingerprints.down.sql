DELETE FROM ops.pii_class
WHERE
    schema_name = 'analytics'
    AND table_name IN ('task', 'run', 'stale_week', 'week', 'cell_week', 'cell_fingerprint', 'cell_drift');
DROP INDEX silver.dim_network_cell_earth;
DELETE FROM ops.setting
WHERE name IN ('fingerprint_weeks', 'fingerprint_min_records', 'fingerprint_history');
DROP TABLE analytics.cell_drift;
DROP TABLE analytics.cell_fingerprint;
DROP TABLE analytics.cell_week;
DROP TABLE analytics.week;
DROP TABLE analytics.stale_week;
DROP TABLE analytics.run;
DROP TABLE analytics.task;
