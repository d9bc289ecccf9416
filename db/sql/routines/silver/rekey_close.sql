-- Takes off the list what silver.rekey_pending() has carried to the facts.
CREATE OR REPLACE FUNCTION silver.rekey_close(p_upto bigint)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM silver.customer_rekey AS k WHERE k.rekey_id <= p_upto
$$;
COMMENT ON FUNCTION silver.rekey_close(bigint) IS 'Takes off the list what was carried to the facts';
REVOKE ALL ON FUNCTION silver.rekey_close(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION silver.rekey_close(bigint) TO telestream_loader;
