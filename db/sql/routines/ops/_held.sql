-- Returns the reason of a legal hold on facts of a range, null if there is none. A hold on a person holds the
-- whole range if a fact of it names them.
CREATE OR REPLACE FUNCTION ops._held(p_dataset text, p_lo timestamptz, p_hi timestamptz)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_hold record;
    v_found boolean;
BEGIN
    FOR v_hold IN
        SELECT h.* FROM ops.legal_hold AS h
        WHERE h.since <= now() AND (h.until IS NULL OR h.until > now())
            AND (h.dataset IS NULL OR h.dataset = p_dataset)
            AND coalesce(h.from_at, '-infinity') < p_hi AND coalesce(h.to_at, 'infinity') > p_lo
        ORDER BY h.subscriber_id NULLS FIRST, h.hold_id
    LOOP
        IF v_hold.subscriber_id IS NULL THEN
            v_found := true;
        ELSIF p_dataset = 'cdr' THEN
            v_found := EXISTS (
                SELECT FROM silver.fact_cdr AS f
                WHERE f.started_at >= p_lo AND f.started_at < p_hi
                    AND f.started_at >= coalesce(v_hold.from_at, '-infinity')
                    AND f.started_at < coalesce(v_hold.to_at, 'infinity')
                    AND v_hold.subscriber_id IN (f.subscriber_id, f.caller_id, f.called_id)
            );
        ELSE
            v_found := EXISTS (
                SELECT FROM silver.fact_network_event AS f
                WHERE f.event_at >= p_lo AND f.event_at < p_hi
                    AND f.event_at >= coalesce(v_hold.from_at, '-infinity')
                    AND f.event_at < coalesce(v_hold.to_at, 'infinity')
                    AND f.subscriber_id = v_hold.subscriber_id
            );
        END IF;
        IF v_found THEN
            RETURN format('legal hold %s: %s', v_hold.hold_id, v_hold.reason);
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ops._held(text, timestamptz, timestamptz) IS 'The legal hold on facts of a range, if any';
REVOKE ALL ON FUNCTION ops._held(text, timestamptz, timestamptz) FROM PUBLIC;
