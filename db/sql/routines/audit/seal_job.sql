-- requires: audit/seal.sql
-- The job form of audit.seal() for TimescaleDB's scheduler; it has no configuration.
CREATE OR REPLACE PROCEDURE audit.seal_job(p_job_id integer, p_config jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM audit.seal();
END
$$;
COMMENT ON PROCEDURE audit.seal_job IS 'Chains what waits for the access log, as a scheduled job';
REVOKE ALL ON PROCEDURE audit.seal_job(integer, jsonb) FROM PUBLIC;
