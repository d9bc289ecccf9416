-- requires: privacy/_ids.sql, privacy/_texts.sql, privacy/_targets.sql, vault/find.sql
-- Returns how many rows lead to a person by a key: customer, versions, vault, and facts of a version.
CREATE OR REPLACE FUNCTION privacy._linked(p_plan jsonb)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_customers text[] := privacy._texts(p_plan -> 'customers');
BEGIN
    RETURN (SELECT count(*) FROM silver.dim_customer AS d WHERE d.customer_id = ANY (v_customers) AND d.customer_key <> 0)
        + (SELECT count(*) FROM silver.customer_change AS c WHERE c.customer_id = ANY (v_customers))
        + (SELECT count(*) FROM vault.find(privacy._texts(p_plan -> 'forms')) AS f)
        + (
            SELECT count(*) FROM vault.subscriber AS s
            WHERE s.subscriber_id = ANY (privacy._ids(p_plan -> 'vault')) AND s.subscriber_id <> 0
        )
        + (
            SELECT count(*) FROM silver.customer_rekey AS k
            WHERE k.subscriber_id = ANY (privacy._ids(p_plan -> 'own'))
        );
END
$$;
COMMENT ON FUNCTION privacy._linked(jsonb) IS 'How many rows lead to a person by a key';
REVOKE ALL ON FUNCTION privacy._linked(jsonb) FROM PUBLIC;
