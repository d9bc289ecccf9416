SET LOCAL ROLE telestream_owner;

-- Rules --------------------------------------------------------------------------------------------

CREATE TABLE analytics.fraud_rule (
    rule text PRIMARY KEY,
    severity text NOT NULL CHECK (severity IN ('minor', 'major', 'critical')),
    quiet interval NOT NULL CHECK (quiet BETWEEN interval '1 hour' AND interval '30 days'),
    is_enabled boolean NOT NULL DEFAULT true,
    description text NOT NULL
);
COMMENT ON TABLE analytics.fraud_rule IS 'The rules against fraud; in force from the next run on';
COMMENT ON COLUMN analytics.fraud_rule.rule IS 'Name';
COMMENT ON COLUMN analytics.fraud_rule.severity IS 'Severity of its cases';
COMMENT ON COLUMN analytics.fraud_rule.quiet IS
'A case closes when nothing was seen this long; what is seen later is another case';
COMMENT ON COLUMN analytics.fraud_rule.is_enabled IS 'False switches it off; its cases stay';
COMMENT ON COLUMN analytics.fraud_rule.description IS 'What it looks for, for people';
INSERT INTO analytics.fraud_rule (rule, severity, quiet, description) VALUES
(
    'sim_box', 'critical', '2 days',
    'A SIM that calls many numbers from one place and that hardly anybody calls: it ends calls of others'
),
(
    'wangiri', 'major', '2 days',
    'A number that rings many others for a moment, so that they call back'
),
(
    'revenue_share', 'critical', '2 days',
    'A sudden load of dear minutes to few numbers: the traffic is made for a share of its revenue'
),
(
    'impossible_travel', 'major', '2 days',
    'A SIM that is in two places faster than anything travels: it is there twice'
),
(
    'new_number_velocity', 'major', '3 days',
    'A number with extreme use soon after it was first seen: nobody means to pay'
);

CREATE TABLE analytics.fraud_threshold (
    rule text NOT NULL REFERENCES analytics.fraud_rule,
    threshold text NOT NULL,
    value double precision NOT NULL,
    least double precision NOT NULL,
    most double precision NOT NULL,
    unit text NOT NULL,
    description text NOT NULL,
    PRIMARY KEY (rule, threshold),
    CONSTRAINT fraud_threshold_in_bounds CHECK (value BETWEEN least AND most)
);
COMMENT ON TABLE analytics.fraud_threshold IS
'From when on a window of 24 hours is fraud: update value; in force from the next run on';
COMMENT ON COLUMN analytics.fraud_threshold.rule IS 'Rule';
COMMENT ON COLUMN analytics.fraud_threshold.threshold IS 'Name';
COMMENT ON COLUMN analytics.fraud_threshold.value IS 'Value in force';
COMMENT ON COLUMN analytics.fraud_threshold.least IS 'Smallest value that makes sense';
COMMENT ON COLUMN analytics.fraud_threshold.most IS 'Largest value that makes sense';
COMMENT ON COLUMN analytics.fraud_threshold.unit IS 'Unit of value';
COMMENT ON COLUMN analytics.fraud_threshold.description IS 'What it bounds';
INSERT INTO analytics.fraud_threshold (rule, threshold, value, least, most, unit, description) VALUES
('sim_box', 'min_calls', 100, 10, 100000, 'calls', 'Calls made, at least'),
('sim_box', 'min_numbers', 80, 10, 100000, 'numbers', 'Different numbers called, at least'),
('sim_box', 'max_incoming_share', 0.02, 0, 1, 'ratio', 'Calls and messages received per call made, at most'),
('sim_box', 'max_cells', 3, 1, 1000, 'cells', 'Cells it was in, at most'),
('wangiri', 'max_ring_s', 8, 1, 60, 's', 'A call that nobody answers and that is as short as this is a ring'),
('wangiri', 'min_rung', 40, 10, 100000, 'numbers', 'Different numbers rung, at least'),
('wangiri', 'min_ring_share', 0.7, 0, 1, 'ratio', 'Rings among all its calls, at least'),
('wangiri', 'min_callbacks', 3, 0, 100000, 'numbers', 'Numbers rung that called back, at least'),
('revenue_share', 'min_charge', 50, 1, 1000000, 'currency', 'Charge of calls made, at least'),
('revenue_share', 'min_calls', 10, 1, 100000, 'calls', 'Calls answered, at least'),
('revenue_share', 'min_price', 0.5, 0, 1000, 'currency/min', 'Mean price of a minute, at least'),
('revenue_share', 'price_factor', 4, 1, 1000, 'ratio', 'Mean price of a minute over the median of the plan'),
('revenue_share', 'max_number_share', 0.5, 0, 1, 'ratio', 'Different numbers per call answered, at most'),
('revenue_share', 'own_factor', 10, 1, 1000, 'ratio', 'Charge over what a day of the 28 before cost'),
('impossible_travel', 'min_km', 150, 10, 20000, 'km', 'Distance of the two cells, at least'),
('impossible_travel', 'max_speed', 1000, 50, 100000, 'km/h', 'What is faster is impossible'),
(
    'impossible_travel', 'min_jumps', 3, 1, 10000, 'jumps',
    'Impossible moves from one record to the next, at least'
),
(
    'impossible_travel', 'max_visitors', 20, 1, 1000000, 'numbers',
    'A cell that makes more numbers jump is itself in the wrong place: its jumps do not count'
),
('new_number_velocity', 'new_for', 72, 1, 720, 'h', 'A number is new this long after it was first seen'),
(
    'new_number_velocity', 'min_history', 7, 1, 365, 'days',
    'How far back records must go before a number first seen is called new'
),
('new_number_velocity', 'min_charge', 100, 1, 1000000, 'currency', 'Charge, at least; or min_talk'),
('new_number_velocity', 'min_talk', 600, 1, 1440, 'min', 'Minutes of calls made, at least; or min_charge'),
(
    'new_number_velocity', 'peer_factor', 5, 1, 1000, 'ratio',
    'The same over the 95th percentile of all numbers'
);

-- Cases --------------------------------------------------------------------------------------------

CREATE TABLE analytics.fraud_case (
    case_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule text NOT NULL REFERENCES analytics.fraud_rule,
    subscriber_id bigint NOT NULL CHECK (subscriber_id <> 0),
    severity text NOT NULL,
    score double precision NOT NULL CHECK (score BETWEEN 0 AND 100),
    started_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    closed_at timestamptz,
    merged_into bigint REFERENCES analytics.fraud_case ON DELETE CASCADE,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (last_seen_at >= started_at)
);
CREATE INDEX fraud_case_subject ON analytics.fraud_case (subscriber_id, rule);
CREATE INDEX fraud_case_time ON analytics.fraud_case (last_seen_at, case_id);
CREATE INDEX fraud_case_merged ON analytics.fraud_case (merged_into) WHERE merged_into IS NOT NULL;
COMMENT ON TABLE analytics.fraud_case IS
'Suspected fraud: one case per rule, number and episode; a suspicion, not a finding';
COMMENT ON COLUMN analytics.fraud_case.case_id IS 'Key; stays the same while the case grows';
COMMENT ON COLUMN analytics.fraud_case.rule IS 'Rule, see analytics.fraud_rule';
COMMENT ON COLUMN analytics.fraud_case.subscriber_id IS
'Surrogate of the number; may be one of another network';
COMMENT ON COLUMN analytics.fraud_case.severity IS 'Severity of the rule when the case opened';
COMMENT ON COLUMN analytics.fraud_case.score IS
'How far the worst window went: 50 is at the threshold, 100 twice beyond it or more';
COMMENT ON COLUMN analytics.fraud_case.started_at IS 'First record of it';
COMMENT ON COLUMN analytics.fraud_case.last_seen_at IS 'Last record of it';
COMMENT ON COLUMN analytics.fraud_case.closed_at IS 'When it had been quiet for long enough; null while open';
COMMENT ON COLUMN analytics.fraud_case.merged_into IS
'The older case that late records showed it to be part of; null: it stands on its own';
COMMENT ON COLUMN analytics.fraud_case.opened_at IS 'When a run first found it';
COMMENT ON COLUMN analytics.fraud_case.updated_at IS 'When a run last changed it';

CREATE TABLE analytics.fraud_evidence (
    case_id bigint NOT NULL REFERENCES analytics.fraud_case ON DELETE CASCADE,
    position integer NOT NULL,
    measure text NOT NULL,
    seen double precision NOT NULL,
    threshold double precision,
    peer double precision,
    explanation text NOT NULL,
    from_at timestamptz NOT NULL,
    to_at timestamptz NOT NULL,
    PRIMARY KEY (case_id, position)
);
COMMENT ON TABLE analytics.fraud_evidence IS 'What a case stands on: its worst window, measure by measure';
COMMENT ON COLUMN analytics.fraud_evidence.case_id IS 'Case';
COMMENT ON COLUMN analytics.fraud_evidence.position IS 'The most telling comes first';
COMMENT ON COLUMN analytics.fraud_evidence.measure IS 'What was measured';
COMMENT ON COLUMN analytics.fraud_evidence.seen IS 'What was seen';
COMMENT ON COLUMN analytics.fraud_evidence.threshold IS 'What it was held against; null: it only informs';
COMMENT ON COLUMN analytics.fraud_evidence.peer IS 'What is usual for others, or for itself; null: not known';
COMMENT ON COLUMN analytics.fraud_evidence.explanation IS 'The same in words; names nobody';
COMMENT ON COLUMN analytics.fraud_evidence.from_at IS 'Start of the window';
COMMENT ON COLUMN analytics.fraud_evidence.to_at IS 'End of the window, exclusive';

-- What runs have taken up ----------------------------------------------------------------------------

CREATE TABLE analytics.fraud_first_seen (
    subscriber_id bigint PRIMARY KEY,
    first_seen_at timestamptz NOT NULL
);
COMMENT ON TABLE analytics.fraud_first_seen IS 'When each number was first served, as far as records go back';
COMMENT ON COLUMN analytics.fraud_first_seen.subscriber_id IS 'Surrogate of the number';
COMMENT ON COLUMN analytics.fraud_first_seen.first_seen_at IS
'Start of its first record; the day of it, where that was before the first run';

CREATE TABLE analytics.fraud_batch (
    batch_id bigint PRIMARY KEY,
    finished_at timestamptz NOT NULL
);
COMMENT ON TABLE analytics.fraud_batch IS
'Batches of the last day that a run has taken up: they do not commit in the order of their times';
COMMENT ON COLUMN analytics.fraud_batch.batch_id IS 'The batch';
COMMENT ON COLUMN analytics.fraud_batch.finished_at IS 'When it was refined';

CREATE TABLE analytics.fraud_progress (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    evaluated_to timestamptz,
    data_from timestamptz
);
COMMENT ON TABLE analytics.fraud_progress IS 'How far the records have been judged';
COMMENT ON COLUMN analytics.fraud_progress.only_row IS 'There is one row';
COMMENT ON COLUMN analytics.fraud_progress.evaluated_to IS 'Event time of the last run; null: there was none';
COMMENT ON COLUMN analytics.fraud_progress.data_from IS 'How far records go back';
INSERT INTO analytics.fraud_progress DEFAULT VALUES;

INSERT INTO ops.setting (name, value, description) VALUES
(
    'fraud_horizon', '30 days',
    'How far back of the newest record a run against fraud looks, the first one included'
);

INSERT INTO analytics.task (task, position, description) VALUES
('fraud', 2, 'Judges new records by the rules against fraud, and keeps cases with their evidence');

-- Classes of the columns above, as 0011 keeps them. Cases are about persons: no reader has the tables.
INSERT INTO ops.pii_class (schema_name, table_name, column_name, pii_class)
SELECT
    'analytics' AS schema_name,
    t.table_name,
    u.column_name,
    t.pii_class
FROM (
    VALUES
    ('fraud_rule', 'none', ARRAY['rule', 'severity', 'quiet', 'is_enabled', 'description']),
    (
        'fraud_threshold', 'none',
        ARRAY['rule', 'threshold', 'value', 'least', 'most', 'unit', 'description']
    ),
    ('fraud_case', 'pseudonym', ARRAY['subscriber_id']),
    ('fraud_case', 'quasi', ARRAY['rule', 'severity', 'score', 'started_at', 'last_seen_at', 'closed_at']),
    ('fraud_case', 'none', ARRAY['case_id', 'merged_into', 'opened_at', 'updated_at']),
    ('fraud_evidence', 'none', ARRAY['case_id', 'position', 'measure', 'threshold', 'peer']),
    ('fraud_evidence', 'quasi', ARRAY['seen', 'explanation', 'from_at', 'to_at']),
    ('fraud_first_seen', 'pseudonym', ARRAY['subscriber_id']),
    ('fraud_first_seen', 'quasi', ARRAY['first_seen_at']),
    ('fraud_batch', 'none', ARRAY['batch_id', 'finished_at']),
    ('fraud_progress', 'none', ARRAY['only_row', 'evaluated_to', 'data_from'])
) AS t (table_name, pii_class, column_names)
CROSS JOIN LATERAL unnest(t.column_names) AS u (column_name);

RESET ROLE;
