SET LOCAL ROLE telestream_owner;

-- The horizon --------------------------------------------------------------------------------------

CREATE TABLE ops.horizon (
    dataset text PRIMARY KEY,
    kept_from timestamptz NOT NULL DEFAULT '-infinity',
    raised_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE ops.horizon IS
'Per fact the time before which Gold is final: older rows are refused, older buckets are never computed anew';
COMMENT ON COLUMN ops.horizon.dataset IS 'cdr or network_event';
COMMENT ON COLUMN ops.horizon.kept_from IS
'Days before it may have left Silver; the start of a bucket of every rollup over the fact';
COMMENT ON COLUMN ops.horizon.raised_at IS 'When it last rose';
INSERT INTO ops.horizon (dataset) VALUES ('cdr'), ('network_event');

-- Rules are tried when they are written, by a trigger that is not there yet on a new database.
ALTER TABLE quality.rule DISABLE TRIGGER USER;
INSERT INTO quality.rule (dataset, rule, dimension, severity, predicate, message) VALUES
(
    'cdr', 'before_horizon', 'timeliness', 'error',
    $$b.started_at < (SELECT h.kept_from FROM ops.horizon AS h WHERE h.dataset = 'cdr')$$,
    'started_at lies before the horizon: Gold of that day is final, see ops.horizon'
),
(
    'network_event', 'before_horizon', 'timeliness', 'error',
    $$b.event_at < (SELECT h.kept_from FROM ops.horizon AS h WHERE h.dataset = 'network_event')$$,
    'event_at lies before the horizon: Gold of that day is final, see ops.horizon'
);
ALTER TABLE quality.rule ENABLE TRIGGER USER;

-- Community edition: whoever refreshes a continuous aggregate by hand passes our routines by, and the server
-- would delete the buckets of dropped days, since it finds no facts for them. So what it stores refuses to be
-- deleted. State, since triggers of the revision stand on it.
CREATE FUNCTION rollup.refuse_final_delete()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF old.bucket < (SELECT h.kept_from FROM ops.horizon AS h WHERE h.dataset = tg_argv[0]) THEN
        RAISE EXCEPTION 'Gold of % is final in the bucket of %', tg_argv[0], old.bucket
            USING ERRCODE = 'TS011',
            DETAIL = 'A refresh was to compute it anew, but its facts may have left Silver.',
            HINT = 'Refresh from the horizon on, see ops.horizon.';
    END IF;
    RETURN CASE tg_op WHEN 'DELETE' THEN old ELSE new END;
END
$$;
COMMENT ON FUNCTION rollup.refuse_final_delete() IS
'Keeps stored buckets before the horizon from being deleted';
REVOKE ALL ON FUNCTION rollup.refuse_final_delete() FROM PUBLIC;
DO $$
DECLARE
    v_store record;
BEGIN
    IF pg_catalog.current_setting('timescaledb.license') = 'timescale' THEN
        FOR v_store IN
            SELECT
                c.materialization_hypertable_schema AS store_schema,
                c.materialization_hypertable_name AS store_name,
                pg_catalog.replace(d.source, 'silver.fact_', '') AS dataset
            FROM rollup.definition AS d
            INNER JOIN timescaledb_information.continuous_aggregates AS c
                ON c.view_schema = 'rollup' AND c.view_name = d.rollup_name || '_v' || d.version
            WHERE d.source LIKE 'silver.%'
        LOOP
            EXECUTE pg_catalog.format(
                'CREATE TRIGGER final_guard BEFORE DELETE OR UPDATE ON %I.%I '
                'FOR EACH ROW EXECUTE FUNCTION rollup.refuse_final_delete(%L)',
                v_store.store_schema, v_store.store_name, v_store.dataset
            );
        END LOOP;
    END IF;
END
$$;

-- Archive ------------------------------------------------------------------------------------------

CREATE TABLE ops.archive_day (
    dataset text NOT NULL,
    day date NOT NULL,
    target text NOT NULL,
    state text NOT NULL CHECK (state IN ('written', 'verified', 'dropped')),
    rows bigint NOT NULL,
    checksum numeric NOT NULL,
    table_version bigint NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    verified_at timestamptz,
    dropped_at timestamptz,
    PRIMARY KEY (dataset, day)
);
COMMENT ON TABLE ops.archive_day IS
'The archive''s ledger: which UTC days of which fact are in Delta Lake';
COMMENT ON COLUMN ops.archive_day.dataset IS 'cdr or network_event';
COMMENT ON COLUMN ops.archive_day.day IS 'Day in UTC';
COMMENT ON COLUMN ops.archive_day.target IS
'The Delta table that holds it: folder or address';
COMMENT ON COLUMN ops.archive_day.state IS
'written; verified: count and checksum read back are those of Silver; dropped: Silver has let go of it';
COMMENT ON COLUMN ops.archive_day.rows IS 'Rows of the day in the archive';
COMMENT ON COLUMN ops.archive_day.checksum IS
'Sum over the rows of the first 60 bits of the MD5 of the row; its order does not matter';
COMMENT ON COLUMN ops.archive_day.table_version IS 'Version of the Delta table that holds the day';
COMMENT ON COLUMN ops.archive_day.written_at IS 'When it was written';
COMMENT ON COLUMN ops.archive_day.verified_at IS 'When it was last found equal to Silver';
COMMENT ON COLUMN ops.archive_day.dropped_at IS
'When Silver let go of it; the archive holds the only copy since';

CREATE TABLE ops.archive_column (
    dataset text NOT NULL,
    position integer NOT NULL,
    name text NOT NULL,
    left_out_because text,
    PRIMARY KEY (dataset, name),
    UNIQUE (dataset, position)
);
COMMENT ON TABLE ops.archive_column IS
'What of each fact goes to the archive, in this order; a column that is not listed never leaves';
COMMENT ON COLUMN ops.archive_column.dataset IS 'cdr or network_event';
COMMENT ON COLUMN ops.archive_column.position IS 'Place in the archive';
COMMENT ON COLUMN ops.archive_column.name IS 'Column of the fact';
COMMENT ON COLUMN ops.archive_column.left_out_because IS 'Null: it is archived; else why it is not';
INSERT INTO ops.archive_column (dataset, position, name, left_out_because) VALUES
('cdr', 1, 'started_at', NULL),
('cdr', 2, 'answered_at', NULL),
('cdr', 3, 'ended_at', NULL),
('cdr', 4, 'cdr_id', NULL),
('cdr', 5, 'batch_id', NULL),
('cdr', 6, 'source_line', NULL),
('cdr', 7, 'subscriber_id', NULL),
('cdr', 8, 'caller_id', NULL),
('cdr', 9, 'called_id', NULL),
('cdr', 10, 'bytes_up', NULL),
('cdr', 11, 'bytes_down', NULL),
('cdr', 12, 'charge_micro', NULL),
('cdr', 13, 'duration_s', NULL),
('cdr', 14, 'billed_s', NULL),
('cdr', 15, 'cell_key', NULL),
('cdr', 16, 'region_key', NULL),
('cdr', 17, 'plan_key', NULL),
('cdr', 18, 'is_roaming', NULL),
('cdr', 19, 'source_system', NULL),
('cdr', 20, 'record_type', NULL),
('cdr', 21, 'direction', NULL),
('cdr', 22, 'technology', NULL),
('cdr', 23, 'disposition', NULL),
('cdr', 24, 'cause', NULL),
('cdr', 25, 'currency', NULL),
('cdr', 26, 'tac', NULL),
('cdr', 27, 'apn', NULL),
('cdr', 28, 'customer_key', NULL),
('cdr', 29, 'is_plan_of_customer', NULL),
('network_event', 1, 'event_at', NULL),
('network_event', 2, 'event_id', NULL),
('network_event', 3, 'batch_id', NULL),
('network_event', 4, 'source_line', NULL),
('network_event', 5, 'subscriber_id', NULL),
('network_event', 6, 'cell_key', NULL),
('network_event', 7, 'rsrp_dbm', NULL),
('network_event', 8, 'rsrq_db', NULL),
('network_event', 9, 'sinr_db', NULL),
('network_event', 10, 'latency_ms', NULL),
('network_event', 11, 'throughput_up_kbps', NULL),
('network_event', 12, 'throughput_down_kbps', NULL),
('network_event', 13, 'packet_loss_pct', NULL),
('network_event', 14, 'is_late', NULL),
('network_event', 15, 'event_type', NULL),
('network_event', 16, 'technology', NULL),
('network_event', 17, 'source_system', NULL),
('network_event', 18, 'outcome', NULL),
('network_event', 19, 'severity', NULL),
('network_event', 20, 'cause', NULL),
('cdr', 100, 'extras', 'further fields of the source, unchecked: they may name a person'),
('network_event', 100, 'payload', 'further fields of the vendor, unchecked: they may name a person');

-- Retention ----------------------------------------------------------------------------------------

CREATE TABLE ops.retention_rule (
    record_class text NOT NULL CHECK (
        record_class IN (
            'bronze.cdr', 'bronze.network_event', 'silver.cdr', 'silver.network_event', 'quarantine',
            'dead_letter'
        )
    ),
    jurisdiction text NOT NULL DEFAULT '*',
    minimum interval,
    maximum interval,
    source text NOT NULL,
    PRIMARY KEY (record_class, jurisdiction),
    CHECK (minimum IS NOT NULL OR maximum IS NOT NULL)
);
COMMENT ON TABLE ops.retention_rule IS
'How long each kind of record must and may be kept; of the rules that apply the strictest counts. '
'What is shipped are examples, not legal advice';
COMMENT ON COLUMN ops.retention_rule.record_class IS 'Kind of record';
COMMENT ON COLUMN ops.retention_rule.jurisdiction IS
'Applies where ops.setting''s jurisdiction names it; * applies always';
COMMENT ON COLUMN ops.retention_rule.minimum IS 'Not dropped before it is this old; null: no minimum';
COMMENT ON COLUMN ops.retention_rule.maximum IS 'Dropped once it is older; null: no maximum';
COMMENT ON COLUMN ops.retention_rule.source IS 'Law, contract or policy it comes from';

-- What an operator has set for Bronze goes on to hold.
INSERT INTO ops.retention_rule (record_class, jurisdiction, minimum, maximum, source)
SELECT
    c.record_class,
    '*' AS jurisdiction,
    NULL::interval AS minimum,
    s.value::interval AS maximum,
    'Policy: raw records only as long as a load may have to be looked into' AS source
FROM (VALUES ('bronze.cdr'), ('bronze.network_event')) AS c (record_class)
INNER JOIN ops.setting AS s ON s.name = 'bronze_retention';
DELETE FROM ops.setting
WHERE name = 'bronze_retention';
INSERT INTO ops.retention_rule (record_class, jurisdiction, minimum, maximum, source) VALUES
('quarantine', '*', NULL, '90 days', 'Policy: refused records hold personal data in clear'),
('dead_letter', '*', NULL, '90 days', 'Policy: messages that could not be decoded may hold personal data'),
('silver.cdr', 'AU', '2 years', NULL, 'Example: Interception and Access Act 1979, s 187C'),
('silver.cdr', 'DE', NULL, '7 months', 'Example: TDDDG s 10, billing data six months after the bill'),
('silver.cdr', 'FR', '1 year', NULL, 'Example: CPCE article L34-1'),
('silver.cdr', 'GB', NULL, '12 months', 'Example: Investigatory Powers Act 2016, s 87, under a notice'),
('silver.cdr', 'IN', '2 years', NULL, 'Example: Unified Licence as amended in 2021'),
('silver.cdr', 'US', '18 months', NULL, 'Example: 47 CFR 42.6, toll records');

INSERT INTO ops.setting (name, value, description) VALUES
('hot_window', '90 days', 'Days of Silver that ended longer ago go to the archive'),
(
    'jurisdiction', '',
    'Whose rows of ops.retention_rule apply besides *, e.g. GB or GB,DE; empty: no other'
);

CREATE TABLE ops.legal_hold (
    hold_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset text CHECK (dataset IN ('cdr', 'network_event')),
    subscriber_id bigint,
    from_at timestamptz,
    to_at timestamptz,
    reason text NOT NULL CHECK (reason <> ''),
    placed_by text NOT NULL DEFAULT session_user,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    until timestamptz,
    CHECK (from_at < to_at),
    -- A hold on everything is asked for per dataset, not by leaving all out.
    CHECK (num_nonnulls(dataset, subscriber_id, from_at, to_at) > 0)
);
COMMENT ON TABLE ops.legal_hold IS 'What must not be dropped while it is in force, whatever its age';
COMMENT ON COLUMN ops.legal_hold.hold_id IS 'Surrogate key';
COMMENT ON COLUMN ops.legal_hold.dataset IS 'cdr or network_event; null: both';
COMMENT ON COLUMN ops.legal_hold.subscriber_id IS 'Surrogate of a person; null: everybody';
COMMENT ON COLUMN ops.legal_hold.from_at IS 'First event time; null: from the beginning';
COMMENT ON COLUMN ops.legal_hold.to_at IS 'End of the event times; null: without end';
COMMENT ON COLUMN ops.legal_hold.reason IS 'Why, e.g. the file number; no personal data';
COMMENT ON COLUMN ops.legal_hold.placed_by IS 'Login that placed it';
COMMENT ON COLUMN ops.legal_hold.since IS 'In force from';
COMMENT ON COLUMN ops.legal_hold.until IS 'In force until; null: until it is lifted';

-- Classes of the columns above, as 0011 keeps them.
INSERT INTO ops.pii_class (schema_name, table_name, column_name, pii_class)
SELECT
    'ops' AS schema_name,
    t.table_name,
    u.column_name,
    t.pii_class
FROM (
    VALUES
    ('horizon', 'none', ARRAY['dataset', 'kept_from', 'raised_at']),
    (
        'archive_day', 'none', ARRAY[
            'dataset', 'day', 'target', 'state', 'rows', 'checksum', 'table_version', 'written_at',
            'verified_at', 'dropped_at'
        ]
    ),
    ('archive_column', 'none', ARRAY['dataset', 'position', 'name', 'left_out_because']),
    ('retention_rule', 'none', ARRAY['record_class', 'jurisdiction', 'minimum', 'maximum', 'source']),
    ('legal_hold', 'none', ARRAY['hold_id', 'dataset', 'from_at', 'to_at', 'since', 'until']),
    ('legal_hold', 'pseudonym', ARRAY['subscriber_id']),
    ('legal_hold', 'content', ARRAY['reason']),
    ('legal_hold', 'staff', ARRAY['placed_by'])
) AS t (table_name, pii_class, column_names)
CROSS JOIN LATERAL unnest(t.column_names) AS u (column_name);

RESET ROLE;
