-- Group roles. They belong to the cluster: two databases may be migrated at the same moment.
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['telestream_engineer', 'telestream_gateway'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = v_role) THEN
                EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', v_role);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        IF NOT pg_catalog.pg_has_role(current_user, v_role, 'SET') THEN
            EXECUTE pg_catalog.format('GRANT %I TO CURRENT_USER WITH INHERIT TRUE, SET TRUE', v_role);
        END IF;
    END LOOP;
    -- The gateway inherits nothing: it reads data only as one of these.
    FOREACH v_role IN ARRAY ARRAY[
        'telestream_api', 'telestream_analyst', 'telestream_engineer', 'telestream_privacy'
    ] LOOP
        IF NOT pg_catalog.pg_has_role('telestream_gateway', v_role, 'SET') THEN
            EXECUTE pg_catalog.format('GRANT %I TO telestream_gateway WITH INHERIT FALSE, SET TRUE', v_role);
        END IF;
    END LOOP;
    -- An engineer reads what an analyst reads, and more.
    IF NOT pg_catalog.pg_has_role('telestream_engineer', 'telestream_analyst', 'USAGE') THEN
        GRANT telestream_analyst TO telestream_engineer WITH INHERIT TRUE, SET FALSE;
    END IF;
END
$$;

ALTER ROLE telestream_engineer SET plan_cache_mode = force_custom_plan;
ALTER ROLE telestream_gateway SET plan_cache_mode = force_custom_plan;

SET LOCAL ROLE telestream_owner;

-- Keys and persisted queries ---------------------------------------------------------------------

CREATE SCHEMA api;
COMMENT ON SCHEMA api IS 'Keys and persisted queries of the GraphQL API';

CREATE TABLE api.key (
    key_id text PRIMARY KEY CHECK (key_id ~ '^[0-9a-f]{12}$'),
    name text NOT NULL CHECK (name <> ''),
    secret_sha256 bytea NOT NULL CHECK (octet_length(secret_sha256) = 32),
    role text NOT NULL CHECK (role IN ('api', 'analyst', 'engineer', 'privacy')),
    scopes text[] NOT NULL,
    rate_per_minute integer NOT NULL CHECK (rate_per_minute > 0),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_used_at timestamptz
);
COMMENT ON TABLE api.key IS
'Keys of the GraphQL API; a secret has 256 random bits, so its plain hash cannot be searched for';
COMMENT ON COLUMN api.key.key_id IS 'Public part of the key, 12 hexadecimal digits';
COMMENT ON COLUMN api.key.name IS 'Who or what uses it, for people';
COMMENT ON COLUMN api.key.secret_sha256 IS 'SHA-256 of the secret part, which is kept nowhere';
COMMENT ON COLUMN api.key.role IS 'Database role it reads as, without the prefix telestream_';
COMMENT ON COLUMN api.key.scopes IS 'Parts of the schema it may use, e.g. network; see docs/api.md';
COMMENT ON COLUMN api.key.rate_per_minute IS 'Requests allowed in a minute';
COMMENT ON COLUMN api.key.expires_at IS 'From then on it is refused';
COMMENT ON COLUMN api.key.revoked_at IS 'When it was revoked; null while it is good';
COMMENT ON COLUMN api.key.created_at IS 'When it was made';
COMMENT ON COLUMN api.key.last_used_at IS 'When it was last used, to the minute';

CREATE TABLE api.persisted_query (
    document_sha256 text PRIMARY KEY CHECK (document_sha256 ~ '^[0-9a-f]{64}$'),
    document text NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE api.persisted_query IS
'Queries that are allowed by their hash; in production mode no other query is answered';
COMMENT ON COLUMN api.persisted_query.document_sha256 IS 'SHA-256 of the document, hex: what a client sends';
COMMENT ON COLUMN api.persisted_query.document IS 'The GraphQL document';
COMMENT ON COLUMN api.persisted_query.name IS 'Where it comes from, for people';
COMMENT ON COLUMN api.persisted_query.created_at IS 'When it was allowed';

-- Who read what ----------------------------------------------------------------------------------

CREATE SCHEMA audit;
COMMENT ON SCHEMA audit IS 'Who read personal and customer-level data';

CREATE TABLE audit.access_log (
    access_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    principal text NOT NULL,
    role text NOT NULL,
    operation text NOT NULL,
    field text NOT NULL,
    variables_sha256 text NOT NULL,
    object_ids text[] NOT NULL,
    rows_read bigint NOT NULL,
    request_id text NOT NULL
);
CREATE INDEX access_log_at ON audit.access_log USING brin (at);
COMMENT ON TABLE audit.access_log IS
'One row per request and field that read personal or customer-level data; holds surrogates, no person';
COMMENT ON COLUMN audit.access_log.access_id IS 'Surrogate key';
COMMENT ON COLUMN audit.access_log.at IS 'When it was read';
COMMENT ON COLUMN audit.access_log.principal IS 'Who: key:<key_id> or jwt:<subject>';
COMMENT ON COLUMN audit.access_log.role IS 'Database role it was read as';
COMMENT ON COLUMN audit.access_log.operation IS 'Name of the GraphQL operation';
COMMENT ON COLUMN audit.access_log.field IS 'Field of the schema that read it, e.g. customer';
COMMENT ON COLUMN audit.access_log.variables_sha256 IS
'SHA-256 of the variables as JSON with sorted keys, hex';
COMMENT ON COLUMN audit.access_log.object_ids IS 'Surrogates or ids that were read, at most 500';
COMMENT ON COLUMN audit.access_log.rows_read IS 'Rows that were returned';
COMMENT ON COLUMN audit.access_log.request_id IS 'Id of the request, as in the log and in X-Request-Id';

-- Acknowledging an anomaly -----------------------------------------------------------------------

ALTER TABLE analytics.anomaly ADD COLUMN acknowledged_at timestamptz;
ALTER TABLE analytics.anomaly ADD COLUMN acknowledged_by text;
ALTER TABLE analytics.anomaly ADD COLUMN acknowledge_note text;
COMMENT ON COLUMN analytics.anomaly.acknowledged_at IS 'When somebody took charge of it; null: nobody has';
COMMENT ON COLUMN analytics.anomaly.acknowledged_by IS 'Who: key:<key_id> or jwt:<subject>';
COMMENT ON COLUMN analytics.anomaly.acknowledge_note IS 'What they wrote';

RESET ROLE;
