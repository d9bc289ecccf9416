SET LOCAL ROLE telestream_owner;

CREATE TABLE analytics.stale_busy_week (
    week date NOT NULL,
    mark bigint NOT NULL,
    PRIMARY KEY (week, mark)
);
COMMENT ON TABLE analytics.stale_busy_week IS
'Weeks whose hourly Gold was refreshed and whose busy hours have not been taken up yet';
COMMENT ON COLUMN analytics.stale_busy_week.week IS 'Monday in the operator''s time zone';
COMMENT ON COLUMN analytics.stale_busy_week.mark IS
'Transaction that refreshed it: each has a row of its own, so that none waits for another';
INSERT INTO analytics.stale_busy_week (week, mark)
SELECT DISTINCT
    pg_catalog.date_trunc('week', t.bucket AT TIME ZONE s.value)::date AS week,
    0 AS mark
FROM rollup.cell_traffic_1d AS t
CROSS JOIN ops.setting AS s
WHERE s.name = 'time_zone';

CREATE TABLE analytics.busy_hour (
    cell_key integer NOT NULL,
    day date NOT NULL,
    erlangs double precision,
    megabytes double precision,
    PRIMARY KEY (cell_key, day)
);
CREATE INDEX busy_hour_day ON analytics.busy_hour (day);
COMMENT ON TABLE analytics.busy_hour IS
'The fullest hour of each cell and day: what the capacity is forecast from';
COMMENT ON COLUMN analytics.busy_hour.cell_key IS 'Cell';
COMMENT ON COLUMN analytics.busy_hour.day IS 'Day in the operator''s time zone';
COMMENT ON COLUMN analytics.busy_hour.erlangs IS 'Voice traffic of the hour with the most; null: none';
COMMENT ON COLUMN analytics.busy_hour.megabytes IS
'Bytes up and down in millions of the hour with the most; null: none';

INSERT INTO ops.setting (name, value, description) VALUES
('fraud_history', '400 days', 'Cases of fraud are kept this long after they have closed');

-- Classes of the columns above, as 0011 keeps them: cells are no persons.
INSERT INTO ops.pii_class (schema_name, table_name, column_name, pii_class)
SELECT
    'analytics' AS schema_name,
    t.table_name,
    u.column_name,
    'none' AS pii_class
FROM (
    VALUES
    ('stale_busy_week', ARRAY['week', 'mark']),
    ('busy_hour', ARRAY['cell_key', 'day', 'erlangs', 'megabytes'])
) AS t (table_name, column_names)
CROSS JOIN LATERAL unnest(t.column_names) AS u (column_name);

RESET ROLE;
