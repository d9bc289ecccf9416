-- requires: silver/enrol_cdr.sql, bronze/staged_cdr.sql, quality/_apply_rules.sql, quality/_close_batch.sql
-- requires: ops/_lock_staged_batch.sql, rollup/_mark.sql, silver/_customers_of_batch.sql
-- Takes one staged batch from Bronze to Silver within the caller's transaction: applies the rules of
-- quality.rule, quarantines what violates an error rule, replaces people, cells and plans by keys,
-- inserts what is new, counts, notes the touched buckets of every rollup and asserts that nothing was
-- lost: rows_in = loaded + duplicate + quarantined. Calls enrol_cdr itself where the caller has not.
CREATE OR REPLACE PROCEDURE silver.refine_cdr(p_batch_id bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Every join is to a small table: always hash it, never compile.
SET jit = off
SET work_mem = '128MB'
SET enable_nestloop = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_lateness interval := (SELECT s.value::interval FROM ops.setting AS s WHERE s.name = 'allowed_lateness');
    v_staged bigint;
    v_refused bigint;
    v_loaded bigint;
    v_late bigint;
    v_min timestamptz;
    v_max timestamptz;
    v_buckets timestamptz[];
BEGIN
    PERFORM ops._lock_staged_batch(p_batch_id, 'cdr');
    -- When customers change, the facts of batches in flight must be among those that are keyed anew.
    PERFORM pg_advisory_xact_lock_shared(7301011);
    IF coalesce(current_setting('telestream.enrolled_batch', true), '') <> p_batch_id::text THEN
        PERFORM silver.enrol_cdr(
            p_batch_id,
            (
                SELECT array_agg(DISTINCT i.identity)
                FROM bronze.cdr AS b
                CROSS JOIN LATERAL (VALUES (b.caller), (b.called), (
                    CASE WHEN (CASE WHEN b.direction = 'mt' THEN b.called ELSE b.caller END) IS NULL
                        THEN 'imsi:' || b.imsi END
                )) AS i (identity)
                WHERE b.batch_id = p_batch_id
            ),
            (SELECT array_agg(c.cell_id ORDER BY c.cell_id, c.region_code) FROM (
                SELECT DISTINCT b.cell_id, b.region_code FROM bronze.cdr AS b WHERE b.batch_id = p_batch_id
            ) AS c),
            (SELECT array_agg(c.region_code ORDER BY c.cell_id, c.region_code) FROM (
                SELECT DISTINCT b.cell_id, b.region_code FROM bronze.cdr AS b WHERE b.batch_id = p_batch_id
            ) AS c),
            (SELECT array_agg(DISTINCT b.plan_code) FROM bronze.cdr AS b WHERE b.batch_id = p_batch_id)
        );
    END IF;

    SELECT r.o_staged, r.o_refused INTO v_staged, v_refused FROM quality._apply_rules(p_batch_id) AS r;

    -- A person, cell or plan that enrol_cdr has not made known turns into a null key here, and the
    -- column's NOT NULL stops the batch: nothing is ever attached to the wrong or to no one silently.
    WITH ins AS (
        INSERT INTO silver.fact_cdr (
            cdr_id, started_at, answered_at, ended_at, batch_id, source_line,
            subscriber_id, caller_id, called_id, bytes_up, bytes_down, charge_micro, duration_s, billed_s,
            cell_key, region_key, plan_key, is_roaming, source_system, record_type, direction, technology,
            disposition, cause, currency, tac, apn, extras, customer_key, is_plan_of_customer
        )
        SELECT
            -- Not for secrecy: a short stable name of the record, 128 bits.
            md5(b.source_system || E'\x1f' || b.native_key || E'\x1f' || coalesce(b.leg, 0))::uuid,
            b.started_at, b.answered_at, b.ended_at, b.batch_id, b.line,
            CASE
                WHEN b.direction = 'mt' AND b.called IS NOT NULL THEN d.subscriber_id
                WHEN b.direction IS DISTINCT FROM 'mt' AND b.caller IS NOT NULL THEN c.subscriber_id
                -- The served party's number is unknown: its SIM stands in.
                WHEN b.imsi IS NOT NULL THEN i.subscriber_id
                ELSE 0
            END,
            CASE WHEN b.caller IS NULL THEN 0 ELSE c.subscriber_id END,
            CASE WHEN b.called IS NULL THEN 0 ELSE d.subscriber_id END,
            b.bytes_up, b.bytes_down, b.charge_micro, b.duration_s, b.billed_s,
            CASE WHEN b.cell_id IS NULL THEN 0 ELSE k.cell_key END,
            coalesce(k.region_key, 0),
            -- Where the source names no plan, it is that of the customer.
            CASE WHEN b.plan_code IS NULL OR p.plan_key = 0 THEN coalesce(u.plan_key, 0) ELSE p.plan_key END,
            b.is_roaming, b.source_system, b.record_type, b.direction, b.technology,
            b.disposition, b.cause, b.currency, "left"(b.imei, 8), b.apn, b.extras,
            coalesce(u.customer_key, 0),
            (b.plan_code IS NULL OR p.plan_key = 0) AND coalesce(u.plan_key, 0) <> 0
        FROM bronze.staged_cdr(p_batch_id) AS b
        LEFT JOIN pg_temp._identity AS c ON b.caller = c.identity
        LEFT JOIN pg_temp._identity AS d ON b.called = d.identity
        LEFT JOIN pg_temp._identity AS i
            ON i.identity LIKE 'imsi:%'
            AND i.identity = CASE
                WHEN (CASE WHEN b.direction = 'mt' THEN b.called ELSE b.caller END) IS NULL
                    THEN 'imsi:' || b.imsi
            END
        LEFT JOIN silver.dim_network_cell AS k ON b.cell_id = k.cell_id
        LEFT JOIN silver.dim_service_plan AS p ON b.plan_code = p.plan_code
        LEFT JOIN silver._customers_of_batch() AS u
            ON u.subscriber_id = CASE
                WHEN b.direction = 'mt' AND b.called IS NOT NULL THEN d.subscriber_id
                WHEN b.direction IS DISTINCT FROM 'mt' AND b.caller IS NOT NULL THEN c.subscriber_id
                ELSE i.subscriber_id
            END
            AND b.started_at >= u.valid_from AND b.started_at < u.valid_to
        WHERE v_refused = 0
            OR b.line NOT IN (SELECT q.line FROM quality.quarantine AS q WHERE q.batch_id = p_batch_id)
        ON CONFLICT (cdr_id, started_at) DO NOTHING
        RETURNING started_at, source_system
    ),
    slot AS (
        SELECT
            public.time_bucket('5 minutes', ins.started_at) AS bucket, ins.source_system,
            count(*) AS loaded,
            count(*) FILTER (WHERE ins.started_at < w.event_at - v_lateness) AS late,
            min(ins.started_at) AS min_at, max(ins.started_at) AS max_at
        FROM ins
        LEFT JOIN ops.watermark AS w ON w.dataset = 'cdr' AND ins.source_system = w.source
        GROUP BY 1, 2
    ),
    moved AS (
        INSERT INTO ops.watermark AS w (dataset, source, event_at)
        SELECT 'cdr', s.source_system, max(s.max_at)
        FROM slot AS s
        GROUP BY s.source_system
        ORDER BY s.source_system
        ON CONFLICT (dataset, source) DO UPDATE
        SET event_at = greatest(w.event_at, excluded.event_at), updated_at = clock_timestamp()
    )
    SELECT
        coalesce(sum(s.loaded), 0), coalesce(sum(s.late), 0), min(s.min_at), max(s.max_at),
        array_agg(DISTINCT s.bucket)
    INTO v_loaded, v_late, v_min, v_max, v_buckets
    FROM slot AS s;

    PERFORM rollup._mark('silver.fact_cdr', v_buckets, p_batch_id);
    PERFORM quality._close_batch(p_batch_id, v_staged, v_refused, v_loaded, v_late, v_min, v_max);
END
$$;
COMMENT ON PROCEDURE silver.refine_cdr IS
'Takes one staged batch of CDRs from Bronze to Silver in the caller''s transaction';
REVOKE ALL ON PROCEDURE silver.refine_cdr(bigint) FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE silver.refine_cdr(bigint) TO telestream_loader, telestream_consumer;
