-- requires: privacy/_targets.sql, privacy/_texts.sql
-- Takes a person out of the raw records of some batches: values that name the person become 'erased'; of
-- records of the person's own also SIM, device and unchecked fields go. Every record stays, so the counts of
-- its batch do. Returns the records changed, by table.
CREATE OR REPLACE FUNCTION privacy._scrub_bronze(p_plan jsonb, p_batches bigint[])
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_target record;
    v_rows bigint;
    v_cdrs bigint := 0;
    v_events bigint := 0;
    v_customers bigint := 0;
BEGIN
    FOR v_target IN SELECT t.pattern, t.spans FROM privacy._targets(p_plan) AS t LOOP
        -- The served party's row, as the refine takes it, or that of the SIM.
        UPDATE bronze.cdr AS b
        SET
            caller = CASE WHEN b.caller ~ v_target.pattern THEN 'erased' ELSE b.caller END,
            called = CASE WHEN b.called ~ v_target.pattern THEN 'erased' ELSE b.called END,
            imsi = CASE
                WHEN CASE WHEN b.direction = 'mt' THEN b.called ELSE b.caller END ~ v_target.pattern
                    OR b.imsi ~ v_target.pattern THEN NULL
                ELSE b.imsi
            END,
            imei = CASE
                WHEN CASE WHEN b.direction = 'mt' THEN b.called ELSE b.caller END ~ v_target.pattern
                    OR b.imsi ~ v_target.pattern OR b.imei ~ v_target.pattern THEN NULL
                ELSE b.imei
            END,
            extras = CASE
                WHEN CASE WHEN b.direction = 'mt' THEN b.called ELSE b.caller END ~ v_target.pattern
                    OR b.imsi ~ v_target.pattern OR b.extras::text ~ v_target.pattern THEN NULL
                ELSE b.extras
            END,
            native_key = CASE WHEN b.native_key ~ v_target.pattern THEN 'erased' ELSE b.native_key END,
            cause = CASE WHEN b.cause ~ v_target.pattern THEN NULL ELSE b.cause END,
            apn = CASE WHEN b.apn ~ v_target.pattern THEN NULL ELSE b.apn END
        WHERE b.batch_id = ANY (p_batches)
            AND concat_ws(
                ' ', b.caller, b.called, b.imsi, b.imei, b.native_key, b.extras, b.cause, b.apn
            ) ~ v_target.pattern
            AND (b.started_at IS NULL OR v_target.spans @> b.started_at);
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_cdrs := v_cdrs + v_rows;

        UPDATE bronze.network_event AS b
        SET
            subscriber = CASE WHEN b.subscriber ~ v_target.pattern THEN 'erased' ELSE b.subscriber END,
            event_id = CASE WHEN b.event_id ~ v_target.pattern THEN 'erased' ELSE b.event_id END,
            payload = NULL,
            cause = CASE WHEN b.cause ~ v_target.pattern THEN NULL ELSE b.cause END
        WHERE b.batch_id = ANY (p_batches)
            AND concat_ws(' ', b.subscriber, b.event_id, b.payload, b.cause) ~ v_target.pattern
            AND (b.event_at IS NULL OR v_target.spans @> b.event_at);
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_events := v_events + v_rows;

        UPDATE bronze.customer AS b SET msisdn = 'erased'
        WHERE b.batch_id = ANY (p_batches) AND b.msisdn ~ v_target.pattern
            AND (b.changed_at IS NULL OR v_target.spans @> b.changed_at);
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_customers := v_customers + v_rows;
    END LOOP;
    UPDATE bronze.customer AS b
    SET customer_id = 'erased', msisdn = NULL, birth_year = NULL, segment = NULL
    WHERE b.batch_id = ANY (p_batches) AND b.customer_id = ANY (privacy._texts(p_plan -> 'customers'));
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN jsonb_build_object(
        'bronze.cdr', v_cdrs, 'bronze.network_event', v_events, 'bronze.customer', v_customers + v_rows
    );
END
$$;
COMMENT ON FUNCTION privacy._scrub_bronze(jsonb, bigint[]) IS 'Takes a person out of raw records';
REVOKE ALL ON FUNCTION privacy._scrub_bronze(jsonb, bigint[]) FROM PUBLIC;
