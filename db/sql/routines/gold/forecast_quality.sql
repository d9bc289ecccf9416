CREATE OR REPLACE VIEW gold.forecast_quality AS
SELECT
    v.made_at,
    v.first_day,
    v.model,
    b.measure,
    b.horizon,
    b.days,
    b.mase,
    b.to_naive,
    b.coverage_80,
    b.coverage_95,
    v.forecast_id
FROM analytics.forecast_backtest AS b
INNER JOIN analytics.forecast AS v ON b.forecast_id = v.forecast_id;
COMMENT ON VIEW gold.forecast_quality IS
'How good the model of each capacity forecast was on the newest days of its history, which it was not shown';
COMMENT ON COLUMN gold.forecast_quality.made_at IS 'When the run of the forecast began';
COMMENT ON COLUMN gold.forecast_quality.first_day IS 'First day it forecasts';
COMMENT ON COLUMN gold.forecast_quality.model IS 'Model and version of the library';
COMMENT ON COLUMN gold.forecast_quality.measure IS 'erlangs or megabytes';
COMMENT ON COLUMN gold.forecast_quality.horizon IS 'Days ahead; 0: all together';
COMMENT ON COLUMN gold.forecast_quality.days IS 'Days of cells it was held against';
COMMENT ON COLUMN gold.forecast_quality.mase IS
'Mean absolute error, each cell''s scaled by the mean change within a week of its history';
COMMENT ON COLUMN gold.forecast_quality.to_naive IS
'The same error over that of the seasonal naive forecast; below 1 is better than "as last week"';
COMMENT ON COLUMN gold.forecast_quality.coverage_80 IS 'Share of days within the 80 % interval';
COMMENT ON COLUMN gold.forecast_quality.coverage_95 IS 'Share of days within the 95 % interval';
COMMENT ON COLUMN gold.forecast_quality.forecast_id IS 'Version';
GRANT SELECT ON gold.forecast_quality
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
