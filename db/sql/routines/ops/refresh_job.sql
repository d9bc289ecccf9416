-- requires: rollup/refresh_pending.sql, silver/rekey_pending.sql
-- The job form of silver.rekey_pending() and rollup.refresh_pending() for TimescaleDB's scheduler; it has no
-- configuration.
CREATE OR REPLACE PROCEDURE ops.refresh_job(p_job_id integer, p_config jsonb)
LANGUAGE plpgsql
AS $$
BEGIN
    SET LOCAL search_path = pg_catalog, pg_temp;
    CALL silver.rekey_pending();
    SET LOCAL search_path = pg_catalog, pg_temp;
    CALL rollup.refresh_pending();
END
$$;
COMMENT ON PROCEDURE ops.refresh_job IS
'Carries what changed about customers to the facts and refreshes the touched buckets, as a scheduled job';
REVOKE ALL ON PROCEDURE ops.refresh_job(integer, jsonb) FROM PUBLIC;
