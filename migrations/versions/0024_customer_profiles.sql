SET LOCAL ROLE telestream_owner;

-- Weeks of customers -------------------------------------------------------------------------------

CREATE TABLE analytics.stale_customer_week (
    week date NOT NULL,
    mark bigint NOT NULL,
    PRIMARY KEY (week, mark)
);
COMMENT ON TABLE analytics.stale_customer_week IS
'Weeks whose usage in Gold was refreshed and that the profiles of customers have not taken up yet';
COMMENT ON COLUMN analytics.stale_customer_week.week IS 'Monday in the operator''s time zone';
COMMENT ON COLUMN analytics.stale_customer_week.mark IS
'Transaction that refreshed it: each has a row of its own, so that none waits for another';
INSERT INTO analytics.stale_customer_week (week, mark)
SELECT DISTINCT
    pg_catalog.date_trunc('week', u.bucket AT TIME ZONE s.value)::date AS week,
    0 AS mark
FROM rollup.customer_usage_1d AS u
CROSS JOIN ops.setting AS s
WHERE s.name = 'time_zone';

CREATE TABLE analytics.customer_week (
    week date NOT NULL,
    subscriber_id bigint NOT NULL CHECK (subscriber_id <> 0),
    active_days smallint NOT NULL,
    last_day date NOT NULL,
    usage public.vector(21) NOT NULL,
    events bigint NOT NULL,
    voice_s bigint NOT NULL,
    messages bigint NOT NULL,
    bytes bigint NOT NULL,
    currency text NOT NULL,
    charge_micro bigint NOT NULL,
    PRIMARY KEY (subscriber_id, week)
);
CREATE INDEX customer_week_week ON analytics.customer_week (week);
COMMENT ON TABLE analytics.customer_week IS 'A week of a customer: what profiles are added up from';
COMMENT ON COLUMN analytics.customer_week.week IS 'Monday in the operator''s time zone';
COMMENT ON COLUMN analytics.customer_week.subscriber_id IS 'Surrogate of the subscriber';
COMMENT ON COLUMN analytics.customer_week.active_days IS 'Days with a record';
COMMENT ON COLUMN analytics.customer_week.last_day IS 'The last of them';
COMMENT ON COLUMN analytics.customer_week.usage IS
'Records by day and kind: Monday''s voice, messages, data, then Tuesday''s';
COMMENT ON COLUMN analytics.customer_week.events IS 'Records of all kinds';
COMMENT ON COLUMN analytics.customer_week.voice_s IS 'Seconds of voice';
COMMENT ON COLUMN analytics.customer_week.messages IS 'SMS and MMS';
COMMENT ON COLUMN analytics.customer_week.bytes IS 'Bytes in both directions';
COMMENT ON COLUMN analytics.customer_week.currency IS
'Currency of most of its records; empty where none has one';
COMMENT ON COLUMN analytics.customer_week.charge_micro IS 'Charge in that currency, millionths';

-- Behaviour and segments ---------------------------------------------------------------------------

CREATE TABLE analytics.customer_profile (
    subscriber_id bigint PRIMARY KEY CHECK (subscriber_id <> 0),
    profile public.vector(24) NOT NULL,
    last_week date NOT NULL,
    weeks integer NOT NULL,
    events bigint NOT NULL,
    built_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE analytics.customer_profile IS
'How a customer uses the network; shown to nobody, only compared';
COMMENT ON COLUMN analytics.customer_profile.subscriber_id IS 'Surrogate of the subscriber';
COMMENT ON COLUMN analytics.customer_profile.profile IS
'21 square roots of the shares of records by weekday and kind, then three of volume: minutes, messages and '
'megabytes of a week, each as x / (x + usual)';
COMMENT ON COLUMN analytics.customer_profile.last_week IS 'Monday of the newest week in it';
COMMENT ON COLUMN analytics.customer_profile.weeks IS 'How many weeks it was made of';
COMMENT ON COLUMN analytics.customer_profile.events IS 'Records it stands on';
COMMENT ON COLUMN analytics.customer_profile.built_at IS 'When it was made';

CREATE TABLE analytics.customer_segment (
    week date NOT NULL,
    subscriber_id bigint NOT NULL CHECK (subscriber_id <> 0),
    segment text NOT NULL CHECK (
        segment IN ('champion', 'loyal', 'occasional', 'new', 'at_risk', 'hibernating', 'lost')
    ),
    recency_days integer NOT NULL CHECK (recency_days >= 0),
    active_days integer NOT NULL,
    currency text NOT NULL,
    charge_micro bigint NOT NULL,
    recency_score smallint NOT NULL CHECK (recency_score BETWEEN 1 AND 5),
    frequency_score smallint NOT NULL CHECK (frequency_score BETWEEN 1 AND 5),
    monetary_score smallint NOT NULL CHECK (monetary_score BETWEEN 1 AND 5),
    built_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (subscriber_id, week)
);
CREATE INDEX customer_segment_week ON analytics.customer_segment (week);
COMMENT ON TABLE analytics.customer_segment IS
'Segment of each customer at the end of each whole week, by recency, frequency and monetary value';
COMMENT ON COLUMN analytics.customer_segment.week IS 'Monday of the week';
COMMENT ON COLUMN analytics.customer_segment.subscriber_id IS 'Surrogate of the subscriber';
COMMENT ON COLUMN analytics.customer_segment.segment IS 'Segment, see docs/analytics.md';
COMMENT ON COLUMN analytics.customer_segment.recency_days IS
'Days from the last one with a record to the end of the week';
COMMENT ON COLUMN analytics.customer_segment.active_days IS 'Days with a record in the window';
COMMENT ON COLUMN analytics.customer_segment.currency IS 'Currency of most of the records; empty: none';
COMMENT ON COLUMN analytics.customer_segment.charge_micro IS 'Charge of the window in it, millionths';
COMMENT ON COLUMN analytics.customer_segment.recency_score IS 'Fifth among all customers; 5: was there last';
COMMENT ON COLUMN analytics.customer_segment.frequency_score IS 'Fifth among all; 5: most active days';
COMMENT ON COLUMN analytics.customer_segment.monetary_score IS
'Fifth among those with the same currency; 5: pays most';
COMMENT ON COLUMN analytics.customer_segment.built_at IS 'When it was worked out';

-- Churn --------------------------------------------------------------------------------------------

CREATE TABLE analytics.churn_model (
    version integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    trained_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    first_week date NOT NULL,
    last_week date NOT NULL,
    horizon_weeks integer NOT NULL,
    customers bigint NOT NULL,
    churned bigint NOT NULL,
    features text[] NOT NULL,
    means double precision[] NOT NULL,
    scales double precision[] NOT NULL,
    coefficients double precision[] NOT NULL,
    steps integer NOT NULL,
    held_customers bigint NOT NULL,
    auc_held double precision,
    later_week date,
    later_customers bigint NOT NULL,
    auc_later double precision
);
COMMENT ON TABLE analytics.churn_model IS
'Models of churn: logistic regressions, readable as they stand; see docs/churn-model-card.md';
COMMENT ON COLUMN analytics.churn_model.version IS 'Key; a retraining is a new version';
COMMENT ON COLUMN analytics.churn_model.trained_at IS 'When it was trained';
COMMENT ON COLUMN analytics.churn_model.first_week IS 'Monday of the first week it was trained at';
COMMENT ON COLUMN analytics.churn_model.last_week IS 'Monday of the last one';
COMMENT ON COLUMN analytics.churn_model.horizon_weeks IS
'Churn is no record in so many weeks after the week';
COMMENT ON COLUMN analytics.churn_model.customers IS 'Rows it was trained on, one per customer and week';
COMMENT ON COLUMN analytics.churn_model.churned IS 'Of these churned';
COMMENT ON COLUMN analytics.churn_model.features IS 'Names of the features';
COMMENT ON COLUMN analytics.churn_model.means IS 'Mean of each feature in training';
COMMENT ON COLUMN analytics.churn_model.scales IS 'Standard deviation of each; 1 where it is constant';
COMMENT ON COLUMN analytics.churn_model.coefficients IS
'Intercept, then the weight of each feature less its mean over its scale, on the log-odds';
COMMENT ON COLUMN analytics.churn_model.steps IS 'Newton steps until it stood still';
COMMENT ON COLUMN analytics.churn_model.held_customers IS
'Customers, one of five, kept out of the training at the same weeks';
COMMENT ON COLUMN analytics.churn_model.auc_held IS
'Area under the ROC curve on them; null: none or all of them churned';
COMMENT ON COLUMN analytics.churn_model.later_week IS
'Monday of a later week whose outcome was not known in training; null: too little history';
COMMENT ON COLUMN analytics.churn_model.later_customers IS 'Customers kept out, at that week';
COMMENT ON COLUMN analytics.churn_model.auc_later IS 'Area under the ROC curve on them at that week';

CREATE TABLE analytics.churn_score (
    week date NOT NULL,
    subscriber_id bigint NOT NULL CHECK (subscriber_id <> 0),
    version integer NOT NULL REFERENCES analytics.churn_model,
    risk double precision NOT NULL CHECK (risk BETWEEN 0 AND 1),
    contributions double precision[] NOT NULL,
    built_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (subscriber_id, week)
);
CREATE INDEX churn_score_week ON analytics.churn_score (week);
CREATE INDEX churn_score_version ON analytics.churn_score (version);
COMMENT ON TABLE analytics.churn_score IS 'Risk of churn of each customer who was there, per whole week';
COMMENT ON COLUMN analytics.churn_score.week IS 'Monday of the week at whose end it was worked out';
COMMENT ON COLUMN analytics.churn_score.subscriber_id IS 'Surrogate of the subscriber';
COMMENT ON COLUMN analytics.churn_score.version IS 'Model';
COMMENT ON COLUMN analytics.churn_score.risk IS 'Probability of no record in the weeks of the horizon';
COMMENT ON COLUMN analytics.churn_score.contributions IS
'What each feature adds to the log-odds over the mean customer, in the order of the model''s features';
COMMENT ON COLUMN analytics.churn_score.built_at IS 'When it was worked out';

INSERT INTO ops.setting (name, value, description) VALUES
('customer_weeks', '16', 'Weeks of customers are kept this many weeks; segments look back 12, churn 16'),
('customer_history', '26', 'Segments and risks of churn are kept this many weeks');

INSERT INTO analytics.task (task, position, description) VALUES
('customer_profile', 4, 'Weeks, segments and behaviour of the customers whose Gold has changed'),
('churn', 5, 'Trains the model of churn when a week more has its outcome, and works out risks');

-- Classes of the columns above, as 0011 keeps them. They are about persons: no reader has the tables.
INSERT INTO ops.pii_class (schema_name, table_name, column_name, pii_class)
SELECT
    'analytics' AS schema_name,
    t.table_name,
    u.column_name,
    t.pii_class
FROM (
    VALUES
    ('stale_customer_week', 'none', ARRAY['week', 'mark']),
    ('customer_week', 'pseudonym', ARRAY['subscriber_id']),
    ('customer_week', 'none', ARRAY['week', 'currency']),
    (
        'customer_week', 'quasi',
        ARRAY['active_days', 'last_day', 'usage', 'events', 'voice_s', 'messages', 'bytes', 'charge_micro']
    ),
    ('customer_profile', 'pseudonym', ARRAY['subscriber_id']),
    ('customer_profile', 'none', ARRAY['built_at']),
    ('customer_profile', 'quasi', ARRAY['profile', 'last_week', 'weeks', 'events']),
    ('customer_segment', 'pseudonym', ARRAY['subscriber_id']),
    ('customer_segment', 'none', ARRAY['week', 'currency', 'built_at']),
    (
        'customer_segment', 'quasi',
        ARRAY[
            'segment', 'recency_days', 'active_days', 'charge_micro', 'recency_score', 'frequency_score',
            'monetary_score'
        ]
    ),
    (
        'churn_model', 'none',
        ARRAY[
            'version', 'trained_at', 'first_week', 'last_week', 'horizon_weeks', 'customers', 'churned',
            'features', 'means', 'scales', 'coefficients', 'steps', 'held_customers', 'auc_held',
            'later_week', 'later_customers', 'auc_later'
        ]
    ),
    ('churn_score', 'pseudonym', ARRAY['subscriber_id']),
    ('churn_score', 'none', ARRAY['week', 'version', 'built_at']),
    ('churn_score', 'quasi', ARRAY['risk', 'contributions'])
) AS t (table_name, pii_class, column_names)
CROSS JOIN LATERAL unnest(t.column_names) AS u (column_name);

RESET ROLE;
