-- requires: privacy/_targets.sql, privacy/_texts.sql
-- Takes a person out of refused records, of some batches or of a range of ids. A record of the person's own,
-- and a text that could not be read, of which nobody knows whose it is, become a marker: the row stays for
-- the counts, says so, and cannot be replayed. A record of somebody else loses only the number and can.
CREATE OR REPLACE FUNCTION privacy._scrub_quarantine(
    p_plan jsonb, p_batches bigint[], p_from bigint, p_to bigint
)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_gone text := 'erased on request; it cannot be replayed';
    v_target record;
    v_rows bigint;
    v_total bigint := 0;
BEGIN
    UPDATE quality.quarantine AS q
    SET raw = 'erased', record = NULL, reason = v_gone
    WHERE (q.batch_id = ANY (p_batches) OR (q.quarantine_id >= p_from AND q.quarantine_id < p_to))
        AND q.dataset = 'customer' AND (
            q.record ->> 'customer_id' = ANY (privacy._texts(p_plan -> 'customers'))
            OR (q.record IS NULL AND q.raw ~ (p_plan ->> 'customer_pattern'))
        );
    GET DIAGNOSTICS v_total = ROW_COUNT;
    FOR v_target IN SELECT t.pattern, t.spans FROM privacy._targets(p_plan) AS t LOOP
        UPDATE quality.quarantine AS q
        SET
            raw = CASE
                WHEN o.is_whole THEN 'erased' ELSE regexp_replace(q.raw, v_target.pattern, 'erased', 'g')
            END,
            reason = CASE
                WHEN o.is_whole THEN v_gone ELSE regexp_replace(q.reason, v_target.pattern, 'erased', 'g')
            END,
            record = CASE WHEN NOT o.is_whole THEN (
                SELECT jsonb_object_agg(
                    e.key, CASE WHEN e.value::text ~ v_target.pattern THEN 'null'::jsonb ELSE e.value END
                )
                FROM jsonb_each(q.record) AS e
            ) END
        FROM quality.quarantine AS c
        CROSS JOIN LATERAL (
            SELECT c.record IS NULL OR coalesce(
                CASE c.dataset
                    WHEN 'cdr' THEN CASE
                        WHEN c.record ->> 'direction' = 'mt' THEN c.record ->> 'called' ELSE c.record ->> 'caller'
                    END
                    WHEN 'network_event' THEN c.record ->> 'subscriber'
                END ~ v_target.pattern, false
            ) OR coalesce(c.record ->> 'imsi' ~ v_target.pattern, false) AS is_whole
        ) AS o
        WHERE c.quarantine_id = q.quarantine_id
            AND (c.batch_id = ANY (p_batches) OR (c.quarantine_id >= p_from AND c.quarantine_id < p_to))
            AND concat_ws(' ', c.raw, c.reason, c.record) ~ v_target.pattern
            AND coalesce(v_target.spans @> coalesce(
                c.record ->> 'started_at', c.record ->> 'event_at', c.record ->> 'changed_at'
            )::timestamptz, true);
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_total := v_total + v_rows;
    END LOOP;
    RETURN jsonb_build_object('quality.quarantine', v_total);
END
$$;
COMMENT ON FUNCTION privacy._scrub_quarantine(jsonb, bigint[], bigint, bigint) IS
'Takes a person out of refused records';
REVOKE ALL ON FUNCTION privacy._scrub_quarantine(jsonb, bigint[], bigint, bigint) FROM PUBLIC;
