-- requires: analytics/run_task.sql
-- The job form of analytics.run_task() for TimescaleDB's scheduler; it has no configuration.
CREATE OR REPLACE PROCEDURE analytics.run_job(p_job_id integer, p_config jsonb)
LANGUAGE plpgsql
AS $$
BEGIN
    SET LOCAL search_path = pg_catalog, pg_temp;
    CALL analytics.run_task();
END
$$;
COMMENT ON PROCEDURE analytics.run_job IS 'Runs all tasks of analytics, as a scheduled job';
REVOKE ALL ON PROCEDURE analytics.run_job(integer, jsonb) FROM PUBLIC;
