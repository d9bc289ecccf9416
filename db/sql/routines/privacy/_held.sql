-- Returns the reason of a legal hold on a person, null if there is none: one on a surrogate of theirs, or
-- one on a dataset or time that facts or raw records of theirs are in.
CREATE OR REPLACE FUNCTION privacy._held(p_plan jsonb)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_ids bigint[] := ARRAY(SELECT i.id::bigint FROM jsonb_array_elements_text(p_plan -> 'own') AS i (id))
        || ARRAY(SELECT (s.one ->> 'id')::bigint FROM jsonb_array_elements(p_plan -> 'shared') AS s (one));
    v_pattern text := (
        SELECT string_agg(t.one ->> 'pattern', '|') FROM jsonb_array_elements(p_plan -> 'targets') AS t (one)
    );
    v_hold record;
    v_lo timestamptz;
    v_hi timestamptz;
    v_found boolean;
BEGIN
    FOR v_hold IN
        SELECT h.* FROM ops.legal_hold AS h
        WHERE h.since <= clock_timestamp() AND (h.until IS NULL OR h.until > clock_timestamp())
            AND (h.subscriber_id IS NULL OR h.subscriber_id = ANY (v_ids))
        ORDER BY h.subscriber_id NULLS LAST, h.hold_id
    LOOP
        v_lo := coalesce(v_hold.from_at, '-infinity');
        v_hi := coalesce(v_hold.to_at, 'infinity');
        v_found := v_hold.subscriber_id IS NOT NULL
            OR (coalesce(v_hold.dataset, 'cdr') = 'cdr' AND (
                EXISTS (
                    SELECT FROM silver.fact_cdr AS f
                    WHERE f.started_at >= v_lo AND f.started_at < v_hi
                        AND (f.subscriber_id = ANY (v_ids) OR f.caller_id = ANY (v_ids) OR f.called_id = ANY (v_ids))
                ) OR EXISTS (
                    SELECT FROM bronze.cdr AS b
                    WHERE b.started_at >= v_lo AND b.started_at < v_hi
                        AND concat_ws(' ', b.caller, b.called, b.imsi, b.imei) ~ v_pattern
                )
            ))
            OR (coalesce(v_hold.dataset, 'network_event') = 'network_event' AND (
                EXISTS (
                    SELECT FROM silver.fact_network_event AS f
                    WHERE f.event_at >= v_lo AND f.event_at < v_hi AND f.subscriber_id = ANY (v_ids)
                ) OR EXISTS (
                    SELECT FROM bronze.network_event AS b
                    WHERE b.event_at >= v_lo AND b.event_at < v_hi AND b.subscriber ~ v_pattern
                )
            ))
            -- Of refused records the time may be unknown, as retention takes it.
            OR EXISTS (
                SELECT FROM quality.quarantine AS q
                WHERE (v_hold.dataset IS NULL OR q.dataset = v_hold.dataset) AND q.dataset <> 'customer'
                    AND concat_ws(' ', q.raw, q.record) ~ v_pattern
            );
        IF v_found THEN
            RETURN format('legal hold %s: %s', v_hold.hold_id, v_hold.reason);
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION privacy._held(jsonb) IS 'The legal hold on a person, if any';
REVOKE ALL ON FUNCTION privacy._held(jsonb) FROM PUBLIC;
