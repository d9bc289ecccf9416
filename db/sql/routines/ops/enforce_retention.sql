-- requires: ops/retention_plan.sql, ops/drop_piece.sql, ops/raise_horizon.sql
-- Drops all that is due, a short transaction per piece or slice, so that loads go on meanwhile. What a lock
-- or a mark of Gold stands in the way of is left for the next run. Commits, so it cannot run in a transaction
-- block; contradicting rules end it before anything is dropped.
CREATE OR REPLACE PROCEDURE ops.enforce_retention()
LANGUAGE plpgsql
AS $$
DECLARE
    v_piece record;
    v_rows bigint;
BEGIN
    SET LOCAL search_path = pg_catalog, pg_temp;
    FOR v_piece IN SELECT p.* FROM ops.retention_plan() AS p WHERE p.held IS NULL LOOP
        LOOP
            v_rows := 0;
            BEGIN
                IF v_piece.record_class LIKE 'silver.%' THEN
                    PERFORM ops.raise_horizon(split_part(v_piece.record_class, '.', 2), v_piece.hi);
                END IF;
            EXCEPTION WHEN lock_not_available OR SQLSTATE 'TS011' THEN
                RAISE WARNING '% %: %', v_piece.record_class, v_piece.piece, sqlerrm;
                EXIT;
            END;
            -- The horizon stands before what lies below it goes.
            COMMIT;
            SET LOCAL search_path = pg_catalog, pg_temp;
            BEGIN
                SELECT d.o_rows INTO v_rows
                FROM ops.drop_piece(v_piece.record_class, v_piece.piece, v_piece.lo, v_piece.hi) AS d;
            EXCEPTION WHEN lock_not_available OR SQLSTATE 'TS013' OR SQLSTATE 'TS014' THEN
                RAISE WARNING '% %: %', v_piece.record_class, v_piece.piece, sqlerrm;
            END;
            COMMIT;
            SET LOCAL search_path = pg_catalog, pg_temp;
            EXIT WHEN v_rows = 0;
        END LOOP;
    END LOOP;
END
$$;
COMMENT ON PROCEDURE ops.enforce_retention IS 'Drops all that is older than its maximum and not held';
REVOKE ALL ON PROCEDURE ops.enforce_retention() FROM PUBLIC;
