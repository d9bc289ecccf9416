DELETE FROM ops.pii_class
WHERE
    (schema_name = 'analytics' AND table_name IN ('forecast', 'capacity_forecast', 'forecast_backtest'))
    OR (schema_name = 'analytics' AND table_name = 'task' AND column_name = 'runs_in')
    OR (schema_name = 'silver' AND table_name = 'dim_network_cell' AND column_name = 'capacity_erlangs');
DELETE FROM ops.setting
WHERE name IN ('forecast_weeks', 'forecast_kept');
DELETE FROM analytics.run
WHERE task = 'capacity_forecast';
DELETE FROM analytics.task
WHERE task = 'capacity_forecast';
ALTER TABLE analytics.task DROP COLUMN runs_in;
DROP TABLE analytics.forecast_backtest;
DROP TABLE analytics.capacity_forecast;
DROP TABLE analytics.forecast;
ALTER TABLE silver.dim_network_cell DROP COLUMN capacity_erlangs;
