-- requires: ops/enforce_retention.sql
-- The job form of ops.enforce_retention() for TimescaleDB's scheduler; it has no configuration.
CREATE OR REPLACE PROCEDURE ops.retention_job(p_job_id integer, p_config jsonb)
LANGUAGE plpgsql
AS $$
BEGIN
    SET LOCAL search_path = pg_catalog, pg_temp;
    CALL ops.enforce_retention();
END
$$;
COMMENT ON PROCEDURE ops.retention_job IS 'Enforces retention, as a scheduled job';
REVOKE ALL ON PROCEDURE ops.retention_job(integer, jsonb) FROM PUBLIC;
