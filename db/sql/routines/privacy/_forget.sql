-- requires: vault/find.sql, analytics/forget.sql, privacy/_ids.sql, privacy/_texts.sql
-- Removes the links to a person: the customer with all changes and versions, what waits to be carried to
-- facts, what analytics worked out, and the vault's rows, also those that a load has made since. Returns the
-- counts, and the surrogates of such new rows.
CREATE OR REPLACE FUNCTION privacy._forget(p_plan jsonb, OUT o_counts jsonb, OUT o_new bigint[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_customers text[] := privacy._texts(p_plan -> 'customers');
    v_versions bigint;
    v_changes bigint;
    v_rekeys bigint;
    v_vault bigint;
    v_analytics bigint;
BEGIN
    -- In one statement: the end of each version is the beginning of the next.
    DELETE FROM silver.dim_customer AS d WHERE d.customer_id = ANY (v_customers) AND d.customer_key <> 0;
    GET DIAGNOSTICS v_versions = ROW_COUNT;
    DELETE FROM silver.customer_change AS c WHERE c.customer_id = ANY (v_customers);
    GET DIAGNOSTICS v_changes = ROW_COUNT;
    SELECT coalesce(array_agg(DISTINCT f.subscriber_id), '{}') INTO o_new
    FROM vault.find(privacy._texts(p_plan -> 'forms')) AS f
    WHERE f.subscriber_id <> ALL (privacy._ids(p_plan -> 'own'));
    DELETE FROM silver.customer_rekey AS k WHERE k.subscriber_id = ANY (privacy._ids(p_plan -> 'own') || o_new);
    GET DIAGNOSTICS v_rekeys = ROW_COUNT;
    DELETE FROM vault.subscriber AS s
    WHERE s.subscriber_id = ANY (privacy._ids(p_plan -> 'vault') || o_new) AND s.subscriber_id <> 0;
    GET DIAGNOSTICS v_vault = ROW_COUNT;
    v_analytics := analytics.forget(privacy._ids(p_plan -> 'own') || o_new);
    o_counts := jsonb_build_object(
        'silver.dim_customer', v_versions, 'silver.customer_change', v_changes, 'silver.customer_rekey', v_rekeys,
        'vault.subscriber', v_vault, 'analytics', v_analytics
    );
END
$$;
COMMENT ON FUNCTION privacy._forget(jsonb) IS 'Removes customer and vault rows of a person';
REVOKE ALL ON FUNCTION privacy._forget(jsonb) FROM PUBLIC;
