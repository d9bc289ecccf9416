-- requires: rollup/_kept_from.sql, rollup/_next_bucket.sql
-- Refuses marks on buckets before the horizon, whoever makes them: the transaction that changed the facts
-- ends, and neither Silver nor Gold has changed. A coarser bucket that begins before the horizon and ends
-- after it is built from another rollup, which is whole, and passes.
CREATE OR REPLACE FUNCTION rollup._pending_guard()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_final record;
BEGIN
    SELECT h.rollup_name, h.kept_from, min(m.bucket) AS bucket INTO v_final
    FROM (SELECT d.*, rollup._kept_from(d.rollup_name) AS kept_from FROM rollup.definition AS d) AS h
    INNER JOIN marked AS m ON h.rollup_name = m.rollup_name AND m.bucket < h.kept_from
    WHERE rollup._next_bucket(m.bucket, h.grain, h.is_calendar) <= h.kept_from
    GROUP BY h.rollup_name, h.kept_from
    LIMIT 1;
    IF v_final.rollup_name IS NOT NULL THEN
        RAISE EXCEPTION 'rollup % is final before %', v_final.rollup_name, v_final.kept_from
            USING ERRCODE = 'TS011',
            DETAIL = format('Facts in the bucket of %s were to change.', v_final.bucket),
            HINT = 'See ops.horizon; the quality rule before_horizon keeps such records out.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rollup._pending_guard() IS 'Refuses marks on buckets before the horizon';
CREATE OR REPLACE TRIGGER pending_guard AFTER INSERT ON rollup.pending
REFERENCING NEW TABLE AS marked
FOR EACH STATEMENT EXECUTE FUNCTION rollup._pending_guard();
