-- requires: ops/_bronze_due.sql, ops/_silver_units.sql, ops/_silver_blocked.sql, ops/effective_retention.sql
-- Returns when something of each kind of record is dropped next, for telestream doctor; null: nothing is
-- there, or no maximum applies. held says why what is due already stays; problem, why no time can be told.
CREATE OR REPLACE FUNCTION ops.retention_next()
RETURNS TABLE (record_class text, maximum interval, next_at timestamptz, held text, problem text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET jit = off
AS $$
DECLARE
    v_dataset text;
    v_unit record;
BEGIN
    FOREACH record_class IN ARRAY ARRAY[
        'bronze.cdr', 'bronze.network_event', 'bronze.customer', 'silver.cdr', 'silver.network_event', 'archive.cdr',
        'archive.network_event', 'quarantine', 'dead_letter'
    ] LOOP
        maximum := NULL;
        next_at := NULL;
        held := NULL;
        problem := NULL;
        v_dataset := split_part(record_class, '.', 2);
        BEGIN
            maximum := (SELECT e.o_maximum FROM ops.effective_retention(record_class) AS e);
        EXCEPTION WHEN SQLSTATE 'TS012' THEN
            problem := sqlerrm;
            RETURN NEXT;
            CONTINUE;
        END;
        IF maximum IS NULL THEN
            NULL;
        ELSIF record_class LIKE 'silver.%' THEN
            SELECT u.lo, u.hi INTO v_unit FROM ops._silver_units(v_dataset) AS u ORDER BY u.lo LIMIT 1;
            next_at := v_unit.hi + maximum;
            IF next_at < now() THEN
                held := ops._silver_blocked(v_dataset, v_unit.lo, v_unit.hi);
            END IF;
        ELSIF record_class LIKE 'archive.%' THEN
            -- Who is held in files the database cannot see.
            next_at := (
                SELECT min(a.day) + 1 FROM ops.archive_day AS a WHERE a.dataset = v_dataset AND a.state = 'dropped'
            )::timestamptz + maximum;
        ELSIF record_class LIKE 'bronze.%' THEN
            -- The oldest partition goes when the last of its batches is old enough.
            SELECT max(b.finished_at) + maximum INTO next_at
            FROM ops.batch AS b
            INNER JOIN (
                SELECT s.first_id, s.first_id + c.partition_interval::bigint AS next_id
                FROM pg_inherits AS i
                INNER JOIN pg_class AS k ON i.inhrelid = k.oid
                INNER JOIN partman.part_config AS c ON c.parent_table = record_class
                CROSS JOIN LATERAL (SELECT substring(k.relname FROM '_p(\d+)$')::bigint AS first_id) AS s
                WHERE i.inhparent = record_class::regclass
            ) AS p ON b.batch_id >= p.first_id AND b.batch_id < p.next_id
            WHERE b.dataset = v_dataset
            GROUP BY p.first_id
            ORDER BY p.first_id
            LIMIT 1;
            IF next_at < now() THEN
                held := (SELECT min(d.held) FROM ops._bronze_due(v_dataset) AS d HAVING count(*) = count(d.held));
            END IF;
        ELSIF record_class = 'quarantine' THEN
            next_at := (
                SELECT q.quarantined_at FROM quality.quarantine AS q ORDER BY q.quarantine_id LIMIT 1
            ) + maximum;
        ELSE
            next_at := (
                SELECT d.received_at FROM ops.dead_letter AS d ORDER BY d.dead_letter_id LIMIT 1
            ) + maximum;
        END IF;
        IF record_class IN ('quarantine', 'dead_letter') AND next_at < now() THEN
            held := (
                SELECT format('legal hold %s', min(h.hold_id)) FROM ops.legal_hold AS h
                WHERE h.since <= now() AND (h.until IS NULL OR h.until > now())
                HAVING count(*) > 0
            );
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ops.retention_next() IS
'When something of each kind of record is dropped next, for telestream doctor';
REVOKE ALL ON FUNCTION ops.retention_next() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.retention_next() TO telestream_engineer;
