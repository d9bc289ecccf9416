SET LOCAL ROLE telestream_owner;

CREATE TABLE quality.expectation (
    dataset text NOT NULL,
    rule text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('freshness', 'volume', 'referential', 'distribution', 'score')),
    source text,
    every interval,
    due_at time,
    weekdays smallint[] CHECK (weekdays <@ '{1,2,3,4,5,6,7}'::smallint[] AND weekdays <> '{}'),
    time_zone text,
    relation text,
    statistic text CHECK (
        statistic IN ('rows', 'distinct', 'mean', 'share', 'null_share', 'unknown_share', 'psi', 'score')
    ),
    column_name text,
    among text[],
    weight text,
    by_column text,
    grain text CHECK (grain IN ('hour', 'day')),
    grace interval NOT NULL DEFAULT '6 hours' CHECK (grace >= interval '0'),
    weeks smallint NOT NULL DEFAULT 6 CHECK (weeks BETWEEN 1 AND 26),
    min_weeks smallint NOT NULL DEFAULT 3,
    min_support double precision NOT NULL DEFAULT 0,
    below double precision CHECK (below >= 0),
    above double precision CHECK (above >= 0),
    at_least double precision,
    at_most double precision,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dataset, rule),
    FOREIGN KEY (dataset, rule) REFERENCES quality.rule ON DELETE CASCADE,
    CHECK (min_weeks BETWEEN 1 AND weeks)
);
COMMENT ON TABLE quality.expectation IS
'Rules about a dataset as a whole: the parameters of rows of quality.rule, in force from the next check on';
COMMENT ON COLUMN quality.expectation.dataset IS 'Which dataset, see quality.rule';
COMMENT ON COLUMN quality.expectation.rule IS 'Which rule, see quality.rule';
COMMENT ON COLUMN quality.expectation.kind IS
'freshness: a source is on time; volume: as many rows as on the same weekday; referential: keys are known; '
'distribution: values are as usual; score: the quality score of a day of loading';
COMMENT ON COLUMN quality.expectation.source IS
'freshness: the source system; null: every source that has no rule of its own';
COMMENT ON COLUMN quality.expectation.every IS
'freshness: how far the newest record may lie before the due time';
COMMENT ON COLUMN quality.expectation.due_at IS
'freshness: local time of day at which it is due; null: always';
COMMENT ON COLUMN quality.expectation.weekdays IS
'freshness: days on which it is due, 1 is Monday; null: every day';
COMMENT ON COLUMN quality.expectation.time_zone IS
'freshness: zone of due_at; null: the operator''s, see ops.setting';
COMMENT ON COLUMN quality.expectation.relation IS
'What is measured: a rollup of rollup.definition, or fact for the fact of the dataset; null for a score';
COMMENT ON COLUMN quality.expectation.statistic IS
'rows: sum of weight; distinct, mean, null_share, unknown_share of column_name; share: of the values in '
'among; psi: population stability index of column_name; score';
COMMENT ON COLUMN quality.expectation.column_name IS
'Column it is about; for a score: score or a dimension';
COMMENT ON COLUMN quality.expectation.among IS 'share: the values that count, as text';
COMMENT ON COLUMN quality.expectation.weight IS
'Column of the rollup that says how many records a row stands for; null: one';
COMMENT ON COLUMN quality.expectation.by_column IS
'Judged for each value of this column; null: for the dataset as a whole';
COMMENT ON COLUMN quality.expectation.grain IS 'Bucket that is judged: hour (UTC) or day (of the operator)';
COMMENT ON COLUMN quality.expectation.grace IS
'How long after the bucket, or after the due time, it is judged';
COMMENT ON COLUMN quality.expectation.weeks IS
'How many past weeks are looked at: the same hour or day of each';
COMMENT ON COLUMN quality.expectation.min_weeks IS 'With fewer of them it is not judged';
COMMENT ON COLUMN quality.expectation.min_support IS
'With less weight than this in the bucket (volume: in the median of past ones) it is not judged';
COMMENT ON COLUMN quality.expectation.below IS
'How far under the median it may be: per cent of the median, for shares percentage points; null: any';
COMMENT ON COLUMN quality.expectation.above IS 'How far over the median it may be, as below';
COMMENT ON COLUMN quality.expectation.at_least IS 'Least allowed value, whatever the history';
COMMENT ON COLUMN quality.expectation.at_most IS 'Greatest allowed value, whatever the history';
COMMENT ON COLUMN quality.expectation.created_at IS
'When it was added: a named source that never arrives is missed from then on';

CREATE TABLE quality.measurement (
    dataset text NOT NULL,
    rule text NOT NULL,
    bucket timestamptz NOT NULL,
    bucket_end timestamptz NOT NULL,
    subject text NOT NULL,
    value double precision,
    support double precision,
    parts jsonb,
    measured_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (dataset, rule, bucket, subject),
    FOREIGN KEY (dataset, rule) REFERENCES quality.expectation ON DELETE CASCADE
);
COMMENT ON TABLE quality.measurement IS
'What each expectation has measured per bucket; goes when a load touches the bucket, and is measured anew';
COMMENT ON COLUMN quality.measurement.dataset IS 'See quality.expectation';
COMMENT ON COLUMN quality.measurement.rule IS 'See quality.expectation';
COMMENT ON COLUMN quality.measurement.bucket IS 'Start of the bucket';
COMMENT ON COLUMN quality.measurement.bucket_end IS 'End of the bucket';
COMMENT ON COLUMN quality.measurement.subject IS 'Value of by_column; empty: all of the dataset';
COMMENT ON COLUMN quality.measurement.value IS 'The statistic; null where there is nothing to measure';
COMMENT ON COLUMN quality.measurement.support IS 'Records it stands on';
COMMENT ON COLUMN quality.measurement.parts IS 'psi: records per value';
COMMENT ON COLUMN quality.measurement.measured_at IS 'When it was measured';

CREATE TABLE quality.expectation_result (
    dataset text NOT NULL,
    rule text NOT NULL,
    subject text NOT NULL,
    bucket timestamptz NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('passed', 'failed', 'no_history', 'maintenance', 'error')),
    observed double precision,
    at_least double precision,
    at_most double precision,
    details jsonb NOT NULL DEFAULT '{}',
    judged_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (dataset, rule, subject, bucket)
);
COMMENT ON TABLE quality.expectation_result IS
'What came of each expectation per bucket; kept as long as the setting quality_history says';
COMMENT ON COLUMN quality.expectation_result.dataset IS 'See quality.expectation';
COMMENT ON COLUMN quality.expectation_result.rule IS 'See quality.expectation';
COMMENT ON COLUMN quality.expectation_result.subject IS
'Source, or value of by_column; empty: all of the dataset';
COMMENT ON COLUMN quality.expectation_result.bucket IS
'Start of the hour or day that was judged; freshness: the due time, or the hour of the check';
COMMENT ON COLUMN quality.expectation_result.outcome IS
'passed; failed; no_history: too little is known to judge; maintenance: planned; error: it could not run';
COMMENT ON COLUMN quality.expectation_result.observed IS
'What was found; freshness: hours between the newest record and the due time';
COMMENT ON COLUMN quality.expectation_result.at_least IS 'Least value that passes; null: any';
COMMENT ON COLUMN quality.expectation_result.at_most IS 'Greatest value that passes; null: any';
COMMENT ON COLUMN quality.expectation_result.details IS
'weeks and median of the history, support, reason where it was not judged; psi: moved, what moved most';
COMMENT ON COLUMN quality.expectation_result.judged_at IS 'When it was judged';

CREATE TABLE quality.incident (
    incident_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset text NOT NULL,
    rule text NOT NULL,
    subject text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('minor', 'major')),
    started_at timestamptz NOT NULL,
    failed_at timestamptz NOT NULL,
    ended_at timestamptz,
    observed double precision,
    normal double precision,
    message text NOT NULL,
    raised_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX incident_open ON quality.incident (dataset, rule, subject) WHERE ended_at IS NULL;
COMMENT ON TABLE quality.incident IS
'From the first bucket that fails an expectation to the first that passes: one alert at each end';
COMMENT ON COLUMN quality.incident.incident_id IS 'Key; its alerts carry it with a minus as anomaly_id';
COMMENT ON COLUMN quality.incident.dataset IS 'See quality.expectation';
COMMENT ON COLUMN quality.incident.rule IS 'See quality.expectation';
COMMENT ON COLUMN quality.incident.subject IS 'Source, or value of by_column; empty: all of the dataset';
COMMENT ON COLUMN quality.incident.severity IS 'major for a rule of severity error, minor for a warning';
COMMENT ON COLUMN quality.incident.started_at IS 'The first bucket that failed';
COMMENT ON COLUMN quality.incident.failed_at IS 'The last bucket that failed';
COMMENT ON COLUMN quality.incident.ended_at IS 'When it was seen to be over; null: it is not';
COMMENT ON COLUMN quality.incident.observed IS 'What was found in the last bucket that failed';
COMMENT ON COLUMN quality.incident.normal IS 'The median of the history, or the bound that was passed';
COMMENT ON COLUMN quality.incident.message IS 'What is wrong, for people';
COMMENT ON COLUMN quality.incident.raised_at IS 'When it was raised';

CREATE TABLE quality.maintenance (
    maintenance_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset text,
    subject text,
    from_at timestamptz NOT NULL,
    to_at timestamptz NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    CHECK (from_at < to_at)
);
COMMENT ON TABLE quality.maintenance IS
'Times that are not judged and do not count as history: planned work, holidays, sources that were given up';
COMMENT ON COLUMN quality.maintenance.maintenance_id IS 'Key';
COMMENT ON COLUMN quality.maintenance.dataset IS 'Only this dataset; null: all';
COMMENT ON COLUMN quality.maintenance.subject IS 'Only this source or value of by_column; null: all';
COMMENT ON COLUMN quality.maintenance.from_at IS 'Begin';
COMMENT ON COLUMN quality.maintenance.to_at IS 'End; infinity: for good';
COMMENT ON COLUMN quality.maintenance.reason IS 'Why, for people';

CREATE TABLE quality.check_state (
    dataset text PRIMARY KEY,
    checked_to timestamptz NOT NULL
);
COMMENT ON TABLE quality.check_state IS
'How far the batches of each dataset were looked at by the last check';
COMMENT ON COLUMN quality.check_state.dataset IS 'Dataset';
COMMENT ON COLUMN quality.check_state.checked_to IS 'Batches finished by then were seen';

INSERT INTO ops.setting (name, value, description) VALUES
(
    'quality_history', '400 days',
    'Results and measurements of expectations, and ended incidents, older than this go'
);

-- What is shipped. All but the scores are judged against the dataset's own past, so they fit any operator.
INSERT INTO quality.rule (dataset, rule, dimension, severity, predicate, message, is_enabled) VALUES
('cdr', 'source_on_time', 'timeliness', 'error', NULL, 'a source has delivered nothing new in time', true),
('cdr', 'rows_per_day', 'completeness', 'error', NULL, 'records of a day against the same weekday', true),
('cdr', 'unknown_cells', 'consistency', 'error', NULL, 'per cent of records whose cell is not known', true),
('cdr', 'unknown_plans', 'consistency', 'warning', NULL, 'per cent of records whose plan is not known', true),
(
    'cdr', 'unknown_customers', 'consistency', 'warning', NULL,
    'per cent of records whose customer is not known', false
),
('cdr', 'plan_mix', 'validity', 'warning', NULL, 'stability index of the mix of plans', true),
('cdr', 'record_type_mix', 'validity', 'warning', NULL, 'stability index of the mix of record types', true),
('cdr', 'daily_score', 'validity', 'error', NULL, 'quality score of a day of loading', true),
(
    'network_event', 'source_on_time', 'timeliness', 'error', NULL,
    'a source has delivered nothing new in time', true
),
(
    'network_event', 'rows_per_day', 'completeness', 'error', NULL,
    'events of a day against the same weekday', true
),
(
    'network_event', 'unknown_cells', 'consistency', 'error', NULL,
    'per cent of events whose cell is not known', true
),
('network_event', 'daily_score', 'validity', 'error', NULL, 'quality score of a day of loading', true),
('customer', 'daily_score', 'validity', 'error', NULL, 'quality score of a day of loading', true);
INSERT INTO quality.expectation (dataset, rule, kind, every, grace) VALUES
('cdr', 'source_on_time', 'freshness', '1 day', '6 hours'),
('network_event', 'source_on_time', 'freshness', '1 hour', '15 minutes');
INSERT INTO quality.expectation (
    dataset, rule, kind, relation, statistic, column_name, weight, grain, min_support, below, above, at_most
) VALUES
('cdr', 'rows_per_day', 'volume', 'cell_traffic_1d', 'rows', NULL, 'attempts', 'day', 1000, 50, 100, NULL),
(
    'cdr', 'unknown_cells', 'referential', 'cell_traffic_1d', 'unknown_share', 'cell_key', 'attempts', 'day',
    1000, NULL, 10, NULL
),
(
    'cdr', 'unknown_plans', 'referential', 'revenue_1d', 'unknown_share', 'plan_key', 'events', 'day', 1000,
    NULL, 10, NULL
),
(
    'cdr', 'unknown_customers', 'referential', 'fact', 'unknown_share', 'customer_key', NULL, 'day', 1000,
    NULL, 10, NULL
),
('cdr', 'plan_mix', 'distribution', 'revenue_1d', 'psi', 'plan_key', 'events', 'day', 1000, NULL, NULL, 0.25),
(
    'cdr', 'record_type_mix', 'distribution', 'cell_traffic_1d', 'psi', 'record_type', 'attempts', 'day',
    1000, NULL, NULL, 0.25
),
(
    'network_event', 'rows_per_day', 'volume', 'network_1h', 'rows', NULL, 'events', 'day', 1000, 50, 100,
    NULL
),
(
    'network_event', 'unknown_cells', 'referential', 'network_1h', 'unknown_share', 'cell_key', 'events',
    'day', 1000, NULL, 10, NULL
);
INSERT INTO quality.expectation (dataset, rule, kind, statistic, column_name, grain, min_support, at_least)
SELECT
    d.dataset,
    'daily_score' AS rule,
    'score' AS kind,
    'score' AS statistic,
    'score' AS column_name,
    'day' AS grain,
    100 AS min_support,
    99 AS at_least
FROM (VALUES ('cdr'), ('network_event'), ('customer')) AS d (dataset);

-- Classes of the columns above, as 0011 keeps them.
INSERT INTO ops.pii_class (schema_name, table_name, column_name, pii_class)
SELECT
    'quality' AS schema_name,
    t.table_name,
    u.column_name,
    'none' AS pii_class
FROM (
    VALUES
    (
        'expectation', ARRAY[
            'dataset', 'rule', 'kind', 'source', 'every', 'due_at', 'weekdays', 'time_zone', 'relation',
            'statistic', 'column_name', 'among', 'weight', 'by_column', 'grain', 'grace', 'weeks',
            'min_weeks', 'min_support', 'below', 'above', 'at_least', 'at_most', 'created_at'
        ]
    ),
    (
        'measurement', ARRAY[
            'dataset', 'rule', 'bucket', 'bucket_end', 'subject', 'value', 'support', 'parts', 'measured_at'
        ]
    ),
    (
        'expectation_result', ARRAY[
            'dataset', 'rule', 'subject', 'bucket', 'outcome', 'observed', 'at_least', 'at_most', 'details',
            'judged_at'
        ]
    ),
    (
        'incident', ARRAY[
            'incident_id', 'dataset', 'rule', 'subject', 'severity', 'started_at', 'failed_at', 'ended_at',
            'observed', 'normal', 'message', 'raised_at'
        ]
    ),
    ('maintenance', ARRAY['maintenance_id', 'dataset', 'subject', 'from_at', 'to_at', 'reason']),
    ('check_state', ARRAY['dataset', 'checked_to'])
) AS t (table_name, column_names)
CROSS JOIN LATERAL unnest(t.column_names) AS u (column_name);

RESET ROLE;
