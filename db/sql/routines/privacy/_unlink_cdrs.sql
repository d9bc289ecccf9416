-- requires: privacy/_targets.sql, privacy/_ids.sql, privacy/_mark_gold.sql
-- Takes a person out of the CDRs of a range of time, of some batches or of all. Facts keep a surrogate that
-- leads to nobody any more; their customer becomes the unknown one, unchecked fields go, and on a number
-- that others had as well they get a surrogate of their own. By the policy delete the facts of the served
-- person go. What names nobody is not written, and nothing is written where nothing is found: a compressed
-- chunk would be unpacked.
CREATE OR REPLACE FUNCTION privacy._unlink_cdrs(
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
    v_keys bigint[] := privacy._ids(p_plan -> 'keys');
    v_gone bigint[] := privacy._ids(p_plan -> 'certain');
    v_target record;
    v_buckets timestamptz[];
    v_rows bigint;
    v_changed bigint := 0;
    v_deleted bigint := 0;
BEGIN
    IF current_setting('timescaledb.license') = 'timescale' THEN
        -- Else a compressed chunk sets a limit to what one statement may change.
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
            SELECT FROM silver.fact_cdr AS f
            WHERE f.started_at >= p_from AND f.started_at < p_to
                AND v_target.id IN (f.subscriber_id, f.caller_id, f.called_id) AND v_target.spans @> f.started_at
        );
        WITH moved AS (
            UPDATE silver.fact_cdr AS f
            SET
                subscriber_id = CASE WHEN f.subscriber_id = v_target.id THEN v_target.fresh ELSE f.subscriber_id END,
                caller_id = CASE WHEN f.caller_id = v_target.id THEN v_target.fresh ELSE f.caller_id END,
                called_id = CASE WHEN f.called_id = v_target.id THEN v_target.fresh ELSE f.called_id END
            WHERE f.started_at >= p_from AND f.started_at < p_to
                AND v_target.id IN (f.subscriber_id, f.caller_id, f.called_id) AND v_target.spans @> f.started_at
            RETURNING f.started_at
        )
        SELECT array_agg(DISTINCT public.time_bucket('5 minutes', m.started_at)), v_changed + count(*)
        INTO v_buckets, v_changed
        FROM moved AS m;
        PERFORM privacy._mark_gold('cdr', v_buckets, true);
    END LOOP;

    IF p_policy = 'delete' AND EXISTS (
        SELECT FROM silver.fact_cdr AS f
        WHERE f.started_at >= p_from AND f.started_at < p_to
            AND (p_batches IS NULL OR f.batch_id = ANY (p_batches))
            AND (f.subscriber_id = ANY (v_gone) OR f.customer_key = ANY (v_keys))
    ) THEN
        WITH gone AS (
            DELETE FROM silver.fact_cdr AS f
            WHERE f.started_at >= p_from AND f.started_at < p_to
                AND (p_batches IS NULL OR f.batch_id = ANY (p_batches))
                AND (f.subscriber_id = ANY (v_gone) OR f.customer_key = ANY (v_keys))
            RETURNING f.started_at
        )
        SELECT array_agg(DISTINCT public.time_bucket('5 minutes', g.started_at)), count(*)
        INTO v_buckets, v_deleted
        FROM gone AS g;
        PERFORM privacy._mark_gold('cdr', v_buckets, false);
    END IF;

    IF EXISTS (
        SELECT FROM silver.fact_cdr AS f
        WHERE f.started_at >= p_from AND f.started_at < p_to
            AND (p_batches IS NULL OR f.batch_id = ANY (p_batches))
            AND (f.subscriber_id = ANY (v_own || v_gone) OR f.customer_key = ANY (v_keys))
            AND (f.customer_key <> 0 OR f.extras IS NOT NULL)
    ) THEN
        UPDATE silver.fact_cdr AS f
        SET customer_key = 0, extras = NULL
        WHERE f.started_at >= p_from AND f.started_at < p_to
            AND (p_batches IS NULL OR f.batch_id = ANY (p_batches))
            AND (f.subscriber_id = ANY (v_own || v_gone) OR f.customer_key = ANY (v_keys))
            AND (f.customer_key <> 0 OR f.extras IS NOT NULL);
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_changed := v_changed + v_rows;
    END IF;

    -- Numbers in the unchecked fields of other people's facts.
    FOR v_target IN SELECT t.pattern, t.spans FROM privacy._targets(p_plan) AS t LOOP
        CONTINUE WHEN NOT EXISTS (
            SELECT FROM silver.fact_cdr AS f
            WHERE f.started_at >= p_from AND f.started_at < p_to
                AND (p_batches IS NULL OR f.batch_id = ANY (p_batches))
                AND concat_ws(' ', f.extras, f.cause, f.apn) ~ v_target.pattern AND v_target.spans @> f.started_at
        );
        UPDATE silver.fact_cdr AS f
        SET
            extras = CASE WHEN f.extras::text ~ v_target.pattern THEN NULL ELSE f.extras END,
            cause = CASE WHEN f.cause ~ v_target.pattern THEN NULL ELSE f.cause END,
            apn = CASE WHEN f.apn ~ v_target.pattern THEN NULL ELSE f.apn END
        WHERE f.started_at >= p_from AND f.started_at < p_to
            AND (p_batches IS NULL OR f.batch_id = ANY (p_batches))
            AND concat_ws(' ', f.extras, f.cause, f.apn) ~ v_target.pattern AND v_target.spans @> f.started_at;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_changed := v_changed + v_rows;
    END LOOP;
    RETURN jsonb_build_object('silver.fact_cdr', v_changed, 'silver.fact_cdr, deleted', v_deleted);
END
$$;
COMMENT ON FUNCTION privacy._unlink_cdrs(jsonb, text, timestamptz, timestamptz, bigint[]) IS
'Takes a person out of CDRs';
REVOKE ALL ON FUNCTION privacy._unlink_cdrs(jsonb, text, timestamptz, timestamptz, bigint[]) FROM PUBLIC;
