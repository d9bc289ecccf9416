-- requires: ops/_bronze_due.sql, ops/drop_silver.sql, ops/effective_retention.sql
-- Drops one piece of ops.retention_plan(), or a slice of it, in the caller's transaction; of rows at most
-- 10000, so that the caller commits and calls again until none is left. Asks again what forbids it.
CREATE OR REPLACE FUNCTION ops.drop_piece(
    p_class text, p_piece text, p_lo timestamptz, p_hi timestamptz, OUT o_rows bigint, OUT o_bytes bigint
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '3s'
AS $$
DECLARE
    v_maximum interval := (SELECT e.o_maximum FROM ops.effective_retention(p_class) AS e);
    v_dataset text := split_part(p_class, '.', 2);
BEGIN
    o_rows := 0;
    o_bytes := 0;
    IF p_class LIKE 'silver.%' THEN
        IF p_hi <= now() - v_maximum THEN
            o_bytes := ops.drop_silver(v_dataset, p_lo, p_hi);
        END IF;
    ELSIF p_class LIKE 'bronze.%' THEN
        SELECT d.bytes INTO o_bytes FROM ops._bronze_due(v_dataset) AS d
        WHERE d.partition = p_piece AND d.held IS NULL;
        IF o_bytes IS NOT NULL THEN
            EXECUTE format('DROP TABLE bronze.%I', p_piece);
        END IF;
    ELSIF EXISTS (
        SELECT FROM ops.legal_hold AS h
        WHERE h.since <= now() AND (h.until IS NULL OR h.until > now())
            AND (h.dataset IS NULL OR h.dataset = p_piece)
    ) THEN
        RETURN;
    ELSIF p_class = 'quarantine' THEN
        WITH gone AS (
            DELETE FROM quality.quarantine AS q
            WHERE q.quarantine_id IN (
                SELECT d.quarantine_id FROM quality.quarantine AS d
                WHERE d.dataset = p_piece AND d.quarantined_at < now() - v_maximum
                ORDER BY d.quarantine_id
                LIMIT 10000
                FOR UPDATE SKIP LOCKED
            )
            RETURNING pg_column_size(q.*) AS size
        )
        SELECT count(*), sum(g.size) INTO o_rows, o_bytes FROM gone AS g;
    ELSIF p_class = 'dead_letter' THEN
        WITH gone AS (
            DELETE FROM ops.dead_letter AS q
            WHERE q.dead_letter_id IN (
                SELECT d.dead_letter_id FROM ops.dead_letter AS d
                INNER JOIN ops.batch AS b ON d.batch_id = b.batch_id
                WHERE b.dataset = p_piece AND d.received_at < now() - v_maximum AND d.published_at IS NOT NULL
                ORDER BY d.dead_letter_id
                LIMIT 10000
                FOR UPDATE OF d SKIP LOCKED
            )
            RETURNING pg_column_size(q.*) AS size
        )
        SELECT count(*), sum(g.size) INTO o_rows, o_bytes FROM gone AS g;
    END IF;
    o_bytes := coalesce(o_bytes, 0);
END
$$;
COMMENT ON FUNCTION ops.drop_piece(text, text, timestamptz, timestamptz) IS
'Drops one piece of the retention plan, or a slice of it';
REVOKE ALL ON FUNCTION ops.drop_piece(text, text, timestamptz, timestamptz) FROM PUBLIC;
