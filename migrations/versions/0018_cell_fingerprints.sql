SET LOCAL ROLE telestream_owner;

-- Runs ---------------------------------------------------------------------------------------------

CREATE TABLE analytics.task (
    task text PRIMARY KEY,
    position integer NOT NULL UNIQUE,
    is_enabled boolean NOT NULL DEFAULT true,
    description text NOT NULL
);
COMMENT ON TABLE analytics.task IS 'What is worked out from Gold in batches, each night';
COMMENT ON COLUMN analytics.task.task IS 'Name, as telestream analytics run takes it';
COMMENT ON COLUMN analytics.task.position IS 'Order in which the schedule runs them';
COMMENT ON COLUMN analytics.task.is_enabled IS 'False: the schedule leaves it out';
COMMENT ON COLUMN analytics.task.description IS 'What it does, for people';
INSERT INTO analytics.task (task, position, description) VALUES
(
    'cell_fingerprint', 1,
    'Hour-of-week profiles of the cells whose Gold has changed, their drift and how alone they are'
);

CREATE TABLE analytics.run (
    run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task text NOT NULL REFERENCES analytics.task,
    status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'done', 'failed')),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    rows bigint,
    result text
);
CREATE INDEX run_task ON analytics.run (task, run_id);
COMMENT ON TABLE analytics.run IS 'The runs of the tasks';
COMMENT ON COLUMN analytics.run.run_id IS 'Key';
COMMENT ON COLUMN analytics.run.task IS 'What ran';
COMMENT ON COLUMN analytics.run.status IS 'running (or it died with its connection), done, failed';
COMMENT ON COLUMN analytics.run.started_at IS 'When it began';
COMMENT ON COLUMN analytics.run.finished_at IS 'When it ended';
COMMENT ON COLUMN analytics.run.rows IS 'Rows it wrote';
COMMENT ON COLUMN analytics.run.result IS 'What came of it, or the error';

-- Weeks of cells -----------------------------------------------------------------------------------

CREATE TABLE analytics.stale_week (
    week date NOT NULL,
    mark bigint NOT NULL,
    PRIMARY KEY (week, mark)
);
COMMENT ON TABLE analytics.stale_week IS
'Weeks whose Gold was refreshed and that the fingerprints have not taken up yet';
COMMENT ON COLUMN analytics.stale_week.week IS 'Monday in the operator''s time zone';
COMMENT ON COLUMN analytics.stale_week.mark IS
'Transaction that refreshed it: each has a row of its own, so that none waits for another';
INSERT INTO analytics.stale_week (week, mark)
SELECT DISTINCT
    pg_catalog.date_trunc('week', b.bucket AT TIME ZONE s.value)::date AS week,
    0 AS mark
FROM (
    SELECT t.bucket FROM rollup.cell_traffic_1d AS t
    UNION ALL
    SELECT n.bucket FROM rollup.network_1h AS n
) AS b
CROSS JOIN ops.setting AS s
WHERE s.name = 'time_zone';

CREATE TABLE analytics.week (
    week date PRIMARY KEY,
    hours public.vector(168) NOT NULL,
    slots integer NOT NULL
);
COMMENT ON TABLE analytics.week IS 'Which hours of a week Gold has anything of';
COMMENT ON COLUMN analytics.week.week IS 'Monday in the operator''s time zone';
COMMENT ON COLUMN analytics.week.hours IS
'Hours with data, by hour of the local week (first Monday 0:00): 0 or 1; 2 where summer time ends';
COMMENT ON COLUMN analytics.week.slots IS 'How many of the 168 have data';

CREATE TABLE analytics.cell_week (
    week date NOT NULL,
    cell_key integer NOT NULL,
    load public.vector(168) NOT NULL,
    records bigint NOT NULL,
    attempts bigint NOT NULL,
    failed bigint NOT NULL,
    answered bigint NOT NULL,
    dropped bigint NOT NULL,
    connections bigint NOT NULL,
    drops bigint NOT NULL,
    latency_us_sum bigint NOT NULL,
    latency_samples bigint NOT NULL,
    PRIMARY KEY (cell_key, week)
);
CREATE INDEX cell_week_week ON analytics.cell_week (week);
COMMENT ON TABLE analytics.cell_week IS 'A week of a cell: what fingerprints are added up from';
COMMENT ON COLUMN analytics.cell_week.week IS 'Monday in the operator''s time zone';
COMMENT ON COLUMN analytics.cell_week.cell_key IS 'Cell';
COMMENT ON COLUMN analytics.cell_week.load IS
'Records and connections by hour of the local week, the first Monday 0:00';
COMMENT ON COLUMN analytics.cell_week.records IS 'Sum of load';
COMMENT ON COLUMN analytics.cell_week.attempts IS 'Voice call attempts';
COMMENT ON COLUMN analytics.cell_week.failed IS 'Of these failed or congested';
COMMENT ON COLUMN analytics.cell_week.answered IS 'Of these answered';
COMMENT ON COLUMN analytics.cell_week.dropped IS 'Answered calls that were lost';
COMMENT ON COLUMN analytics.cell_week.connections IS 'Attaches, set-ups and handovers';
COMMENT ON COLUMN analytics.cell_week.drops IS 'Lost connections';
COMMENT ON COLUMN analytics.cell_week.latency_us_sum IS 'Sum of round trips, microseconds';
COMMENT ON COLUMN analytics.cell_week.latency_samples IS 'Measurements in it';

-- Fingerprints -------------------------------------------------------------------------------------

CREATE TABLE analytics.cell_fingerprint (
    cell_key integer PRIMARY KEY,
    fingerprint public.vector(172) NOT NULL,
    last_week date NOT NULL,
    weeks integer NOT NULL,
    slots integer NOT NULL,
    records bigint NOT NULL,
    peer_distance double precision,
    built_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX cell_fingerprint_nearest ON analytics.cell_fingerprint
USING hnsw (fingerprint public.vector_l2_ops) WITH (m = 16, ef_construction = 128);
COMMENT ON TABLE analytics.cell_fingerprint IS
'How the load of a cell is spread over the week, and its quality; cells with too little have none';
COMMENT ON COLUMN analytics.cell_fingerprint.cell_key IS 'Cell';
COMMENT ON COLUMN analytics.cell_fingerprint.fingerprint IS
'168 square roots of the hours'' shares of the week, then four of quality: failed calls, dropped calls, '
'lost connections, latency';
COMMENT ON COLUMN analytics.cell_fingerprint.last_week IS 'Monday of the newest week in it';
COMMENT ON COLUMN analytics.cell_fingerprint.weeks IS 'How many weeks it was made of';
COMMENT ON COLUMN analytics.cell_fingerprint.slots IS 'Hours of the week with data; the others are filled in';
COMMENT ON COLUMN analytics.cell_fingerprint.records IS 'Records and connections it stands on';
COMMENT ON COLUMN analytics.cell_fingerprint.peer_distance IS
'Mean distance to the five nearest cells: how alone it is; null where there is no other cell';
COMMENT ON COLUMN analytics.cell_fingerprint.built_at IS 'When it was made';

CREATE TABLE analytics.cell_drift (
    week date NOT NULL,
    cell_key integer NOT NULL,
    distance double precision NOT NULL,
    by_chance double precision NOT NULL,
    records bigint NOT NULL,
    past_records bigint NOT NULL,
    past_weeks integer NOT NULL,
    built_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (cell_key, week)
);
COMMENT ON TABLE analytics.cell_drift IS 'How far a week of a cell lies from the weeks before it';
COMMENT ON COLUMN analytics.cell_drift.week IS 'Monday of the week';
COMMENT ON COLUMN analytics.cell_drift.cell_key IS 'Cell';
COMMENT ON COLUMN analytics.cell_drift.distance IS 'Distance of the fingerprints, 0 to about 1.5';
COMMENT ON COLUMN analytics.cell_drift.by_chance IS
'Distance that as few records would show if nothing had changed';
COMMENT ON COLUMN analytics.cell_drift.records IS 'Records and connections of the week';
COMMENT ON COLUMN analytics.cell_drift.past_records IS 'Of the weeks before';
COMMENT ON COLUMN analytics.cell_drift.past_weeks IS 'How many weeks before it was held against';
COMMENT ON COLUMN analytics.cell_drift.built_at IS 'When it was worked out';

INSERT INTO ops.setting (name, value, description) VALUES
('fingerprint_weeks', '6', 'How many weeks make the fingerprint of a cell'),
('fingerprint_min_records', '168', 'A cell with fewer records in these weeks has no fingerprint'),
('fingerprint_history', '26', 'Weeks of cells and their drift are kept this many weeks');

-- Places -------------------------------------------------------------------------------------------

-- Points on the globe, not on a sheet of degrees: no seam at the 180th meridian, and the nearest come first.
-- Cells are thousands, not millions: a moment.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX dim_network_cell_earth ON silver.dim_network_cell
USING gist (public.ll_to_earth(latitude, longitude)) WHERE latitude IS NOT NULL AND longitude IS NOT NULL;

-- Classes of the columns above, as 0011 keeps them: cells are no persons.
INSERT INTO ops.pii_class (schema_name, table_name, column_name, pii_class)
SELECT
    'analytics' AS schema_name,
    t.table_name,
    u.column_name,
    'none' AS pii_class
FROM (
    VALUES
    ('task', ARRAY['task', 'position', 'is_enabled', 'description']),
    ('run', ARRAY['run_id', 'task', 'status', 'started_at', 'finished_at', 'rows', 'result']),
    ('stale_week', ARRAY['week', 'mark']),
    ('week', ARRAY['week', 'hours', 'slots']),
    (
        'cell_week', ARRAY[
            'week', 'cell_key', 'load', 'records', 'attempts', 'failed', 'answered', 'dropped', 'connections',
            'drops', 'latency_us_sum', 'latency_samples'
        ]
    ),
    (
        'cell_fingerprint', ARRAY[
            'cell_key', 'fingerprint', 'last_week', 'weeks', 'slots', 'records', 'peer_distance', 'built_at'
        ]
    ),
    (
        'cell_drift', ARRAY[
            'week', 'cell_key', 'distance', 'by_chance', 'records', 'past_records', 'past_weeks', 'built_at'
        ]
    )
) AS t (table_name, column_names)
CROSS JOIN LATERAL unnest(t.column_names) AS u (column_name);

RESET ROLE;
