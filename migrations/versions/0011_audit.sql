-- A role nobody holds: where pgaudit is loaded, what it may read is what pgaudit notes of the logins that ask
-- for it. It belongs to the cluster: two databases may be migrated at the same moment.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'telestream_audited') THEN
        CREATE ROLE telestream_audited NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END
$$;

SET LOCAL ROLE telestream_owner;

-- The access log ---------------------------------------------------------------------------------

-- Under its old name the API of before would write past the chain: it is stopped for the upgrade anyway.
-- squawk-ignore renaming-table
ALTER TABLE audit.access_log RENAME TO access_inbox;
-- squawk-ignore renaming-object
ALTER TABLE audit.access_inbox RENAME CONSTRAINT access_log_pkey TO access_inbox_pkey;
-- squawk-ignore renaming-object
ALTER SEQUENCE audit.access_log_access_id_seq RENAME TO access_inbox_access_id_seq;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX audit.access_log_at;
ALTER TABLE audit.access_inbox ADD COLUMN reason text;
COMMENT ON TABLE audit.access_inbox IS
'Rows of the access log that wait for their place in the chain; a row leaves only into audit.access_log';
COMMENT ON COLUMN audit.access_inbox.principal IS 'Who: key:<key_id>, jwt:<subject> or db:<login>';
COMMENT ON COLUMN audit.access_inbox.operation IS
'Name of the GraphQL operation; reveal: a person was detokenised';
COMMENT ON COLUMN audit.access_inbox.field IS 'Field of the schema, or table, that was read';
COMMENT ON COLUMN audit.access_inbox.reason IS
'Why, in the words of the reader; null where none is asked for';

CREATE TABLE audit.access_log (
    position bigint NOT NULL,
    logged_at timestamptz NOT NULL,
    access_id bigint NOT NULL,
    at timestamptz NOT NULL,
    principal text NOT NULL,
    role text NOT NULL,
    operation text NOT NULL,
    field text NOT NULL,
    variables_sha256 text NOT NULL,
    object_ids text[] NOT NULL,
    rows_read bigint NOT NULL,
    request_id text NOT NULL,
    reason text,
    chain bytea NOT NULL CHECK (octet_length(chain) = 32),
    PRIMARY KEY (position, logged_at)
) PARTITION BY RANGE (logged_at);
CREATE INDEX access_log_access ON audit.access_log (access_id);
CREATE INDEX access_log_at ON audit.access_log USING brin (at);
COMMENT ON TABLE audit.access_log IS
'One row per request and field that read personal or customer-level data, chained by hashes; never changed';
COMMENT ON COLUMN audit.access_log.position IS 'Place in the chain, from 1 without a gap';
COMMENT ON COLUMN audit.access_log.logged_at IS 'When it was chained; grows with the position';
COMMENT ON COLUMN audit.access_log.access_id IS 'Key it had in audit.access_inbox';
COMMENT ON COLUMN audit.access_log.at IS 'When it was read';
COMMENT ON COLUMN audit.access_log.principal IS 'Who: key:<key_id>, jwt:<subject> or db:<login>';
COMMENT ON COLUMN audit.access_log.role IS 'Database role it was read as';
COMMENT ON COLUMN audit.access_log.operation IS
'Name of the GraphQL operation; reveal: a person was detokenised; drop partition: retention';
COMMENT ON COLUMN audit.access_log.field IS 'Field of the schema, or table, that was read';
COMMENT ON COLUMN audit.access_log.variables_sha256 IS
'SHA-256 of the variables as JSON with sorted keys, hex';
COMMENT ON COLUMN audit.access_log.object_ids IS 'Surrogates or ids that were read, at most 500';
COMMENT ON COLUMN audit.access_log.rows_read IS 'Rows that were returned';
COMMENT ON COLUMN audit.access_log.request_id IS 'Id of the request, as in the log and in X-Request-Id';
COMMENT ON COLUMN audit.access_log.reason IS 'Why, in the words of the reader; null where none is asked for';
COMMENT ON COLUMN audit.access_log.chain IS
'SHA-256 of the chain of the row before and of all columns of this row';

-- Months begin in UTC, whoever migrates. No default partition: a new month would wait for all who read it.
SET LOCAL timezone = 'UTC';
SELECT partman.create_parent(
    p_parent_table := 'audit.access_log',
    p_control := 'logged_at',
    p_interval := '1 month',
    p_premake := 4,
    p_default_table := false
);

CREATE TABLE audit.chain_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint NOT NULL,
    logged_at timestamptz NOT NULL,
    chain bytea NOT NULL
);
COMMENT ON TABLE audit.chain_head IS 'Where the chain of the access log ends; whoever chains holds its row';
COMMENT ON COLUMN audit.chain_head.only_row IS 'There is one row';
COMMENT ON COLUMN audit.chain_head.position IS 'Position of the last row; 0 before the first';
COMMENT ON COLUMN audit.chain_head.logged_at IS 'When the last row was chained';
COMMENT ON COLUMN audit.chain_head.chain IS 'Its hash';
INSERT INTO audit.chain_head (position, logged_at, chain)
VALUES (0, timestamptz '1970-01-01 00:00:00+00', decode(repeat('00', 32), 'hex'));

CREATE TABLE audit.anchor (
    position bigint PRIMARY KEY,
    chain bytea NOT NULL,
    partition_name text NOT NULL,
    rows_dropped bigint NOT NULL CHECK (rows_dropped > 0),
    first_logged_at timestamptz NOT NULL,
    last_logged_at timestamptz NOT NULL,
    dropped_at timestamptz NOT NULL
);
COMMENT ON TABLE audit.anchor IS
'Partitions that retention has dropped: the chain is verified from the last of them on';
COMMENT ON COLUMN audit.anchor.position IS 'Position of the last row that was dropped';
COMMENT ON COLUMN audit.anchor.chain IS 'Its hash, which the next row continues';
COMMENT ON COLUMN audit.anchor.partition_name IS 'The partition';
COMMENT ON COLUMN audit.anchor.rows_dropped IS 'How many rows it had';
COMMENT ON COLUMN audit.anchor.first_logged_at IS 'When its first row was chained';
COMMENT ON COLUMN audit.anchor.last_logged_at IS 'When its last row was chained';
COMMENT ON COLUMN audit.anchor.dropped_at IS 'When it was dropped; a row of the log says so too';

INSERT INTO ops.setting (name, value, description) VALUES
('audit_retention', '2 years', 'Partitions of the access log that ended earlier than this are dropped');

-- Masking ----------------------------------------------------------------------------------------

CREATE SCHEMA masked_api;
CREATE SCHEMA masked_analyst;
CREATE SCHEMA masked_engineer;
COMMENT ON SCHEMA masked_api IS 'Masked views for telestream_api, made from privacy.masking_rule';
COMMENT ON SCHEMA masked_analyst IS 'Masked views for telestream_analyst, made from privacy.masking_rule';
COMMENT ON SCHEMA masked_engineer IS 'Masked views for telestream_engineer, made from privacy.masking_rule';

CREATE TABLE privacy.masking_rule (
    schema_name text NOT NULL,
    table_name text NOT NULL,
    column_name text NOT NULL,
    role text NOT NULL CHECK (role IN ('api', 'analyst', 'engineer')),
    mask text NOT NULL CHECK (
        mask IN ('keep', 'null', 'partial', 'hash', 'generalize', 'noise', 'pseudonym')
    ),
    arguments jsonb NOT NULL DEFAULT '{}',
    reason text NOT NULL CHECK (reason <> ''),
    PRIMARY KEY (schema_name, table_name, column_name, role)
);
COMMENT ON TABLE privacy.masking_rule IS
'What a role sees of a column; in force after telestream masking apply';
COMMENT ON COLUMN privacy.masking_rule.schema_name IS 'Schema of the table';
COMMENT ON COLUMN privacy.masking_rule.table_name IS 'Table';
COMMENT ON COLUMN privacy.masking_rule.column_name IS 'Column';
COMMENT ON COLUMN privacy.masking_rule.role IS 'Role that sees it so, without the prefix telestream_';
COMMENT ON COLUMN privacy.masking_rule.mask IS
'keep, null, partial, hash, generalize, noise or pseudonym; see docs/security.md';
COMMENT ON COLUMN privacy.masking_rule.arguments IS
'partial: prefix, padding, suffix; generalize: step (numbers) or unit (times); noise: ratio';
COMMENT ON COLUMN privacy.masking_rule.reason IS 'Why, for people';

CREATE TABLE privacy.mask_salt (
    role text PRIMARY KEY,
    salt bytea NOT NULL CHECK (octet_length(salt) >= 32)
);
COMMENT ON TABLE privacy.mask_salt IS
'Secret of the masks hash, pseudonym and noise, one per role; no reader may see it';
COMMENT ON COLUMN privacy.mask_salt.role IS 'Role, without the prefix telestream_';
COMMENT ON COLUMN privacy.mask_salt.salt IS 'Random bytes; other bytes give other pseudonyms';

INSERT INTO privacy.masking_rule
(schema_name, table_name, column_name, role, mask, arguments, reason)
SELECT
    r.schema_name,
    r.table_name,
    c.column_name,
    r.role,
    r.mask,
    r.arguments::jsonb,
    r.reason
FROM (
    VALUES
    (
        'silver', 'fact_cdr', '{subscriber_id,caller_id,called_id}', 'analyst', 'keep', '{}',
        'surrogates, which name nobody; Gold shows them too'
    ),
    (
        'silver', 'fact_cdr', '{customer_key}', 'analyst', 'keep', '{}',
        'a surrogate of a version; Gold shows it too'
    ),
    (
        'silver', 'dim_customer', '{customer_key,subscriber_id}', 'analyst', 'keep', '{}',
        'surrogates, which name nobody; Gold shows them too'
    ),
    (
        'silver', 'dim_customer', '{customer_id}', 'analyst', 'null', '{}',
        'the number that the customer has in other systems'
    ),
    (
        'silver', 'dim_customer', '{birth_year}', 'analyst', 'generalize', '{"step": 10}',
        'a decade does not single a person out'
    ),
    (
        'silver', 'customer_change', '{subscriber_id}', 'analyst', 'keep', '{}',
        'a surrogate, which names nobody'
    ),
    (
        'silver', 'customer_change', '{customer_id}', 'analyst', 'null', '{}',
        'the number that the customer has in other systems'
    ),
    (
        'silver', 'customer_change', '{birth_year}', 'analyst', 'generalize', '{"step": 10}',
        'a decade does not single a person out'
    ),
    (
        'silver', 'customer_rekey', '{subscriber_id}', 'analyst', 'keep', '{}',
        'a surrogate, which names nobody'
    ),
    (
        'bronze', 'customer', '{customer_id,msisdn}', 'analyst', 'null', '{}',
        'batch and line lead to the surrogate, so the number may not stand beside them'
    ),
    (
        'bronze', 'customer', '{birth_year}', 'analyst', 'generalize', '{"step": 10}',
        'a decade does not single a person out'
    ),
    (
        'silver', 'fact_cdr',
        '{tac}',
        'analyst', 'partial', '{"prefix": 4, "padding": "****", "suffix": 0}',
        'a rare model singles a person out'
    ),
    (
        'silver', 'fact_cdr', '{extras,cause}', 'analyst', 'null', '{}',
        'text of the source may hold anything'
    ),
    (
        'silver', 'fact_cdr', '{apn}', 'analyst', 'keep', '{}',
        'a name of the network; Gold shows it too'
    ),
    (
        'silver', 'fact_network_event', '{subscriber_id}', 'analyst', 'pseudonym', '{}',
        'a path through cells must not be joined with usage'
    ),
    (
        'silver', 'fact_network_event', '{payload,cause}', 'analyst', 'null', '{}',
        'text of the vendor may hold anything'
    ),
    (
        'bronze', 'cdr',
        '{caller,called}',
        'analyst', 'partial', '{"prefix": 5, "padding": "*****", "suffix": 3}',
        'enough to see how numbers are written'
    ),
    (
        'bronze', 'cdr',
        '{imsi}',
        'analyst', 'partial', '{"prefix": 5, "padding": "**********", "suffix": 0}',
        'country and network'
    ),
    (
        'bronze', 'cdr',
        '{imei}',
        'analyst', 'partial', '{"prefix": 4, "padding": "***********", "suffix": 0}',
        'a rare model singles a person out'
    ),
    (
        'bronze', 'cdr', '{native_key,batch_id,line,extras,cause}', 'analyst', 'null', '{}',
        'would lead to the surrogate, or may hold anything'
    ),
    (
        'bronze', 'cdr', '{started_at,answered_at,ended_at}', 'analyst', 'generalize', '{"unit": "hour"}',
        'an exact time leads to the surrogate'
    ),
    (
        'bronze', 'cdr', '{duration_s,billed_s}', 'analyst', 'generalize', '{"step": 60}',
        'an exact duration leads to the surrogate'
    ),
    (
        'bronze', 'cdr', '{bytes_up,bytes_down,charge_micro}', 'analyst', 'noise', '{"ratio": 0.1}',
        'an exact amount leads to the surrogate'
    ),
    (
        'bronze', 'cdr', '{apn}', 'analyst', 'keep', '{}',
        'a name of the network; Gold shows it too'
    ),
    (
        'quality', 'quarantine', '{raw,record,reason}', 'analyst', 'null', '{}',
        'a refused record names people in clear, and the reason may quote a value'
    ),
    (
        'bronze', 'network_event',
        '{subscriber}',
        'analyst', 'partial', '{"prefix": 5, "padding": "*****", "suffix": 3}',
        'enough to see how numbers are written'
    ),
    (
        'bronze', 'network_event', '{event_id,batch_id,line,payload,cause}', 'analyst', 'null', '{}',
        'would lead to the surrogate, or may hold anything'
    ),
    (
        'bronze', 'network_event', '{event_at}', 'analyst', 'generalize', '{"unit": "hour"}',
        'an exact time leads to the surrogate'
    ),
    (
        'bronze', 'network_event',
        '{rsrp_dbm,rsrq_db,sinr_db,latency_ms,throughput_up_kbps,throughput_down_kbps,packet_loss_pct}',
        'analyst', 'noise', '{"ratio": 0.05}',
        'an exact measurement leads to the surrogate'
    )
) AS r (schema_name, table_name, column_names, role, mask, arguments, reason)
CROSS JOIN LATERAL unnest(r.column_names::text[]) AS c (column_name);

RESET ROLE;
