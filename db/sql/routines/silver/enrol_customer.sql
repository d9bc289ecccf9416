-- requires: vault/enrol.sql
-- Makes every number of a batch of customers known, before its refine and in a transaction of its own: as a
-- CDR does it, so that both lead to the same surrogate.
CREATE OR REPLACE FUNCTION silver.enrol_customer(p_batch_id bigint, p_identities text[])
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM vault.enrol(p_identities);
    PERFORM set_config('telestream.enrolled_batch', p_batch_id::text, false);
END
$$;
COMMENT ON FUNCTION silver.enrol_customer(bigint, text[]) IS
'Makes the numbers of a batch of customers known before its refine';
REVOKE ALL ON FUNCTION silver.enrol_customer(bigint, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION silver.enrol_customer(bigint, text[]) TO telestream_loader;
