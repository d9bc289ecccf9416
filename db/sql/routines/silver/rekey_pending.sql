-- requires: silver/rekey_open.sql, silver/rekey_slice.sql, silver/rekey_close.sql
-- Carries to the facts what changed about customers since the last call, a day of facts in each transaction,
-- so that loads go on meanwhile. Commits, so it cannot run in a transaction block. After a crash the next
-- call begins again; a row that is right already is not written.
CREATE OR REPLACE PROCEDURE silver.rekey_pending()
LANGUAGE plpgsql
AS $$
DECLARE
    v_upto bigint;
    v_at timestamptz;
BEGIN
    SET LOCAL search_path = pg_catalog, pg_temp;
    -- One run at a time, over its commits; the lock of a run that fails goes with its session.
    PERFORM pg_advisory_lock(7301012);
    SELECT o.o_upto, o.o_from INTO v_upto, v_at FROM silver.rekey_open() AS o;
    COMMIT;
    SET LOCAL search_path = pg_catalog, pg_temp;
    WHILE v_at IS NOT NULL LOOP
        v_at := silver.rekey_slice(v_upto, v_at);
        COMMIT;
        SET LOCAL search_path = pg_catalog, pg_temp;
    END LOOP;
    PERFORM silver.rekey_close(v_upto);
    PERFORM pg_advisory_unlock(7301012);
END
$$;
COMMENT ON PROCEDURE silver.rekey_pending IS 'Points facts to the versions of customers that hold now';
REVOKE ALL ON PROCEDURE silver.rekey_pending() FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE silver.rekey_pending() TO telestream_loader;
