-- requires: ops/effective_retention.sql
-- Returns the partitions of a Bronze table of which every batch was finished longer ago than the maximum,
-- with their size and the legal hold on them, if any. A hold on a person holds the partitions of the batches
-- that brought a fact or a change naming them: Bronze itself cannot be searched without the vault key.
CREATE OR REPLACE FUNCTION ops._bronze_due(p_dataset text)
RETURNS TABLE (partition text, bytes bigint, held text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_maximum interval := (SELECT e.o_maximum FROM ops.effective_retention('bronze.' || p_dataset) AS e);
    v_keep_from bigint;
    v_part record;
    v_batches record;
    v_hold record;
    v_found boolean;
BEGIN
    IF v_maximum IS NULL THEN
        RETURN;
    END IF;
    SELECT coalesce(
        min(b.batch_id) FILTER (WHERE b.finished_at IS NULL OR b.finished_at >= now() - v_maximum),
        max(b.batch_id) + 1
    )
    INTO v_keep_from
    FROM ops.batch AS b
    WHERE b.dataset = p_dataset;
    FOR v_part IN
        SELECT k.relname, s.first_id, s.first_id + c.partition_interval::bigint AS next_id, i.inhrelid
        FROM pg_inherits AS i
        INNER JOIN pg_class AS k ON i.inhrelid = k.oid
        INNER JOIN partman.part_config AS c ON c.parent_table = 'bronze.' || p_dataset
        CROSS JOIN LATERAL (
            SELECT substring(k.relname FROM '_p(\d+)$')::bigint AS first_id
        ) AS s
        WHERE i.inhparent = ('bronze.' || p_dataset)::regclass
            AND s.first_id + c.partition_interval::bigint <= v_keep_from
        ORDER BY 2
    LOOP
        partition := v_part.relname;
        bytes := pg_total_relation_size(v_part.inhrelid::regclass);
        held := NULL;
        -- A batch that loaded nothing has no event time: it may be about any.
        SELECT
            coalesce(min(b.min_event_at), '-infinity') AS lo,
            coalesce(max(b.max_event_at), 'infinity') AS hi,
            count(*) AS batches
        INTO v_batches
        FROM ops.batch AS b
        WHERE b.dataset = p_dataset AND b.batch_id >= v_part.first_id AND b.batch_id < v_part.next_id;
        FOR v_hold IN
            SELECT h.* FROM ops.legal_hold AS h
            WHERE v_batches.batches > 0 AND h.since <= now() AND (h.until IS NULL OR h.until > now())
                AND (h.dataset IS NULL OR h.dataset = p_dataset)
                AND coalesce(h.from_at, '-infinity') <= v_batches.hi
                AND coalesce(h.to_at, 'infinity') > v_batches.lo
            ORDER BY h.hold_id
        LOOP
            IF v_hold.subscriber_id IS NULL THEN
                v_found := true;
            ELSIF p_dataset = 'cdr' THEN
                v_found := EXISTS (
                    SELECT FROM silver.fact_cdr AS f
                    WHERE f.started_at >= v_batches.lo AND f.started_at <= v_batches.hi
                        AND f.batch_id >= v_part.first_id AND f.batch_id < v_part.next_id
                        AND v_hold.subscriber_id IN (f.subscriber_id, f.caller_id, f.called_id)
                );
            ELSIF p_dataset = 'customer' THEN
                v_found := EXISTS (
                    SELECT FROM silver.customer_change AS c
                    WHERE c.batch_id >= v_part.first_id AND c.batch_id < v_part.next_id
                        AND c.subscriber_id = v_hold.subscriber_id
                );
            ELSE
                v_found := EXISTS (
                    SELECT FROM silver.fact_network_event AS f
                    WHERE f.event_at >= v_batches.lo AND f.event_at <= v_batches.hi
                        AND f.batch_id >= v_part.first_id AND f.batch_id < v_part.next_id
                        AND f.subscriber_id = v_hold.subscriber_id
                );
            END IF;
            IF v_found THEN
                held := format('legal hold %s: %s', v_hold.hold_id, v_hold.reason);
                EXIT;
            END IF;
        END LOOP;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ops._bronze_due(text) IS 'Partitions of Bronze that are older than their maximum';
REVOKE ALL ON FUNCTION ops._bronze_due(text) FROM PUBLIC;
