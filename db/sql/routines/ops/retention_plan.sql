-- requires: ops/_bronze_due.sql, ops/_silver_units.sql, ops/_silver_blocked.sql, ops/effective_retention.sql
-- Returns everything that is older than its maximum, in pieces that are dropped one at a time: partitions of
-- Bronze, whole days of Silver, the rows of a dataset in the quarantine and among the dead letters. held says
-- why a piece must stay; null: ops.drop_piece() drops it. Of rows the bytes are those of their values.
-- Refused records cannot be tied to an event time or a person, so any hold on their dataset holds them all.
CREATE OR REPLACE FUNCTION ops.retention_plan()
RETURNS TABLE (
    record_class text, piece text, lo timestamptz, hi timestamptz, row_count bigint, bytes bigint, held text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET jit = off
AS $$
DECLARE
    v_dataset text;
    v_maximum interval;
    v_hold text;
BEGIN
    FOREACH v_dataset IN ARRAY ARRAY['cdr', 'network_event', 'customer'] LOOP
        RETURN QUERY
        SELECT
            'bronze.' || v_dataset, d.partition, NULL::timestamptz, NULL::timestamptz, NULL::bigint,
            d.bytes, d.held
        FROM ops._bronze_due(v_dataset) AS d;

        -- The history of customers is no fact: it goes with its person.
        IF v_dataset <> 'customer' THEN
            v_maximum := (SELECT e.o_maximum FROM ops.effective_retention('silver.' || v_dataset) AS e);
            RETURN QUERY
            SELECT
                'silver.' || v_dataset, u.lo::date::text, u.lo, u.hi, NULL::bigint, u.bytes,
                ops._silver_blocked(v_dataset, u.lo, u.hi)
            FROM ops._silver_units(v_dataset) AS u
            WHERE u.hi <= now() - v_maximum
            -- The newest first: its horizon, which waits for loads in flight, serves all before it.
            ORDER BY u.lo DESC;
        END IF;

        v_hold := (
            SELECT format('legal hold %s: %s', h.hold_id, h.reason) FROM ops.legal_hold AS h
            WHERE h.since <= now() AND (h.until IS NULL OR h.until > now())
                AND (h.dataset IS NULL OR h.dataset = v_dataset)
            ORDER BY h.hold_id
            LIMIT 1
        );
        v_maximum := (SELECT e.o_maximum FROM ops.effective_retention('quarantine') AS e);
        RETURN QUERY
        SELECT
            'quarantine', v_dataset, NULL::timestamptz, now() - v_maximum, count(*),
            sum(pg_column_size(q.*))::bigint, v_hold
        FROM quality.quarantine AS q
        WHERE q.dataset = v_dataset AND q.quarantined_at < now() - v_maximum
        HAVING count(*) > 0;

        v_maximum := (SELECT e.o_maximum FROM ops.effective_retention('dead_letter') AS e);
        RETURN QUERY
        SELECT
            'dead_letter', v_dataset, NULL::timestamptz, now() - v_maximum, count(*),
            sum(pg_column_size(d.*))::bigint, v_hold
        FROM ops.dead_letter AS d
        INNER JOIN ops.batch AS b ON d.batch_id = b.batch_id
        -- One that its topic does not have yet is not dropped.
        WHERE b.dataset = v_dataset AND d.received_at < now() - v_maximum AND d.published_at IS NOT NULL
        HAVING count(*) > 0;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ops.retention_plan() IS
'What is older than its maximum, piece by piece, and what holds it';
REVOKE ALL ON FUNCTION ops.retention_plan() FROM PUBLIC;
