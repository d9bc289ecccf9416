-- requires: analytics/build_cell_fingerprints.sql, analytics/find_fraud.sql
-- requires: analytics/build_customer_profiles.sql, analytics/build_churn.sql
-- Runs a task of analytics.task, or all that are enabled, one at a time, and keeps a row of each in
-- analytics.run. A task that fails is written down, the others run, and the first error is raised at the
-- end. Commits, so it cannot run in a transaction block.
CREATE OR REPLACE PROCEDURE analytics.run_task(p_task text DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
    v_task record;
    v_run_id bigint;
    v_rows bigint;
    v_result text;
    v_error text;
    v_first_error text;
    v_detail text;
BEGIN
    SET LOCAL search_path = pg_catalog, pg_temp;
    IF p_task IS NOT NULL AND NOT EXISTS (SELECT FROM analytics.task AS t WHERE t.task = p_task) THEN
        RAISE EXCEPTION 'there is no task %', p_task
            USING ERRCODE = 'TS045', HINT = 'See analytics.task, or: telestream analytics list.';
    END IF;
    IF EXISTS (SELECT FROM analytics.task AS t WHERE t.task = p_task AND t.runs_in = 'process') THEN
        RAISE EXCEPTION 'the task % does not run in the database', p_task
            USING ERRCODE = 'TS045', HINT = format('Run: telestream analytics run %s.', p_task);
    END IF;
    -- One run at a time, over its commits; the lock of a run that dies goes with its session.
    PERFORM pg_advisory_lock(7301018);
    FOR v_task IN
        SELECT t.task FROM analytics.task AS t
        WHERE CASE WHEN p_task IS NULL THEN t.is_enabled AND t.runs_in = 'database' ELSE t.task = p_task END
        ORDER BY t.position
    LOOP
        INSERT INTO analytics.run (task) VALUES (v_task.task) RETURNING run_id INTO v_run_id;
        COMMIT;
        SET LOCAL search_path = pg_catalog, pg_temp;
        v_error := NULL;
        BEGIN
            CASE v_task.task
                WHEN 'cell_fingerprint' THEN
                    SELECT b.o_rows, b.o_result INTO v_rows, v_result
                    FROM analytics.build_cell_fingerprints() AS b;
                WHEN 'fraud' THEN
                    SELECT f.o_rows, f.o_result INTO v_rows, v_result FROM analytics.find_fraud() AS f;
                WHEN 'customer_profile' THEN
                    SELECT b.o_rows, b.o_result INTO v_rows, v_result
                    FROM analytics.build_customer_profiles() AS b;
                WHEN 'churn' THEN
                    SELECT b.o_rows, b.o_result INTO v_rows, v_result FROM analytics.build_churn() AS b;
            END CASE;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS v_error = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL;
            v_first_error := coalesce(v_first_error, format('%s: %s', v_task.task, v_error));
        END;
        UPDATE analytics.run AS r
        SET
            status = CASE WHEN v_error IS NULL THEN 'done' ELSE 'failed' END,
            finished_at = clock_timestamp(),
            rows = CASE WHEN v_error IS NULL THEN v_rows END,
            result = coalesce(v_error, v_result)
        WHERE r.run_id = v_run_id;
        DELETE FROM analytics.run AS r WHERE r.started_at < now() - interval '1 year';
        COMMIT;
        SET LOCAL search_path = pg_catalog, pg_temp;
    END LOOP;
    PERFORM pg_advisory_unlock(7301018);
    IF v_first_error IS NOT NULL THEN
        RAISE EXCEPTION 'a task of analytics failed: %', v_first_error
            USING ERRCODE = 'TS045', DETAIL = v_detail, HINT = 'See analytics.run.';
    END IF;
END
$$;
COMMENT ON PROCEDURE analytics.run_task IS 'Runs a task of analytics, or all of them';
REVOKE ALL ON PROCEDURE analytics.run_task(text) FROM PUBLIC;
