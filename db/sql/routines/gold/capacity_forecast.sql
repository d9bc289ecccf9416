-- The newest complete version: one that is being written, or whose run died, does not show.
CREATE OR REPLACE VIEW gold.capacity_forecast AS
SELECT
    f.day,
    c.cell_id,
    c.name AS cell_name,
    r.region_code,
    f.measure,
    f.horizon,
    f.method,
    f.expected,
    f.lower_80,
    f.upper_80,
    f.lower_95,
    f.upper_95,
    CASE WHEN f.measure = 'erlangs' THEN c.capacity_erlangs END AS capacity_erlangs,
    v.made_at,
    v.model,
    f.forecast_id,
    f.cell_key,
    c.region_key
FROM analytics.capacity_forecast AS f
INNER JOIN analytics.forecast AS v ON f.forecast_id = v.forecast_id
INNER JOIN silver.dim_network_cell AS c ON f.cell_key = c.cell_key
INNER JOIN silver.dim_region AS r ON c.region_key = r.region_key
WHERE
    f.forecast_id = (
        SELECT n.forecast_id FROM analytics.forecast AS n
        WHERE n.finished_at IS NOT NULL
        ORDER BY n.forecast_id DESC
        LIMIT 1
    );
COMMENT ON VIEW gold.capacity_forecast IS
'Traffic of the busy hour of each cell on the days to come, newest forecast, made from hourly Gold';
COMMENT ON COLUMN gold.capacity_forecast.day IS 'Day in the operator''s time zone';
COMMENT ON COLUMN gold.capacity_forecast.cell_id IS 'Cell as sources write it';
COMMENT ON COLUMN gold.capacity_forecast.cell_name IS 'Cell for people';
COMMENT ON COLUMN gold.capacity_forecast.region_code IS 'Region of the cell';
COMMENT ON COLUMN gold.capacity_forecast.measure IS
'erlangs: voice traffic; megabytes: bytes up and down in millions; both of the busiest hour of the day';
COMMENT ON COLUMN gold.capacity_forecast.horizon IS 'How many days ahead: 1 is the first';
COMMENT ON COLUMN gold.capacity_forecast.method IS
'model; seasonal_naive: too short or sparse a history for it; constant: the history is; '
'not_enough_history: no forecast';
COMMENT ON COLUMN gold.capacity_forecast.expected IS 'Median forecast; null: not enough history';
COMMENT ON COLUMN gold.capacity_forecast.lower_80 IS 'Lower end of the 80 % prediction interval';
COMMENT ON COLUMN gold.capacity_forecast.upper_80 IS 'Upper end of the 80 % prediction interval';
COMMENT ON COLUMN gold.capacity_forecast.lower_95 IS 'Lower end of the 95 % prediction interval';
COMMENT ON COLUMN gold.capacity_forecast.upper_95 IS 'Upper end of the 95 % prediction interval';
COMMENT ON COLUMN gold.capacity_forecast.capacity_erlangs IS
'What the cell can carry, for erlangs; null: not known';
COMMENT ON COLUMN gold.capacity_forecast.made_at IS 'When the run of the forecast began';
COMMENT ON COLUMN gold.capacity_forecast.model IS 'Model and version of the library';
COMMENT ON COLUMN gold.capacity_forecast.forecast_id IS 'Version, see gold.forecast_quality';
COMMENT ON COLUMN gold.capacity_forecast.cell_key IS 'Key of silver.dim_network_cell';
COMMENT ON COLUMN gold.capacity_forecast.region_key IS 'Key of silver.dim_region';
GRANT SELECT ON gold.capacity_forecast
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
