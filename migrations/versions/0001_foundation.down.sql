-- The roles stay: they belong to the cluster, and another database may use them.
DROP TABLE ops.applied_routine;
DROP TABLE ops.setting;
DROP SCHEMA ops;
DROP SCHEMA privacy;
DROP SCHEMA vault;
DROP SCHEMA quality;
DROP SCHEMA gold;
DROP SCHEMA rollup;
DROP SCHEMA silver;
DROP SCHEMA bronze;
REVOKE ALL ON ALL TABLES IN SCHEMA partman FROM telestream_owner;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA partman FROM telestream_owner;
REVOKE ALL ON ALL PROCEDURES IN SCHEMA partman FROM telestream_owner;
REVOKE ALL ON SCHEMA partman FROM telestream_owner;
DO $$
BEGIN
    EXECUTE pg_catalog.format(
        'REVOKE CREATE ON DATABASE %I FROM telestream_owner', pg_catalog.current_database()
    );
END
$$;
REVOKE SELECT ON public.alembic_version FROM PUBLIC;
