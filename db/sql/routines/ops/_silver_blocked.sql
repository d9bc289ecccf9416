-- requires: ops/_held.sql, ops/effective_retention.sql
-- Returns why a range of whole days of a fact must stay in Silver, null if it may go: a minimum, a legal
-- hold, buckets that wait for their refresh, changes of customers on their way to its facts, or an archive
-- that does not have it yet.
CREATE OR REPLACE FUNCTION ops._silver_blocked(p_dataset text, p_lo timestamptz, p_hi timestamptz)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    v_rule record;
    v_reason text;
    v_time text;
    v_day date;
    v_found boolean;
BEGIN
    SELECT e.* INTO v_rule FROM ops.effective_retention('silver.' || p_dataset) AS e;
    IF p_hi > now() - v_rule.o_minimum THEN
        RETURN format('minimum of %s', v_rule.o_minimum);
    END IF;
    v_reason := ops._held(p_dataset, p_lo, p_hi);
    IF v_reason IS NOT NULL THEN
        RETURN v_reason;
    END IF;
    IF EXISTS (
        SELECT FROM rollup.pending AS p
        WHERE p.bucket < p_hi AND p.bucket > p_lo - interval '2 days'
            AND (p.rollup_name LIKE 'network%') = (p_dataset = 'network_event')
    ) THEN
        RETURN 'Gold waits for a refresh: telestream gold refresh';
    END IF;
    IF p_dataset = 'cdr' AND EXISTS (
        SELECT FROM silver.customer_rekey AS k WHERE k.spans && tstzrange(p_lo, p_hi)
    ) THEN
        RETURN 'changes of customers have not reached it yet: CALL silver.rekey_pending()';
    END IF;
    -- Who archives a fact archives all of it; who never has is not asked to.
    IF EXISTS (SELECT FROM ops.archive_day AS a WHERE a.dataset = p_dataset) THEN
        SELECT d.time_column INTO v_time FROM rollup.definition AS d
        WHERE d.source = 'silver.fact_' || p_dataset
        LIMIT 1;
        FOR v_day IN
            SELECT g.at::date
            FROM generate_series(p_lo, p_hi - interval '1 day', interval '1 day') AS g (at)
            WHERE NOT EXISTS (
                SELECT FROM ops.archive_day AS a
                WHERE a.dataset = p_dataset AND a.day = g.at::date AND a.state <> 'written'
            )
        LOOP
            EXECUTE format(
                'SELECT EXISTS (SELECT FROM silver.%1$I WHERE %2$I >= $1 AND %2$I < $2)', 'fact_' || p_dataset, v_time
            ) INTO v_found USING v_day::timestamptz, (v_day + 1)::timestamptz;
            IF v_found THEN
                RETURN format('%s is not in the archive yet: telestream archive run', v_day);
            END IF;
        END LOOP;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ops._silver_blocked(text, timestamptz, timestamptz) IS
'Why a range of a fact must stay in Silver; null: it may go';
REVOKE ALL ON FUNCTION ops._silver_blocked(text, timestamptz, timestamptz) FROM PUBLIC;
