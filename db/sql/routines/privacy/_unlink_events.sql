-- requires: privacy/_targets.sql, privacy/_ids.sql, privacy/_mark_gold.sql
-- Takes a person out of the network events of a range of time, of some batches or of all, as
-- privacy._unlink_cdrs() does it with CDRs. Gold has no surrogates of events.
CREATE OR REPLACE FUNCTION privacy._unlink_events(
    p_plan jsonb, p_policy text, p_from timestamptz, p_to timestamptz, p_batches bigint[]
)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_own bigint[] := privacy._ids(p_plan -> 'own');
    v_gone bigint[] := privacy._ids(p_plan -> 'certain');
    v_target record;
    v_buckets timestamptz[];
    v_rows bigint;
    v_changed bigint := 0;
    v_deleted bigint := 0;
BEGIN
    IF current_setting('timescaledb.license') = 'timescale' THEN
        PERFORM set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true);
    END IF;
    FOR v_target IN
        SELECT
            (s.one ->> 'id')::bigint AS id, (s.one ->> 'fresh')::bigint AS fresh,
            (s.one ->> 'spans')::tstzmultirange AS spans
        FROM jsonb_array_elements(p_plan -> 'shared') AS s (one)
    LOOP
        v_gone := v_gone || v_target.fresh;
        CONTINUE WHEN NOT EXISTS (
            SELECT FROM silver.fact_network_event AS f
            WHERE f.event_at >= p_from AND f.event_at < p_to
                AND f.subscriber_id = v_target.id AND v_target.spans @> f.event_at
        );
        UPDATE silver.fact_network_event AS f
        SET subscriber_id = v_target.fresh
        WHERE f.event_at >= p_from AND f.event_at < p_to
            AND f.subscriber_id = v_target.id AND v_target.spans @> f.event_at;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_changed := v_changed + v_rows;
    END LOOP;

    IF p_policy = 'delete' AND EXISTS (
        SELECT FROM silver.fact_network_event AS f
        WHERE f.event_at >= p_from AND f.event_at < p_to
            AND (p_batches IS NULL OR f.batch_id = ANY (p_batches)) AND f.subscriber_id = ANY (v_gone)
    ) THEN
        -- Batches in flight add to the 5-minute windows: none may while they are marked to be computed anew.
        PERFORM pg_advisory_xact_lock(7301006);
        WITH gone AS (
            DELETE FROM silver.fact_network_event AS f
            WHERE f.event_at >= p_from AND f.event_at < p_to
                AND (p_batches IS NULL OR f.batch_id = ANY (p_batches)) AND f.subscriber_id = ANY (v_gone)
            RETURNING f.event_at
        )
        SELECT array_agg(DISTINCT public.time_bucket('5 minutes', g.event_at)), count(*)
        INTO v_buckets, v_deleted
        FROM gone AS g;
        PERFORM privacy._mark_gold('network_event', v_buckets, false);
    END IF;

    IF EXISTS (
        SELECT FROM silver.fact_network_event AS f
        WHERE f.event_at >= p_from AND f.event_at < p_to
            AND (p_batches IS NULL OR f.batch_id = ANY (p_batches))
            AND f.subscriber_id = ANY (v_own || v_gone) AND f.payload IS NOT NULL
    ) THEN
        UPDATE silver.fact_network_event AS f
        SET payload = NULL
        WHERE f.event_at >= p_from AND f.event_at < p_to
            AND (p_batches IS NULL OR f.batch_id = ANY (p_batches))
            AND f.subscriber_id = ANY (v_own || v_gone) AND f.payload IS NOT NULL;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_changed := v_changed + v_rows;
    END IF;

    FOR v_target IN SELECT t.pattern, t.spans FROM privacy._targets(p_plan) AS t LOOP
        CONTINUE WHEN NOT EXISTS (
            SELECT FROM silver.fact_network_event AS f
            WHERE f.event_at >= p_from AND f.event_at < p_to
                AND (p_batches IS NULL OR f.batch_id = ANY (p_batches))
                AND concat_ws(' ', f.payload, f.cause) ~ v_target.pattern AND v_target.spans @> f.event_at
        );
        UPDATE silver.fact_network_event AS f
        SET
            payload = CASE WHEN f.payload::text ~ v_target.pattern THEN NULL ELSE f.payload END,
            cause = CASE WHEN f.cause ~ v_target.pattern THEN NULL ELSE f.cause END
        WHERE f.event_at >= p_from AND f.event_at < p_to
            AND (p_batches IS NULL OR f.batch_id = ANY (p_batches))
            AND concat_ws(' ', f.payload, f.cause) ~ v_target.pattern AND v_target.spans @> f.event_at;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_changed := v_changed + v_rows;
    END LOOP;
    RETURN jsonb_build_object('silver.fact_network_event', v_changed, 'silver.fact_network_event, deleted', v_deleted);
END
$$;
COMMENT ON FUNCTION privacy._unlink_events(jsonb, text, timestamptz, timestamptz, bigint[]) IS
'Takes a person out of network events';
REVOKE ALL ON FUNCTION privacy._unlink_events(jsonb, text, timestamptz, timestamptz, bigint[]) FROM PUBLIC;
