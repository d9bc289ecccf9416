SET LOCAL ROLE telestream_owner;

ALTER TABLE silver.dim_network_cell ADD COLUMN capacity_erlangs double precision CHECK (capacity_erlangs > 0);
COMMENT ON COLUMN silver.dim_network_cell.capacity_erlangs IS
'Voice traffic the cell can carry in an hour at the blocking its operator accepts, Erlangs; null: not known';

CREATE TABLE analytics.forecast (
    forecast_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    first_day date NOT NULL,
    horizon integer NOT NULL CHECK (horizon > 0),
    history_from date NOT NULL,
    model text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    cells integer,
    CHECK (history_from < first_day)
);
COMMENT ON TABLE analytics.forecast IS 'The versions of the capacity forecast; each run adds one';
COMMENT ON COLUMN analytics.forecast.forecast_id IS 'Key';
COMMENT ON COLUMN analytics.forecast.first_day IS
'First day forecast, in the operator''s time zone: the first that Gold did not have in full';
COMMENT ON COLUMN analytics.forecast.horizon IS 'How many days';
COMMENT ON COLUMN analytics.forecast.history_from IS 'First day of Gold it was made from';
COMMENT ON COLUMN analytics.forecast.model IS 'Model and version of the library';
COMMENT ON COLUMN analytics.forecast.made_at IS 'When its run began';
COMMENT ON COLUMN analytics.forecast.finished_at IS
'When it was complete; null while it is written, or if its run died: readers do not see it';
COMMENT ON COLUMN analytics.forecast.cells IS 'Cells in it';

CREATE TABLE analytics.capacity_forecast (
    forecast_id bigint NOT NULL REFERENCES analytics.forecast ON DELETE CASCADE,
    cell_key integer NOT NULL,
    measure text NOT NULL CHECK (measure IN ('erlangs', 'megabytes')),
    day date NOT NULL,
    horizon integer NOT NULL,
    method text NOT NULL CHECK (method IN ('model', 'seasonal_naive', 'constant', 'not_enough_history')),
    expected double precision,
    lower_80 double precision,
    upper_80 double precision,
    lower_95 double precision,
    upper_95 double precision,
    PRIMARY KEY (forecast_id, cell_key, measure, day),
    CHECK (
        CASE
            WHEN method = 'not_enough_history'
                THEN num_nonnulls(expected, lower_80, upper_80, lower_95, upper_95) = 0
            ELSE
                num_nulls(expected, lower_80, upper_80, lower_95, upper_95) = 0
                AND 0 <= lower_95 AND lower_95 <= lower_80 AND lower_80 <= expected
                AND expected <= upper_80 AND upper_80 <= upper_95 AND upper_95 < 'Infinity'
        END
    )
);
COMMENT ON TABLE analytics.capacity_forecast IS
'Traffic of the busy hour of cells on days to come, every version; Gold shows the newest';
COMMENT ON COLUMN analytics.capacity_forecast.forecast_id IS 'Version';
COMMENT ON COLUMN analytics.capacity_forecast.cell_key IS 'Cell';
COMMENT ON COLUMN analytics.capacity_forecast.measure IS
'erlangs: voice traffic; megabytes: bytes up and down in millions; both of the busiest hour of the day';
COMMENT ON COLUMN analytics.capacity_forecast.day IS 'Day in the operator''s time zone';
COMMENT ON COLUMN analytics.capacity_forecast.horizon IS 'How many days ahead: 1 is the first';
COMMENT ON COLUMN analytics.capacity_forecast.method IS
'model; seasonal_naive: too short or sparse a history for it; constant: the history is; not_enough_history';
COMMENT ON COLUMN analytics.capacity_forecast.expected IS 'Median forecast; null: not enough history';
COMMENT ON COLUMN analytics.capacity_forecast.lower_80 IS 'Lower end of the 80 % prediction interval';
COMMENT ON COLUMN analytics.capacity_forecast.upper_80 IS 'Upper end of the 80 % prediction interval';
COMMENT ON COLUMN analytics.capacity_forecast.lower_95 IS 'Lower end of the 95 % prediction interval';
COMMENT ON COLUMN analytics.capacity_forecast.upper_95 IS 'Upper end of the 95 % prediction interval';

CREATE TABLE analytics.forecast_backtest (
    forecast_id bigint NOT NULL REFERENCES analytics.forecast ON DELETE CASCADE,
    measure text NOT NULL CHECK (measure IN ('erlangs', 'megabytes')),
    horizon integer NOT NULL,
    days integer NOT NULL,
    mase double precision NOT NULL,
    to_naive double precision,
    coverage_80 double precision NOT NULL,
    coverage_95 double precision NOT NULL,
    PRIMARY KEY (forecast_id, measure, horizon)
);
COMMENT ON TABLE analytics.forecast_backtest IS
'How good the model of a version was on the newest days of its history, which it was not shown';
COMMENT ON COLUMN analytics.forecast_backtest.forecast_id IS 'Version';
COMMENT ON COLUMN analytics.forecast_backtest.measure IS 'erlangs or megabytes';
COMMENT ON COLUMN analytics.forecast_backtest.horizon IS 'Days ahead; 0: all together';
COMMENT ON COLUMN analytics.forecast_backtest.days IS 'Days of cells it was held against';
COMMENT ON COLUMN analytics.forecast_backtest.mase IS
'Mean absolute error, each cell''s scaled by the mean change within a week of its history';
COMMENT ON COLUMN analytics.forecast_backtest.to_naive IS
'The same error over that of the seasonal naive forecast of the same days; null: that had none';
COMMENT ON COLUMN analytics.forecast_backtest.coverage_80 IS 'Share of days within the 80 % interval';
COMMENT ON COLUMN analytics.forecast_backtest.coverage_95 IS 'Share of days within the 95 % interval';

ALTER TABLE analytics.task ADD COLUMN runs_in text NOT NULL DEFAULT 'database'
CHECK (runs_in IN ('database', 'process'));
COMMENT ON COLUMN analytics.task.runs_in IS
'database: the schedule of the database runs it; process: telestream analytics run does, from outside';
INSERT INTO analytics.task (task, position, runs_in, description) VALUES
(
    'capacity_forecast', 20, 'process',
    'Traffic of the busy hour of each cell for the next 14 days, tried on the newest 14'
);

INSERT INTO ops.setting (name, value, description) VALUES
('forecast_weeks', '16', 'How many weeks of Gold the capacity forecast is made from'),
('forecast_kept', '30 days', 'Versions of the capacity forecast older than this are dropped');

-- Classes of the columns above, as 0011 keeps them: cells are no persons.
INSERT INTO ops.pii_class (schema_name, table_name, column_name, pii_class)
SELECT
    t.schema_name,
    t.table_name,
    u.column_name,
    'none' AS pii_class
FROM (
    VALUES
    ('silver', 'dim_network_cell', ARRAY['capacity_erlangs']),
    ('analytics', 'task', ARRAY['runs_in']),
    (
        'analytics', 'forecast', ARRAY[
            'forecast_id', 'first_day', 'horizon', 'history_from', 'model', 'made_at', 'finished_at', 'cells'
        ]
    ),
    (
        'analytics', 'capacity_forecast', ARRAY[
            'forecast_id', 'cell_key', 'measure', 'day', 'horizon', 'method', 'expected', 'lower_80',
            'upper_80', 'lower_95', 'upper_95'
        ]
    ),
    (
        'analytics', 'forecast_backtest', ARRAY[
            'forecast_id', 'measure', 'horizon', 'days', 'mase', 'to_naive', 'coverage_80', 'coverage_95'
        ]
    )
) AS t (schema_name, table_name, column_names)
CROSS JOIN LATERAL unnest(t.column_names) AS u (column_name);

RESET ROLE;
