-- requires: quality/check_expectations.sql
-- The job form of quality.check_expectations() for TimescaleDB's scheduler; it has no configuration.
CREATE OR REPLACE PROCEDURE ops.quality_job(p_job_id integer, p_config jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM quality.check_expectations();
END
$$;
COMMENT ON PROCEDURE ops.quality_job IS 'Judges the expectations, as a scheduled job';
REVOKE ALL ON PROCEDURE ops.quality_job(integer, jsonb) FROM PUBLIC;
