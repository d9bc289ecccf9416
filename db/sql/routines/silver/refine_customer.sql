-- requires: silver/enrol_customer.sql, silver/apply_customer_changes.sql, quality/_apply_rules.sql
-- requires: quality/_close_batch.sql, ops/_lock_staged_batch.sql
-- Takes one staged batch of customers from Bronze to Silver within the caller's transaction: rules,
-- quarantine, changes, versions, counts; asserts that nothing was lost. Calls enrol_customer itself where
-- the caller has not.
CREATE OR REPLACE PROCEDURE silver.refine_customer(p_batch_id bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '128MB'
AS $$
DECLARE
    v_staged bigint;
    v_refused bigint;
    v_rows bigint;
    v_odd bigint[];
    v_loaded bigint;
    v_min timestamptz;
    v_max timestamptz;
BEGIN
    PERFORM ops._lock_staged_batch(p_batch_id, 'customer');
    -- One batch of customers at a time: what a change means depends on all changes of the customer.
    PERFORM pg_advisory_xact_lock(7301010);
    IF coalesce(current_setting('telestream.enrolled_batch', true), '') <> p_batch_id::text THEN
        PERFORM silver.enrol_customer(
            p_batch_id,
            (SELECT array_agg(DISTINCT b.msisdn) FROM bronze.customer AS b WHERE b.batch_id = p_batch_id)
        );
    END IF;

    SELECT r.o_staged, r.o_refused INTO v_staged, v_refused FROM quality._apply_rules(p_batch_id) AS r;

    INSERT INTO silver.dim_region (region_code, name, is_placeholder)
    SELECT DISTINCT s.region_code, s.region_code, true
    FROM silver._staged_customer(p_batch_id) AS s
    WHERE s.region_key IS NULL
    ORDER BY 1
    ON CONFLICT (region_code) DO NOTHING;
    INSERT INTO silver.dim_service_plan (plan_code, name, is_placeholder)
    SELECT DISTINCT s.plan_code, s.plan_code, true
    FROM silver._staged_customer(p_batch_id) AS s
    WHERE s.plan_key IS NULL
    ORDER BY 1
    ON CONFLICT (plan_code) DO NOTHING;

    -- Of an instant there is one truth per source: the one known first, or none if the batch itself is at odds.
    WITH staged AS MATERIALIZED (SELECT s.* FROM silver._staged_customer(p_batch_id) AS s),
    odd AS (
        SELECT s.line
        FROM staged AS s
        INNER JOIN silver.customer_change AS c USING (customer_id, changed_at, source_system)
        WHERE s.attributes_hash <> c.attributes_hash
        UNION ALL
        SELECT s.line
        FROM staged AS s
        INNER JOIN (
            SELECT t.customer_id, t.changed_at, t.source_system
            FROM staged AS t
            GROUP BY t.customer_id, t.changed_at, t.source_system
            HAVING count(DISTINCT t.attributes_hash) > 1
        ) AS t USING (customer_id, changed_at, source_system)
        WHERE NOT EXISTS (
            SELECT FROM silver.customer_change AS c
            WHERE c.customer_id = s.customer_id AND c.changed_at = s.changed_at
                AND c.source_system = s.source_system
        )
    )
    SELECT array_agg(DISTINCT o.line) INTO v_odd FROM odd AS o;
    -- By its lines, not by a join: of a batch written a moment ago one row is expected, and the join was made anew
    -- for each.
    INSERT INTO quality.quarantine (dataset, batch_id, line, rules, reason, record)
    SELECT
        'customer', p_batch_id, b.line, ARRAY['conflicting_change'],
        (SELECT r.message FROM quality.rule AS r WHERE r.dataset = 'customer' AND r.rule = 'conflicting_change'),
        to_jsonb(b) - 'batch_id' - 'line'
    FROM bronze.customer AS b
    WHERE b.batch_id = p_batch_id AND b.line = ANY (v_odd);
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    INSERT INTO quality.rule_result (batch_id, rule, violations)
    SELECT p_batch_id, 'conflicting_change', v_rows WHERE v_rows > 0;
    v_refused := v_refused + v_rows;

    SELECT a.o_loaded, a.o_min, a.o_max INTO v_loaded, v_min, v_max
    FROM silver.apply_customer_changes(p_batch_id) AS a;

    -- A sync asks for its latest changes again: what waits in quarantine already is not refused once more.
    IF v_refused > 0 THEN
        DELETE FROM quality.quarantine AS q
        USING quality.quarantine AS o
        WHERE q.batch_id = p_batch_id AND o.dataset = 'customer' AND o.batch_id <> p_batch_id
            AND o.replayed_at IS NULL AND o.record = q.record;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_refused := v_refused - v_rows;
    END IF;
    PERFORM quality._close_batch(p_batch_id, v_staged, v_refused, v_loaded, 0, v_min, v_max);
END
$$;
COMMENT ON PROCEDURE silver.refine_customer IS
'Takes one staged batch of customers from Bronze to Silver in the caller''s transaction';
REVOKE ALL ON PROCEDURE silver.refine_customer(bigint) FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE silver.refine_customer(bigint) TO telestream_loader;
