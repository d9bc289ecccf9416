SET LOCAL ROLE telestream_owner;

-- Kafka ------------------------------------------------------------------------------------------

CREATE TABLE ops.kafka_offset (
    incarnation text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    epoch bigint NOT NULL,
    owner text NOT NULL,
    log_end bigint NOT NULL DEFAULT 0,
    event_at timestamptz,
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (incarnation, topic, partition)
);
COMMENT ON TABLE ops.kafka_offset IS
'How far each partition has been read; moves in the transaction of the rows it describes';
COMMENT ON COLUMN ops.kafka_offset.incarnation IS
'Cluster id and topic id: a topic that was made again is another one and is read from its beginning';
COMMENT ON COLUMN ops.kafka_offset.topic IS 'Topic';
COMMENT ON COLUMN ops.kafka_offset.partition IS 'Partition of the topic';
COMMENT ON COLUMN ops.kafka_offset.next_offset IS 'Offset of the next message to read';
COMMENT ON COLUMN ops.kafka_offset.epoch IS
'Counts the claims; a consumer with an older epoch cannot commit';
COMMENT ON COLUMN ops.kafka_offset.owner IS 'Host, process and group of the consumer that claimed it last';
COMMENT ON COLUMN ops.kafka_offset.log_end IS
'End of the partition''s log when it was last read; equal to next_offset: nothing is waiting';
COMMENT ON COLUMN ops.kafka_offset.event_at IS
'Latest event time read; events more than allowed_event_lateness before it are late';
COMMENT ON COLUMN ops.kafka_offset.claimed_at IS 'When it was claimed';
COMMENT ON COLUMN ops.kafka_offset.updated_at IS 'When it last moved';

CREATE TABLE ops.kafka_slice (
    batch_id bigint NOT NULL REFERENCES ops.batch,
    incarnation text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    first_offset bigint NOT NULL,
    first_line bigint NOT NULL,
    messages bigint NOT NULL CHECK (messages > 0),
    PRIMARY KEY (batch_id, first_line)
);
-- Not unique: a log that was truncated gives its offsets again.
CREATE INDEX kafka_slice_offset ON ops.kafka_slice (incarnation, topic, partition, first_offset);
COMMENT ON TABLE ops.kafka_slice IS
'Which messages a batch is made of: line L of the batch is offset first_offset + L - first_line of its slice';
COMMENT ON COLUMN ops.kafka_slice.batch_id IS 'The batch';
COMMENT ON COLUMN ops.kafka_slice.incarnation IS 'Cluster id and topic id';
COMMENT ON COLUMN ops.kafka_slice.topic IS 'Topic';
COMMENT ON COLUMN ops.kafka_slice.partition IS 'Partition of the topic';
COMMENT ON COLUMN ops.kafka_slice.first_offset IS 'Offset of its first message; those after it have no gap';
COMMENT ON COLUMN ops.kafka_slice.first_line IS 'Line of its first message in the batch, from 1';
COMMENT ON COLUMN ops.kafka_slice.messages IS 'How many messages it has';

CREATE TABLE ops.dead_letter (
    dead_letter_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id bigint NOT NULL REFERENCES ops.batch,
    incarnation text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    kafka_offset bigint NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    key bytea,
    value bytea,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_at timestamptz,
    UNIQUE (batch_id, incarnation, topic, partition, kafka_offset)
);
CREATE INDEX dead_letter_unpublished ON ops.dead_letter (dead_letter_id) WHERE published_at IS NULL;
COMMENT ON TABLE ops.dead_letter IS
'Every message that could not be decoded, with its bytes and where it stood; may hold personal data';
COMMENT ON COLUMN ops.dead_letter.dead_letter_id IS 'Surrogate key';
COMMENT ON COLUMN ops.dead_letter.batch_id IS 'The batch it was read with';
COMMENT ON COLUMN ops.dead_letter.incarnation IS 'Cluster id and topic id';
COMMENT ON COLUMN ops.dead_letter.topic IS 'Topic';
COMMENT ON COLUMN ops.dead_letter.partition IS 'Partition';
COMMENT ON COLUMN ops.dead_letter.kafka_offset IS 'Offset';
COMMENT ON COLUMN ops.dead_letter.reason IS 'Why, as a code, e.g. unknown_schema';
COMMENT ON COLUMN ops.dead_letter.detail IS 'Why, for people';
COMMENT ON COLUMN ops.dead_letter.key IS 'Key of the message';
COMMENT ON COLUMN ops.dead_letter.value IS 'Value of the message as it was';
COMMENT ON COLUMN ops.dead_letter.received_at IS 'When it was read';
COMMENT ON COLUMN ops.dead_letter.published_at IS 'When the dead-letter topic had acknowledged it';

CREATE TABLE ops.outbox (
    outbox_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id uuid NOT NULL UNIQUE,
    topic text NOT NULL,
    key text NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_at timestamptz
);
CREATE INDEX outbox_unpublished ON ops.outbox (outbox_id) WHERE published_at IS NULL;
COMMENT ON TABLE ops.outbox IS
'Alerts to publish, written in the transaction that raises them; sent at least once under a stable id';
COMMENT ON COLUMN ops.outbox.outbox_id IS 'Surrogate key, the order of publishing';
COMMENT ON COLUMN ops.outbox.alert_id IS 'Stable id: a receiver that has seen it ignores the repetition';
COMMENT ON COLUMN ops.outbox.topic IS 'Kafka topic';
COMMENT ON COLUMN ops.outbox.key IS 'Kafka key';
COMMENT ON COLUMN ops.outbox.payload IS 'The alert, fields as in consumers/schemas/alert.avsc';
COMMENT ON COLUMN ops.outbox.created_at IS 'When it was raised';
COMMENT ON COLUMN ops.outbox.published_at IS 'When the broker had acknowledged it';

INSERT INTO ops.setting (name, value, description) VALUES
(
    'allowed_event_lateness', '10 minutes',
    'A network event this far behind the latest of its partition is marked late; in force after a restart'
);

-- Bronze -----------------------------------------------------------------------------------------

CREATE TABLE bronze.network_event (
    batch_id bigint NOT NULL,
    line bigint NOT NULL,
    event_id text,
    event_at timestamptz,
    source_system text,
    event_type text,
    outcome text,
    cell_id text,
    technology text,
    severity text,
    subscriber text,
    rsrp_dbm double precision,
    rsrq_db double precision,
    sinr_db double precision,
    latency_ms double precision,
    throughput_up_kbps double precision,
    throughput_down_kbps double precision,
    packet_loss_pct double precision,
    cause text,
    payload text,
    is_late boolean
) PARTITION BY RANGE (batch_id);
-- Not BRIN: it knows nothing of pages since the last vacuum, and a batch would read those of all before it.
CREATE INDEX network_event_batch ON bronze.network_event (batch_id);
COMMENT ON TABLE bronze.network_event IS
'Network events as decoded, append-only, personal data in clear; columns as in silver.fact_network_event';

-- A consumer commits several batches a second: a partition holds 20000 of them, some hours.
SELECT partman.create_parent(
    p_parent_table := 'bronze.network_event',
    p_control := 'batch_id',
    p_interval := '20000',
    p_premake := 4
);

-- CDRs come in small batches as well now. A partitioned table takes no index concurrently.
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX bronze.cdr_batch;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX cdr_batch ON bronze.cdr (batch_id);

-- Silver -----------------------------------------------------------------------------------------

CREATE TABLE silver.fact_network_event (
    event_at timestamptz NOT NULL,
    event_id uuid NOT NULL,
    batch_id bigint NOT NULL,
    source_line bigint NOT NULL,
    subscriber_id bigint NOT NULL,
    cell_key integer NOT NULL,
    rsrp_dbm real,
    rsrq_db real,
    sinr_db real,
    latency_ms real,
    throughput_up_kbps real,
    throughput_down_kbps real,
    packet_loss_pct real,
    is_late boolean NOT NULL,
    event_type text NOT NULL,
    technology text NOT NULL,
    source_system text NOT NULL,
    outcome text,
    severity text,
    cause text,
    payload jsonb
);
SELECT public.create_hypertable(
    'silver.fact_network_event',
    public.by_range('event_at', interval '6 hours'),
    create_default_indexes => false
);
ALTER TABLE silver.fact_network_event ADD PRIMARY KEY (event_at, event_id);
COMMENT ON TABLE silver.fact_network_event IS
'Network events, pseudonymised, each once; its key is its only index: read by time, or read gold';
COMMENT ON COLUMN silver.fact_network_event.event_at IS 'When it happened';
COMMENT ON COLUMN silver.fact_network_event.event_id IS 'Deterministic: MD5 of source system and event id';
COMMENT ON COLUMN silver.fact_network_event.batch_id IS 'Lineage: ops.batch and ops.kafka_slice';
COMMENT ON COLUMN silver.fact_network_event.source_line IS 'Position in the batch, see ops.kafka_slice';
COMMENT ON COLUMN silver.fact_network_event.subscriber_id IS 'Surrogate of the subscriber; 0 is none';
COMMENT ON COLUMN silver.fact_network_event.cell_key IS 'See silver.dim_network_cell; 0 is unknown';
COMMENT ON COLUMN silver.fact_network_event.rsrp_dbm IS 'Reference signal received power, dBm';
COMMENT ON COLUMN silver.fact_network_event.rsrq_db IS 'Reference signal received quality, dB';
COMMENT ON COLUMN silver.fact_network_event.sinr_db IS 'Signal to interference and noise ratio, dB';
COMMENT ON COLUMN silver.fact_network_event.latency_ms IS 'Round trip, milliseconds';
COMMENT ON COLUMN silver.fact_network_event.throughput_up_kbps IS 'From the subscriber, kbit/s';
COMMENT ON COLUMN silver.fact_network_event.throughput_down_kbps IS 'To the subscriber, kbit/s';
COMMENT ON COLUMN silver.fact_network_event.packet_loss_pct IS 'Lost packets, per cent';
COMMENT ON COLUMN silver.fact_network_event.is_late IS
'Arrived behind a later event of its partition by more than allowed_event_lateness';
COMMENT ON COLUMN silver.fact_network_event.event_type IS
'attach, detach, handover, rrc_setup, drop, alarm, kpi_sample or other';
COMMENT ON COLUMN silver.fact_network_event.technology IS '2g, 3g, 4g, 5g or unknown';
COMMENT ON COLUMN silver.fact_network_event.source_system IS 'System that reported it';
COMMENT ON COLUMN silver.fact_network_event.outcome IS 'success or failure of an attach, handover or set-up';
COMMENT ON COLUMN silver.fact_network_event.severity IS 'info, warning, minor, major or critical';
COMMENT ON COLUMN silver.fact_network_event.cause IS 'Cause as the source writes it';
COMMENT ON COLUMN silver.fact_network_event.payload IS
'Further fields of the vendor; may be personal, never shown to analysts';

INSERT INTO quality.rule (dataset, rule, dimension, severity, predicate, message) VALUES
(
    'network_event', 'duplicate', 'uniqueness', 'warning', NULL,
    'the event is already in Silver or earlier in the batch'
),
(
    'network_event', 'missing_event_id', 'completeness', 'error',
    $$b.event_id IS NULL OR b.event_id = ''$$,
    'event_id is missing'
),
(
    'network_event', 'missing_source_system', 'completeness', 'error',
    $$b.source_system IS NULL$$,
    'source_system is missing'
),
('network_event', 'missing_event_at', 'completeness', 'error', $$b.event_at IS NULL$$, 'event_at is missing'),
('network_event', 'missing_cell', 'completeness', 'warning', $$b.cell_id IS NULL$$, 'cell_id is missing'),
(
    'network_event', 'unknown_event_type', 'validity', 'error',
    $$b.event_type IS NULL OR b.event_type
    NOT IN ('attach', 'detach', 'handover', 'rrc_setup', 'drop', 'alarm', 'kpi_sample', 'other')$$,
    'event_type is not attach, detach, handover, rrc_setup, drop, alarm, kpi_sample or other'
),
(
    'network_event', 'unknown_outcome', 'validity', 'warning',
    $$b.outcome NOT IN ('success', 'failure')$$,
    'outcome is not success or failure'
),
(
    'network_event', 'unknown_technology', 'validity', 'warning',
    $$b.technology NOT IN ('2g', '3g', '4g', '5g')$$,
    'technology is not 2g, 3g, 4g or 5g'
),
(
    'network_event', 'unknown_severity', 'validity', 'warning',
    $$b.severity NOT IN ('info', 'warning', 'minor', 'major', 'critical')$$,
    'severity is not info, warning, minor, major or critical'
),
(
    'network_event', 'subscriber_not_e164', 'validity', 'error',
    $$pg_catalog.left(b.subscriber, 1) <> '+'
    OR pg_catalog.length(b.subscriber) NOT BETWEEN 8 AND 16
    OR pg_catalog.ltrim(b.subscriber, '+0123456789') <> ''$$,
    'subscriber is not an E.164 number'
),
(
    'network_event', 'radio_out_of_range', 'validity', 'error',
    $$b.rsrp_dbm NOT BETWEEN -160 AND 0 OR b.rsrq_db NOT BETWEEN -50 AND 30
    OR b.sinr_db NOT BETWEEN -60 AND 80$$,
    'rsrp_dbm is not within -160 to 0, rsrq_db not within -50 to 30, or sinr_db not within -60 to 80'
),
(
    'network_event', 'service_out_of_range', 'validity', 'error',
    $$b.latency_ms NOT BETWEEN 0 AND 600000 OR b.packet_loss_pct NOT BETWEEN 0 AND 100
    OR b.throughput_up_kbps NOT BETWEEN 0 AND 100000000
    OR b.throughput_down_kbps NOT BETWEEN 0 AND 100000000$$,
    'a latency, loss or throughput is negative or impossibly large'
),
(
    'network_event', 'payload_not_json', 'validity', 'error',
    $$b.payload IS NOT NULL AND NOT pg_catalog.pg_input_is_valid(b.payload, 'jsonb')$$,
    'payload is not a JSON text'
),
(
    'network_event', 'event_time_window', 'timeliness', 'error',
    $$b.event_at NOT BETWEEN x.earliest_event_at AND x.latest_event_at$$,
    'event_at lies outside the accepted window, see ops.setting'
),
('network_event', 'late', 'timeliness', 'warning', $$b.is_late$$, 'the event is late');

RESET ROLE;
