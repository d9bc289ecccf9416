-- requires: ops/maintain.sql
-- The job form of ops.maintain() for TimescaleDB's scheduler; it has no configuration.
CREATE OR REPLACE PROCEDURE ops.maintain_job(p_job_id integer, p_config jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM ops.maintain();
END
$$;
COMMENT ON PROCEDURE ops.maintain_job IS 'Nightly housekeeping, as a scheduled job';
REVOKE ALL ON PROCEDURE ops.maintain_job(integer, jsonb) FROM PUBLIC;
