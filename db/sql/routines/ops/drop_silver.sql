-- requires: ops/_silver_units.sql, ops/_silver_blocked.sql, ops/day_checksum.sql
-- Drops the chunks of one unit of a fact (see ops._silver_units) in the caller's transaction and returns the
-- bytes freed. Everything that forbids it is asked here again, so that no caller can leave it out: the
-- horizon, which ops.raise_horizon must have raised in a transaction before; minimum, holds, marks; and an
-- archive that is equal, row by row, to what is dropped. An archived day is dropped for good from here on:
-- a run that is killed afterwards never writes it anew from what is left.
CREATE OR REPLACE FUNCTION ops.drop_silver(p_dataset text, p_lo timestamptz, p_hi timestamptz)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
-- A reader of an old chunk that does not end must not make loads queue behind this.
SET lock_timeout = '3s'
AS $$
DECLARE
    v_bytes bigint;
    v_reason text;
    v_day record;
BEGIN
    IF NOT pg_try_advisory_xact_lock(7301009) THEN
        RAISE EXCEPTION 'another run of the archive or of retention is under way'
            USING ERRCODE = 'lock_not_available', HINT = 'Wait for its end.';
    END IF;
    SELECT u.bytes INTO v_bytes FROM ops._silver_units(p_dataset) AS u WHERE u.lo = p_lo AND u.hi = p_hi;
    IF v_bytes IS NULL THEN
        RETURN 0;
    END IF;
    IF (SELECT h.kept_from FROM ops.horizon AS h WHERE h.dataset = p_dataset) < p_hi THEN
        RAISE EXCEPTION 'the horizon of % lies before %', p_dataset, p_hi
            USING ERRCODE = 'TS011', HINT = 'Call ops.raise_horizon() first, in a transaction of its own.';
    END IF;
    v_reason := ops._silver_blocked(p_dataset, p_lo, p_hi);
    IF v_reason IS NOT NULL THEN
        RAISE EXCEPTION '% from % to % must stay in Silver', p_dataset, p_lo, p_hi
            USING ERRCODE = 'TS013', DETAIL = v_reason;
    END IF;
    FOR v_day IN
        SELECT a.day, a.rows, a.checksum, s.o_rows, s.o_checksum
        FROM ops.archive_day AS a
        CROSS JOIN LATERAL ops.day_checksum(p_dataset, a.day) AS s
        WHERE a.dataset = p_dataset AND a.day >= p_lo::date AND a.day < p_hi::date AND a.state = 'verified'
    LOOP
        IF (v_day.rows, v_day.checksum) IS DISTINCT FROM (v_day.o_rows, v_day.o_checksum) THEN
            RAISE EXCEPTION 'the archive of % of % differs from Silver', v_day.day, p_dataset
                USING ERRCODE = 'TS014',
                DETAIL = format('The archive has %s rows, Silver %s.', v_day.rows, v_day.o_rows),
                HINT = 'Run `telestream archive run`: it writes the day anew.';
        END IF;
    END LOOP;
    UPDATE ops.archive_day AS a
    SET state = 'dropped', dropped_at = clock_timestamp()
    WHERE a.dataset = p_dataset AND a.day >= p_lo::date AND a.day < p_hi::date AND a.state = 'verified';
    PERFORM public.drop_chunks(
        ('silver.fact_' || p_dataset)::regclass, older_than => p_hi, newer_than => p_lo
    );
    RETURN v_bytes;
END
$$;
COMMENT ON FUNCTION ops.drop_silver(text, timestamptz, timestamptz) IS
'Drops one unit of a fact if nothing forbids it; returns the bytes freed';
REVOKE ALL ON FUNCTION ops.drop_silver(text, timestamptz, timestamptz) FROM PUBLIC;
