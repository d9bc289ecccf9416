-- Group roles. They belong to the cluster: two databases may be migrated at the same moment.
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY ARRAY[
        'telestream_owner', 'telestream_loader', 'telestream_consumer',
        'telestream_api', 'telestream_analyst', 'telestream_privacy'
    ] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = v_role) THEN
                EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', v_role);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        -- The migrating user creates objects for these roles and acts as the owner.
        IF NOT pg_catalog.pg_has_role(current_user, v_role, 'SET') THEN
            EXECUTE pg_catalog.format('GRANT %I TO CURRENT_USER WITH INHERIT TRUE, SET TRUE', v_role);
        END IF;
    END LOOP;
    EXECUTE pg_catalog.format(
        'GRANT CREATE ON DATABASE %I TO telestream_owner', pg_catalog.current_database()
    );
END
$$;

-- pg_partman works with the rights of its caller.
GRANT USAGE, CREATE ON SCHEMA partman TO telestream_owner;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA partman TO telestream_owner;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA partman TO telestream_owner;
GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA partman TO telestream_owner;

-- Every component checks that the database is at the revision it needs.
GRANT SELECT ON public.alembic_version TO PUBLIC;

-- Readers of hypertables must not cache a generic plan: it loses chunk exclusion at plan time.
ALTER ROLE telestream_api SET plan_cache_mode = force_custom_plan;
ALTER ROLE telestream_analyst SET plan_cache_mode = force_custom_plan;

SET LOCAL ROLE telestream_owner;

CREATE SCHEMA bronze;
CREATE SCHEMA silver;
CREATE SCHEMA rollup;
CREATE SCHEMA gold;
CREATE SCHEMA quality;
CREATE SCHEMA vault;
CREATE SCHEMA privacy;
CREATE SCHEMA ops;

COMMENT ON SCHEMA bronze IS
'Raw records as they arrived, kept for a few days; no reader but the loaders and the privacy officer';
COMMENT ON SCHEMA silver IS 'Checked, pseudonymised and enriched facts, and their dimensions';
COMMENT ON SCHEMA rollup IS 'Storage of the rollups behind gold';
COMMENT ON SCHEMA gold IS 'What readers query: rollups, KPI views and masked detail';
COMMENT ON SCHEMA quality IS 'Rules, their results, and every refused record';
COMMENT ON SCHEMA vault IS 'The only place that links a surrogate to a person';
COMMENT ON SCHEMA privacy IS 'Rules of masking and erasure';
COMMENT ON SCHEMA ops IS 'Batches, watermarks, settings and what has been applied';

CREATE TABLE ops.setting (
    name text PRIMARY KEY,
    value text NOT NULL,
    description text NOT NULL
);
COMMENT ON TABLE ops.setting IS 'Settings that belong to the data, not to a process';
COMMENT ON COLUMN ops.setting.name IS 'Name of the setting';
COMMENT ON COLUMN ops.setting.value IS 'Its value as text';
COMMENT ON COLUMN ops.setting.description IS 'What it does and what changing it takes';

INSERT INTO ops.setting (name, value, description) VALUES
('time_zone', '{time_zone}', 'Operator time zone: day boundaries of Gold; fixed once rollups exist'),
('event_window_past', '15 years', 'Records with an older event time are quarantined'),
('event_window_future', '24 hours', 'Records with a later event time are quarantined'),
('allowed_lateness', '1 hour', 'A CDR this far behind its source''s watermark counts as late'),
('bronze_retention', '7 days', 'Raw records of batches finished earlier than this are dropped');

CREATE TABLE ops.applied_routine (
    path text PRIMARY KEY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ops.applied_routine IS 'The routine files as last applied, by content hash';
COMMENT ON COLUMN ops.applied_routine.path IS 'File below db/sql/routines';
COMMENT ON COLUMN ops.applied_routine.sha256 IS 'SHA-256 of the file as applied, hex';
COMMENT ON COLUMN ops.applied_routine.applied_at IS 'When it was applied';

RESET ROLE;
