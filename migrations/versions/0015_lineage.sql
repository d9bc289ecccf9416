SET LOCAL ROLE telestream_owner;

CREATE TABLE ops.lineage_event (
    event_id bigint GENERATED ALWAYS AS IDENTITY,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    job text NOT NULL,
    run_id uuid NOT NULL,
    event_type text NOT NULL CHECK (event_type IN ('START', 'COMPLETE', 'FAIL', 'ABORT')),
    event jsonb NOT NULL,
    PRIMARY KEY (event_id, recorded_at)
) PARTITION BY RANGE (recorded_at);
CREATE INDEX lineage_event_job ON ops.lineage_event (job, event_id);
CREATE INDEX lineage_event_run ON ops.lineage_event (run_id);
COMMENT ON TABLE ops.lineage_event IS
'OpenLineage events: one START and one end per run, committed with the rows they describe';
COMMENT ON COLUMN ops.lineage_event.event_id IS 'Surrogate key; of one run the order in which it happened';
COMMENT ON COLUMN ops.lineage_event.recorded_at IS 'When it was written; what it is partitioned by';
COMMENT ON COLUMN ops.lineage_event.job IS 'Name of the job, as in the event';
COMMENT ON COLUMN ops.lineage_event.run_id IS 'Run, as in the event';
COMMENT ON COLUMN ops.lineage_event.event_type IS 'START, COMPLETE, FAIL or ABORT';
COMMENT ON COLUMN ops.lineage_event.event IS
'The event as OpenLineage 2-0-2 has it: names, schemas and counts; no value of any record';

-- Months begin in UTC, whoever migrates. The default partition is for the month that nobody made: a load must
-- not fail for want of a place for its lineage.
SET LOCAL timezone = 'UTC';
SELECT partman.create_parent(
    p_parent_table := 'ops.lineage_event',
    p_control := 'recorded_at',
    p_interval := '1 month',
    p_premake := 4
);

CREATE TABLE ops.lineage_run (
    subject text PRIMARY KEY,
    run_id uuid NOT NULL,
    job text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    event jsonb NOT NULL
);
COMMENT ON TABLE ops.lineage_run IS 'Runs that have begun and not ended: loads of files, syncs, days of the archive';
COMMENT ON COLUMN ops.lineage_run.subject IS 'What the run is about, e.g. file:42; one run of it at a time';
COMMENT ON COLUMN ops.lineage_run.run_id IS 'Run; the batches within it name it as their parent';
COMMENT ON COLUMN ops.lineage_run.job IS 'Name of the job';
COMMENT ON COLUMN ops.lineage_run.started_at IS 'When it began';
COMMENT ON COLUMN ops.lineage_run.event IS 'What its START says, and its end repeats';

CREATE TABLE ops.lineage_mark (
    mark_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('batch', 'refresh')),
    subject text NOT NULL,
    source jsonb,
    batch_id bigint,
    rows bigint,
    lo timestamptz,
    hi timestamptz,
    started_at timestamptz NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE ops.lineage_mark IS
'Stream batches and refreshes that are in no event yet; they become one event per subject and minute';
COMMENT ON COLUMN ops.lineage_mark.mark_id IS 'Surrogate key';
COMMENT ON COLUMN ops.lineage_mark.kind IS 'batch or refresh';
COMMENT ON COLUMN ops.lineage_mark.subject IS 'Dataset of the batch, or rollup';
COMMENT ON COLUMN ops.lineage_mark.source IS 'Dataset that the batch was read from: namespace and name';
COMMENT ON COLUMN ops.lineage_mark.batch_id IS 'The batch';
COMMENT ON COLUMN ops.lineage_mark.rows IS 'Rows in Bronze, or rows of the rollup that were written, if known';
COMMENT ON COLUMN ops.lineage_mark.lo IS 'First bucket that was refreshed';
COMMENT ON COLUMN ops.lineage_mark.hi IS 'End of the last bucket that was refreshed';
COMMENT ON COLUMN ops.lineage_mark.started_at IS 'When the work began';
COMMENT ON COLUMN ops.lineage_mark.noted_at IS 'When it was noted; its minute is the window';

CREATE TABLE ops.lineage_outbox (
    event_id bigint PRIMARY KEY,
    recorded_at timestamptz NOT NULL,
    run_id uuid NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT '-infinity',
    problem text,
    parked_at timestamptz
);
CREATE INDEX lineage_outbox_run ON ops.lineage_outbox (run_id, event_id);
COMMENT ON TABLE ops.lineage_outbox IS
'Events that wait to be sent to the lineage server; a row goes once the server has taken the event';
COMMENT ON COLUMN ops.lineage_outbox.event_id IS 'The event';
COMMENT ON COLUMN ops.lineage_outbox.recorded_at IS 'When it was written, to find its partition';
COMMENT ON COLUMN ops.lineage_outbox.run_id IS 'Its run: events of a run are sent in their order';
COMMENT ON COLUMN ops.lineage_outbox.attempts IS 'How often it was tried in vain';
COMMENT ON COLUMN ops.lineage_outbox.next_attempt_at IS 'Not to be tried before';
COMMENT ON COLUMN ops.lineage_outbox.problem IS 'What came of the last attempt';
COMMENT ON COLUMN ops.lineage_outbox.parked_at IS
'When the server refused it for good; it is in nobody''s way and tried no more. Null: it waits';

-- An event names the server by this: other tools must know the tables under the same name.
INSERT INTO ops.setting (name, value, description)
SELECT
    'lineage_namespace' AS name,
    pg_catalog.format(
        'postgres://%s:%s', coalesce(pg_catalog.host(pg_catalog.inet_server_addr()), 'localhost'),
        pg_catalog.current_setting('port')
    ) AS value,
    'Name of this server in lineage events, postgres://host:port' AS description;
INSERT INTO ops.setting (name, value, description) VALUES
('lineage_retention', '90 days', 'Months of lineage events that ended earlier than this are dropped'),
('lineage_send', 'off', 'on: events are queued for the lineage server; telestream lineage send sets it');

-- Classes of the columns above, as 0011 keeps them.
INSERT INTO ops.pii_class (schema_name, table_name, column_name, pii_class)
SELECT
    'ops' AS schema_name,
    t.table_name,
    u.column_name,
    'none' AS pii_class
FROM (
    VALUES
    ('lineage_event', ARRAY['event_id', 'recorded_at', 'job', 'run_id', 'event_type', 'event']),
    ('lineage_run', ARRAY['subject', 'run_id', 'job', 'started_at', 'event']),
    (
        'lineage_mark',
        ARRAY['mark_id', 'kind', 'subject', 'source', 'batch_id', 'rows', 'lo', 'hi', 'started_at', 'noted_at']
    ),
    (
        'lineage_outbox',
        ARRAY['event_id', 'recorded_at', 'run_id', 'attempts', 'next_attempt_at', 'problem', 'parked_at']
    )
) AS t (table_name, column_names)
CROSS JOIN LATERAL unnest(t.column_names) AS u (column_name);

RESET ROLE;
