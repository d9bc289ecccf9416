DELETE FROM ops.pii_class
WHERE
    (schema_name = 'analytics' AND table_name IN ('forecast', 'capacity_forecast', 'forecast_backtest'))
    OR (schema_name = 'silver' AND table_name = 'dim_network_cell' AND column_name = 'capacity_erlangs');
DELETE FROM ops.setting
WHERE name IN ('forecast_weeks', 'forecast_kept');
DROP TABLE analytics.forecast_backtest;
DROP TABLE analytics.capacity_forecast;
DROP TABLE analytics.forecast;
ALTER TABLE silver.dim_network_cell DROP COLUMN capacity_erlangs;
